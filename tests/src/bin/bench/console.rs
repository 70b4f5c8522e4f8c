//! A tenant's users and metrics, against the plain form: a query a relation, no cache. Same rows, same server, same run.
//! And the status of many tenants, through HTTP.
//!
//! The plain form may use every index that there is, also ours. *Cold* means that "CacheEntry" is empty and that what the
//! console folds all the time is folded; how fast that goes is measured beside it.

#[path = "console/plain.rs"]
mod plain;
#[path = "console/status.rs"]
mod status;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tenant_sync_console::Console;
use tenant_sync_console::activity::{Activity, Caught};
use tenant_sync_console::users::{Anonymous, OrderBy, UsersQuery, search};
use tenant_sync_console::{metrics, users};
use tenant_sync_core::config::Config;
use tenant_sync_core::db::Internal;
use tenant_sync_tests::stack::Stack;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const EVENTS: &str = "1000000";
const LONG: Duration = Duration::from_secs(1_800);
const PLAIN_ROUNDS: usize = 3;
const ROUNDS: usize = 20;

/// Measures, prints, and returns the section of the report.
pub(crate) async fn measure() -> Value {
    let status = status::of_many_tenants().await;
    let metrics = metrics_of_ten_thousand().await;
    let users = users_of_a_million().await;
    json!({"status": status, "metrics": metrics, "users": users})
}

/// An installation with one seeded tenancy.
struct Seeded {
    console: Console,
    plain: Client,
    tenancy: Uuid,
    fold: Duration,
    insert: Duration,
    // Goes last: it holds the database.
    _stack: Stack,
}

