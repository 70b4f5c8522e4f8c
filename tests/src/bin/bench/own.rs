//! A table of the operator's own beside the shipped ones: the same rows, the same columns, the same run.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::Tenant;
use tenant_sync_tests::wait::eventually;

const ROWS: i64 = 200_000;
const ROUNDS: i64 = 10;
const CHANGED: i64 = 5_000;
const DEADLINE: Duration = Duration::from_secs(600);

const MAPPING: &str = r#"
name = "app_channels"
event = "app_channel"
[source]
schema = "public"
table = "app_channels"
tenant = "org"
[target]
table = "app_channels"
key = ["id"]
[[index]]
columns = ["user_id"]
"#;
const COLUMNS: [(&str, &str); 8] = [
    ("id", "uuid"),
    ("user_id", "uuid"),
    ("type", "text"),
    ("value", "text"),
    ("is_primary", "boolean"),
    ("is_verified", "boolean"),
    ("used_for_auth", "boolean"),
    ("created_at", "timestamptz"),
];

/// How long each took: the shipped table, the application's own.
struct Pair {
    shipped: Duration,
    own: Duration,
}

impl Pair {
    /// Speed of the own one as a part of the shipped one's.
    fn ratio(&self) -> f64 {
        self.shipped.as_secs_f64() / self.own.as_secs_f64()
    }

    fn section(&self, rows: i64) -> Value {
        json!({"rows": rows, "shippedMillis": self.shipped.as_millis() as u64, "ownMillis": self.own.as_millis() as u64,
               "ratio": self.ratio()})
    }
}

/// Measures, prints, and returns the section of the report.
pub(crate) async fn measure() -> Value {
    let mut stack = Stack::plan().externals(2).start().await;
    let folder = stack.scratch().path().join("mappings");
    std::fs::create_dir_all(&folder).expect("our own folder");
    let columns: String = COLUMNS
        .iter()
        .map(|(name, kind)| {
            format!("[[column]]\nname = \"{name}\"\ntype = \"{kind}\"\nexpr = 's.\"{name}\"'\n")
        })
        .collect();
    std::fs::write(folder.join("app_channels.toml"), MAPPING.to_owned() + &columns).expect("our own folder");
    stack.set("mappings.dir", folder.display());
    let tenant = Tenant::create(&stack).await;
    seed(&stack, tenant).await;
    let _workers = stack.start_workers().await;
    let pending = r#"select exists (select from "ContactChannel" where "shouldUpdateSequenceId")
                     or exists (select from "ProjectUser" where "shouldUpdateSequenceId")"#;
    eventually(DEADLINE, "all rows to have an id", async || {
        if stack.internal().value(pending).await == "f" { Ok(()) } else { Err("some have none") }
    })
    .await;
    stack.internal().sql("vacuum analyze").await;

    let copy = Pair {
        shipped: first_copy(&stack, tenant, 0, "contact_channels").await,
        own: first_copy(&stack, tenant, 1, "app_channels").await,
    };
    // In turn, so that both see the same machine.
    let (mut shipped, mut own) = (Duration::ZERO, Duration::ZERO);
    for round in 1..=ROUNDS {
        shipped += steady(&stack, 0, round).await;
        own += steady(&stack, 1, round).await;
    }
    let changes = Pair { shipped, own };
    for (what, pair, rows) in
        [("first copy", &copy, ROWS), ("changes, in batches of 5,000", &changes, ROUNDS * CHANGED)]
    {
        println!(
            "a table of the operator's own, {what}: {rows} rows   {:.2} s, shipped {:.2} s   ratio {:.2} (goal 0.9)",
            pair.own.as_secs_f64(),
            pair.shipped.as_secs_f64(),
            pair.ratio()
        );
    }
    json!({"firstCopy": copy.section(ROWS), "changes": changes.section(ROUNDS * CHANGED)})
}

async fn seed(stack: &Stack, tenant: Tenant<'_>) {
    let id = tenant.id();
    stack
        .internal()
        .sql(&format!(
            r#"create table app_channels (
                 id uuid primary key, org uuid not null, user_id uuid not null, type text, value text, is_primary boolean,
                 is_verified boolean, used_for_auth boolean, created_at timestamptz not null default now());
               create index on app_channels (org, id);
               insert into "ProjectUser" ("tenancyId", "displayName")
               select '{id}', 'User ' || g from generate_series(1, {ROWS}) g;
               insert into "ContactChannel" ("tenancyId", "projectUserId", "value", "isPrimary", "isVerified")
               select "tenancyId", "projectUserId", "projectUserId" || '@example.com', true, true from "ProjectUser";
               insert into app_channels select "id", "tenancyId", "projectUserId", "type", "value", "isPrimary", "isVerified",
                 "usedForAuth", "createdAt" from "ContactChannel";
               select track_table('app_channels', 'org')"#
        ))
        .await;
}

/// From the moment at which the target is known until everything is there.
async fn first_copy(stack: &Stack, tenant: Tenant<'_>, external: usize, mapping: &str) -> Duration {
    let began = Instant::now();
    let target = tenant.target(stack.external(external)).id(mapping).mapping(mapping).add().await;
    let filled = format!(
        r#"select count(*) from "SyncState" where "databaseId" = '{mapping}' and not "filling" and "completeAsOf" is not null"#
    );
    eventually(DEADLINE, "the first copy", async || {
        if stack.internal().value(&filled).await == "1" { Ok(()) } else { Err("it is being filled") }
    })
    .await;
    let took = began.elapsed();
    let count = target.value(&format!("select count(*) from {mapping}")).await;
    assert_eq!(count, ROWS.to_string(), "the copy is not complete");
    took
}

/// From the commit of a change of many rows until all of them are there.
async fn steady(stack: &Stack, external: usize, round: i64) -> Duration {
    let (source, table) =
        [(r#""ContactChannel""#, "contact_channels"), ("app_channels", "app_channels")][external];
    let first = (round - 1) * CHANGED;
    stack
        .internal()
        .sql(&format!(
            "update {source} set value = 'round {round}' where id in (
               select id from {source} order by id limit {CHANGED} offset {first})"
        ))
        .await;
    let began = Instant::now();
    let arrived = format!("select count(*) from tenant_sync.{table} where value = 'round {round}'");
    eventually(DEADLINE, "the changes", async || {
        let there = stack.external(external).value(&arrived).await;
        if there == CHANGED.to_string() { Ok(()) } else { Err(there) }
    })
    .await;
    let took = began.elapsed();
    // Nothing of it is left to do when the next one is measured.
    let request = r#"select count(*) from "OutgoingRequest""#;
    eventually(DEADLINE, "everything to be done", async || {
        let left = stack.internal().value(request).await;
        if left == "0" { Ok(()) } else { Err(left) }
    })
    .await;
    took
}
