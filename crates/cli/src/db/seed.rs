//! `db seed`: sample projects, tenancies and users with their contact channels, in plain SQL.

use std::process::ExitCode;

use anyhow::{bail, ensure};
use serde::Serialize;
use tenant_sync_core::config::Config;
use tenant_sync_core::db::Internal;
use tenant_sync_core::migrate::Migrator;
use uuid::Uuid;

use crate::context::Context;

/// `db seed`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Tenancies to add, each with a project of its own
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    tenancies: u16,
    /// Users of each tenancy
    #[arg(long, default_value_t = 100)]
    users: u32,
    /// Add to a database that has tenancies already
    #[arg(long)]
    yes: bool,
}

/// A tenancy that was made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Seeded {
    pub(crate) tenancy_id: Uuid,
    pub(crate) project_id: String,
    pub(crate) users: u64,
    pub(crate) contact_channels: u64,
}

#[derive(Debug, Serialize)]
struct Report {
    tenancies: Vec<Seeded>,
}

pub(super) async fn run(context: &Context, config: &Config, args: &Args) -> anyhow::Result<ExitCode> {
    ensure!(
        config.database.user_tables,
        "there is no sample application to fill: database.user_tables is false"
    );
    Migrator::new(config)?.check().await?;
    let internal = Internal::new(&config.database, "seed")?;
    if !args.yes && has_tenancies(&internal).await? {
        bail!("there are tenancies already; --yes adds the sample ones to them");
    }
    let tenancies = seed(&internal, args.tenancies, args.users).await?;
    context.output.result(&Report { tenancies }, |report| {
        let line = |t: &Seeded| {
            format!(
                "{}  {}  {} users, {} contact channels",
                t.tenancy_id, t.project_id, t.users, t.contact_channels
            )
        };
        report.tenancies.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn has_tenancies(internal: &Internal) -> anyhow::Result<bool> {
    Ok(internal.get().await?.query_opt(r#"select from "Tenancy" limit 1"#, &[]).await?.is_some())
}

/// Adds `tenancies` with `users` each. Every user has a primary address; every third has a second one.
pub(crate) async fn seed(internal: &Internal, tenancies: u16, users: u32) -> anyhow::Result<Vec<Seeded>> {
    let mut session = internal.get().await?;
    let mut seeded = Vec::new();
    for _ in 0..tenancies {
        let transaction = session.transaction().await?;
        let project = transaction.query_one(PROJECT, &[]).await?;
        let project_id: String = project.get(0);
        let tenancy = transaction.query_one(TENANCY, &[&project_id]).await?;
        let tenancy_id: Uuid = tenancy.get(0);
        let users = transaction.execute(USERS, &[&tenancy_id, &i64::from(users)]).await?;
        let contact_channels = transaction.execute(CHANNELS, &[&tenancy_id, &project_id]).await?;
        transaction.commit().await?;
        seeded.push(Seeded { tenancy_id, project_id, users, contact_channels });
    }
    Ok(seeded)
}

/// The first free name of the form `sample-1`.
const PROJECT: &str = r#"
    insert into "Project" ("id", "displayName")
    select 'sample-' || n, 'Sample ' || n
    from (select coalesce(max(substring("id" from '^sample-(\d{1,9})$')::int), 0) + 1 as n from "Project") next
    returning "id""#;

const TENANCY: &str = r#"insert into "Tenancy" ("projectId") values ($1) returning "id""#;

const USERS: &str = r#"
    insert into "ProjectUser"
        ("tenancyId", "displayName", "signedUpAt", "clientMetadata", "serverMetadata", "isAnonymous")
    select $1, case n % 10 when 0 then 'Üser ' || n || ' 😀' else 'User ' || n end,
           now() - n * interval '1 minute',
           case n % 3 when 0 then null else jsonb_build_object('theme', 'dark', 'number', n) end,
           jsonb_build_object('plan', case n % 4 when 0 then 'paid' else 'free' end), n % 25 = 0
    from generate_series(1, $2::bigint) n"#;

const CHANNELS: &str = r#"
    with numbered as (
        select "projectUserId" as id, row_number() over (order by "signedUpAt" desc) as n
        from "ProjectUser" where "tenancyId" = $1
    )
    insert into "ContactChannel"
        ("tenancyId", "projectUserId", "type", "value", "isPrimary", "isVerified", "usedForAuth")
    select $1, id, 'EMAIL', 'user' || n || '@' || $2::text || '.example', true, n % 3 <> 1, true from numbered
    union all
    select $1, id, 'EMAIL', 'other' || n || '@' || $2::text || '.example', false, false, false from numbered
    where n % 3 = 0"#;