async fn seeded(users: &str, events: &str) -> Seeded {
    let mut stack = Stack::plan().externals(0).start().await;
    stack.set("database.statement_timeout", "10m");
    stack.set("console.query_timeout", "10m");
    stack.set("console.admin_keys", "bench:0123456789abcdef");
    let began = Instant::now();
    let arguments = ["db", "seed", "--tenancies", "1", "--users", users, "--events", events];
    let made = stack.cli().json(&arguments).await;
    let insert = began.elapsed();
    let tenancy = made["tenancies"][0]["tenancyId"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    let config: Config = stack.config();
    let internal = Internal::new(&config.database, "bench").expect("a pool");
    let began = Instant::now();
    let caught = Activity::new(internal.clone()).catch_up(LONG).await.expect("folding");
    assert_eq!(caught, Caught::Up, "not everything was folded");
    let fold = began.elapsed();
    search::prepare(&internal).await.expect("search indexes");
    stack.internal().sql("vacuum analyze").await;
    let console = Console::new(Arc::new(config), CancellationToken::new()).expect("a console");
    let plain = stack.internal().connect().await;
    Seeded { console, plain, tenancy, fold, insert, _stack: stack }
}

async fn metrics_of_ten_thousand() -> Value {
    let seeded = seeded("10000", EVENTS).await;
    let plain =
        plain::median(PLAIN_ROUNDS, async || plain::metrics(&seeded.plain, seeded.tenancy).await).await;
    let ask = async || drop(metrics::of(&seeded.console, seeded.tenancy, false).await.expect("metrics"));
    let forget = r#"delete from "CacheEntry""#;
    let mut cold = Vec::new();
    for _ in 0..ROUNDS {
        seeded.plain.batch_execute(forget).await.expect("delete");
        let began = Instant::now();
        ask().await;
        cold.push(began.elapsed());
    }
    let cold = plain::middle(cold);
    let warm = plain::median(ROUNDS * 10, ask).await;
    let (cold_ratio, warm_ratio) = (ratio(plain, cold), ratio(plain, warm));
    println!("metrics of 10,000 users with {EVENTS} events");
    println!("  a query a relation, no cache {:>9.2} ms", millis(plain));
    println!("  cold (the cache is empty)    {:>9.2} ms   {cold_ratio:.0}x (goal 3x)", millis(cold));
    println!("  warm                         {:>9.2} ms   {warm_ratio:.0}x (goal 10x)", millis(warm));
    println!(
        "  seeding took {:.1} s, folding all events {:.1} s",
        seeded.insert.as_secs_f64(),
        seeded.fold.as_secs_f64()
    );
    json!({"plainMillis": millis(plain), "coldMillis": millis(cold), "warmMillis": millis(warm), "coldRatio": cold_ratio,
           "warmRatio": warm_ratio, "seedMillis": millis(seeded.insert), "foldMillis": millis(seeded.fold)})
}

async fn users_of_a_million() -> Value {
    let seeded = seeded("1000000", EVENTS).await;
    let by_signed_up = UsersQuery { limit: 200, desc: true, ..UsersQuery::of(seeded.tenancy) };
    let by_activity = UsersQuery { order_by: OrderBy::LastActiveAt, ..by_signed_up.clone() };
    let search = |text: &str| UsersQuery { search: Some(text.to_owned()), ..by_signed_up.clone() };
    println!("200 of 1,000,000 users, the one statement in the database, {ROUNDS} times");
    println!("                    execution median   least   planning   blocks   whole call");
    let mut section = serde_json::Map::new();
    for (name, query) in [
        ("bySignedUpAt", by_signed_up.clone()),
        ("byLastActiveAt", by_activity.clone()),
        ("anonymousToo", UsersQuery { anonymous: Anonymous::Included, ..by_activity.clone() }),
        ("onlyAnonymous", UsersQuery { anonymous: Anonymous::Only, ..by_activity }),
        ("searchFrequent", search("user1")),
        // The first match of those that are named lies behind all others.
        ("searchElsewhere", UsersQuery { desc: false, ..search("user1") }),
        ("searchRare", search("ser 77777")),
    ] {
        section.insert(name.to_owned(), page(&seeded.console, name, &query).await);
    }
    let plain = plain::median(PLAIN_ROUNDS, async || plain::users(&seeded.plain, seeded.tenancy).await).await;
    println!("  a query a relation, by last activity {:>9.2} ms", millis(plain));
    section.insert("plainByLastActiveAtMillis".into(), json!(millis(plain)));
    section.into()
}

/// What a page costs in the server, and as a whole.
async fn page(console: &Console, name: &str, query: &UsersQuery) -> Value {
    let number = |plan: &Value, at: &str| plan.pointer(at).and_then(Value::as_f64).expect("a number");
    let plan = users::plan(console, query, true).await.expect("a plan");
    let blocks = number(&plan, "/0/Plan/Shared Hit Blocks") + number(&plan, "/0/Plan/Shared Read Blocks");
    let (mut executing, mut planning) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let plan = users::plan(console, query, false).await.expect("a plan");
        executing.push(Duration::from_secs_f64(number(&plan, "/0/Execution Time") / 1e3));
        planning.push(Duration::from_secs_f64(number(&plan, "/0/Planning Time") / 1e3));
    }
    let least = executing.iter().min().copied().unwrap_or_default();
    let (median, planning) = (plain::middle(executing), plain::middle(planning));
    let call = whole_call(console, query).await;
    println!(
        "  {name:<16} {:>10.2} ms {:>7.2} ms {:>7.2} ms {blocks:>8} {:>9.2} ms",
        millis(median),
        millis(least),
        millis(planning),
        millis(call)
    );
    json!({"executionMillis": millis(median), "leastExecutionMillis": millis(least), "planningMillis": millis(planning),
           "blocks": blocks, "callMillis": millis(call)})
}

async fn whole_call(console: &Console, query: &UsersQuery) -> Duration {
    plain::median(ROUNDS, async || {
        users::list(console, query).await.expect("a page");
    })
    .await
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn ratio(plain: Duration, ours: Duration) -> f64 {
    plain.as_secs_f64() / ours.as_secs_f64()
}
