//! Setting the stage: databases, migrations, users, targets.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tenant_sync_core::config::Config;
use tenant_sync_core::db::Internal;
use tenant_sync_core::mapping::Mapping;
use tenant_sync_core::migrate;
use tenant_sync_core::outbox::{self, TargetKey};
use tenant_sync_core::registry::{Settings, target_key};
use tenant_sync_core::triggers::{self, Limits, Listens, NewTrigger, Operation};
use tokio_postgres::Client;

use super::receiver::Receiver;
use super::services::{INTERNAL, Services, VISITOR};
use crate::db::{Seeded, seed};
use crate::output::Output;
use crate::tables::Remarks;
use crate::targets::{Desk, explain};

/// Users of each tenancy: 10,000 in all.
const USERS: [u32; 3] = [6_000, 3_000, 1_000];

/// What a target of the demo is like: number of its tenancy, id, database, and the mappings that go there.
const TARGETS: [(usize, &str, &str, Option<&str>); 4] = [
    (0, "main", "demo_1", None),
    (1, "main", "demo_2", None),
    (2, "main", "demo_3", None),
    (2, "reporting", "demo_3_reporting", Some("users")),
];

/// Everything that the demo plays with.
pub(super) struct Stage {
    pub(super) internal: Internal,
    pub(super) mappings: Vec<Mapping>,
    pub(super) tenancies: Vec<Seeded>,
    pub(super) targets: Vec<StageTarget>,
    pub(super) schema: String,
    pub(super) receiver: Receiver,
}

impl Stage {
    /// Whether every event of the trigger was sent.
    pub(super) async fn nothing_to_send(&self) -> anyhow::Result<bool> {
        let waits = r#"select not exists (select from "OutgoingRequest" where "destinationId" is not null)"#;
        Ok(self.internal.get().await?.query_one(waits, &[]).await?.get(0))
    }
}

/// A target of the demo.
pub(super) struct StageTarget {
    pub(super) key: TargetKey,
    /// Its tenancy's project, and its id.
    pub(super) name: String,
    pub(super) database: String,
    pub(super) settings: Settings,
}

/// Creates everything anew; what an earlier demo left is dropped.
pub(super) async fn prepare(services: &Services, config: &Config, output: Output) -> anyhow::Result<Stage> {
    let internal_server = services.internal_admin(None).await?;
    make_database(&internal_server, INTERNAL).await?;
    migrate::ensure(config).await?;
    let internal = Internal::new(&config.database, "demo")?;
    let mut tenancies = Vec::new();
    for users in USERS {
        tenancies.extend(seed(&internal, 1, users, None).await?);
    }
    let (users, channels) =
        tenancies.iter().fold((0, 0), |(u, c), seeded| (u + seeded.users, c + seeded.contact_channels));
    output.progress(&format!(
        "{} tenancies with {users} users and {channels} contact channels in the database {INTERNAL}",
        tenancies.len()
    ));
    let external_server = services.external_admin(None).await?;
    for server in [&internal_server, &external_server] {
        make_visitor(server, services.visitor_password()).await?;
    }
    let grants = format!(
        "grant usage on schema public to {VISITOR}; grant select on all tables in schema public to {VISITOR}"
    );
    services.internal_admin(Some(INTERNAL)).await?.batch_execute(&grants).await?;

    let desk = Desk::with(config, internal.clone())?;
    let mut targets = Vec::new();
    for (tenancy, id, database, mapping) in TARGETS {
        make_database(&external_server, database).await?;
        targets.push(add_target(&desk, services, &tenancies[tenancy], id, database, mapping).await?);
    }
    output.progress(&format!("{} targets, each in a database of its own", targets.len()));
    let receiver = add_trigger(&desk).await?;
    output.progress(&format!("1 trigger: each changed user is told to {}, signed\n", receiver.url()));
    let schema = config.sync.schema.clone();
    Ok(Stage { internal, mappings: desk.mappings.clone(), tenancies, targets, schema, receiver })
}

/// A trigger for the users of all tenancies, and a receiver of its events in this process.
async fn add_trigger(desk: &Desk) -> anyhow::Result<Receiver> {
    let mut receiver = Receiver::bind().await?;
    let requests = &desk.config.requests;
    let client = desk.internal.get().await?;
    outbox::publish_settings(&client, requests.allow_http, requests.max_body_bytes).await?;
    drop(client);
    let trigger = NewTrigger {
        tenancy_id: None,
        listens: Listens::Table {
            table: "users".to_owned(),
            operations: vec![Operation::Insert, Operation::Update, Operation::Delete],
            columns: None,
            condition: None,
        },
        url: receiver.url().to_owned(),
        headers: BTreeMap::new(),
        secrets: Vec::new(),
        event_limit: 10_000,
        ordered: true,
        timeout: None,
        parallelism: None,
        rate_per_second: None,
        batch_events: 1,
        batch_wait: Duration::ZERO,
    };
    let registered = triggers::register(
        &desk.internal,
        &desk.mappings,
        &desk.keys,
        &trigger,
        Limits::default(),
        &mut Remarks,
    )
    .await?;
    let secret = registered.new_secret.context("no secret was made")?;
    receiver.start(&secret)?;
    Ok(receiver)
}

async fn add_target(
    desk: &Desk,
    services: &Services,
    tenancy: &Seeded,
    id: &str,
    database: &str,
    mapping: Option<&str>,
) -> anyhow::Result<StageTarget> {
    let key = target_key(tenancy.tenancy_id, id)?;
    let settings = Settings {
        url: services.target_url(database),
        schema: None,
        mappings: mapping.map(|name| vec![name.to_owned()]),
        read_roles: vec![VISITOR.to_owned()],
        ca_certificates: None,
    };
    let checked = desk.check(&key, &settings, true).await?;
    let findings = checked.report.as_ref().map(explain).unwrap_or_default();
    ensure!(checked.is_good(), "the database {database} cannot be a target:\n{findings}");
    desk.add(&key, None, &checked.stored).await?;
    let name = format!("{}/{id}", tenancy.project_id);
    Ok(StageTarget { key, name, database: database.to_owned(), settings })
}

async fn make_database(server: &Client, name: &str) -> anyhow::Result<()> {
    server.batch_execute(&format!("drop database if exists {name} with (force)")).await?;
    server.batch_execute(&format!("create database {name}")).await?;
    Ok(())
}

async fn make_visitor(server: &Client, password: &str) -> anyhow::Result<()> {
    let there =
        server.query_opt("select from pg_catalog.pg_roles where rolname::text = $1", &[&VISITOR]).await?;
    let verb = if there.is_some() { "alter" } else { "create" };
    // The password has only hexadecimal digits.
    server.batch_execute(&format!("{verb} role {VISITOR} login password '{password}'")).await?;
    Ok(())
}
