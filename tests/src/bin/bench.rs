//! `make bench`: the road against what one would write by hand, on the same rows in the same run.
//!
//! Ratios are what counts; absolute figures depend on the machine. Writes `target/bench/report.json` and prints a table.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a program for people, which fails by panicking"
)]

#[path = "bench/bare.rs"]
mod bare;
#[path = "bench/console.rs"]
mod console;
#[path = "bench/cost.rs"]
mod cost;
#[path = "bench/many.rs"]
mod many;
#[path = "bench/own.rs"]
mod own;
#[path = "bench/requests.rs"]
mod requests;
#[path = "bench/tracing.rs"]
mod tracing;
#[path = "bench/tracking.rs"]
mod tracking;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::wait::eventually;
use tokio_postgres::Client;
use uuid::Uuid;

const USERS: i64 = 200_000;
const SINGLE_STATEMENTS: i64 = 5_000;
const LATENCY_SAMPLES: usize = 500;

/// The rows of the mapping `users`, as one would select them by hand.
const SELECT_USERS: &str = r#"select u."projectUserId", u."displayName", u."profileImageUrl", c."value", coalesce(c."isVerified", false),
 coalesce(u."signedUpAt", u."createdAt"), coalesce(u."clientMetadata", '{}'), coalesce(u."clientReadOnlyMetadata", '{}'),
 coalesce(u."serverMetadata", '{}'), u."isAnonymous" from "ProjectUser" u left join "ContactChannel" c on
 c."tenancyId" = u."tenancyId" and c."projectUserId" = u."projectUserId" and c."type" = 'EMAIL' and c."isPrimary""#;
const SELECT_CHANNELS: &str = r#"select "id", "projectUserId", "type", "value", "isPrimary", "isVerified", "usedForAuth", "createdAt" from "ContactChannel""#;
const CREATE: &str = "create table users (id uuid primary key, display_name text, profile_image_url text, primary_email text,
 primary_email_verified boolean, signed_up_at timestamptz, client_metadata jsonb, client_read_only_metadata jsonb,
 server_metadata jsonb, is_anonymous boolean); create index on users (primary_email);
 create table contact_channels (id uuid primary key, user_id uuid, type text, value text, is_primary boolean,
 is_verified boolean, used_for_auth boolean, created_at timestamptz); create index on contact_channels (user_id);";

#[tokio::main]
async fn main() {
    // One part alone, for whoever works on it.
    match std::env::args().nth(1).as_deref() {
        Some("tracking") => return drop(tracking::measure().await),
        Some("console") => return drop(console::measure().await),
        Some("requests") => return drop(requests::measure().await),
        Some("tracing") => return drop(tracing::measure().await),
        // What `requests` starts as a process of its own.
        Some("bare-loop") => return bare::main(std::env::args().skip(2)).await,
        Some("many") => return drop(many::measure().await),
        Some("own") => return drop(own::measure().await),
        _ => {}
    }
    let stack = Stack::plan().externals(3).start().await;
    let tenancy = stack.tenancy("bench").await;
    seed(&stack.internal().connect().await, tenancy).await;
    // What has an id already is not what the copy is measured by.
    let sequencer = stack.sequencer().start().await;
    sequenced(&stack).await;

    let by_hand = copy_by_hand(&stack).await;
    let by_statement = one_statement_a_row(&stack).await;
    let mut poller = stack.poller().start().await;
    let mut worker = stack.sync_worker().start().await;
    let ours = initial_copy(&stack, tenancy).await;
    let mut latency = single_changes(&stack, tenancy).await;
    latency.sort_unstable();
    worker.terminate().await;
    poller.terminate().await;
    drop(sequencer);
    drop(stack);

    let tracking = tracking::measure().await;
    let own = own::measure().await;
    let many = many::measure().await;
    let console = console::measure().await;
    let requests = requests::measure().await;
    let tracing = tracing::measure().await;
    let sections = json!({"tracking": tracking, "ownTables": own, "manyTargets": many, "console": console, "requests": requests, "tracing": tracing});
    report(by_hand, by_statement, ours, &latency, sections);
}

async fn seed(internal: &Client, tenancy: Uuid) {
    let users = r#"insert into "ProjectUser" ("tenancyId", "projectUserId", "displayName", "profileImageUrl", "signedUpAt", "clientMetadata")
        select $1, gen_random_uuid(), 'User ' || g, 'https://images.example/' || g, now(), jsonb_build_object('n', g, 'plan', 'pro')
        from generate_series(1, $2::bigint) g"#;
    internal.execute(users, &[&tenancy, &USERS]).await.expect("users");
    let channels = r#"insert into "ContactChannel" ("tenancyId", "projectUserId", "value", "isPrimary", "isVerified")
        select "tenancyId", "projectUserId", "projectUserId" || '@example.com', true, true from "ProjectUser" where "tenancyId" = $1"#;
    internal.execute(channels, &[&tenancy]).await.expect("channels");
    internal.batch_execute("analyze").await.expect("analyze");
}

async fn sequenced(stack: &Stack) {
    let pending = r#"select exists (select from "ProjectUser" where "shouldUpdateSequenceId")
                     or exists (select from "ContactChannel" where "shouldUpdateSequenceId")"#;
    eventually(Duration::from_secs(300), "all rows to have an id", async || {
        if stack.internal().value(pending).await == "f" { Ok(()) } else { Err("some have none") }
    })
    .await;
    stack.internal().sql("vacuum analyze").await;
}

/// `COPY` out, `COPY` into a staging table, one upsert: by psql, over a pipe.
async fn copy_by_hand(stack: &Stack) -> Duration {
    let (from, to) = (stack.internal().url(), stack.external(0).url());
    stack.external(0).sql(CREATE).await;
    let began = Instant::now();
    for (table, select, key) in [("users", SELECT_USERS, "id"), ("contact_channels", SELECT_CHANNELS, "id")] {
        let mut source = Command::new("psql")
            .args([from, "-qAtc", &format!("copy ({select}) to stdout").replace('\n', " ")])
            .stdout(Stdio::piped())
            .spawn()
            .expect("psql");
        let rows = source.stdout.take().expect("a pipe");
        let sets = upsert_sets(table);
        let script = [
            format!("create temporary table stage (like {table})"),
            "copy stage from stdin".into(),
            format!("insert into {table} select * from stage on conflict ({key}) do update set {sets}"),
        ];
        let mut target = Command::new("psql");
        target.arg(to).args(["-q", "-1", "-v", "ON_ERROR_STOP=1"]);
        for statement in &script {
            target.args(["-c", statement]);
        }
        let done = target.stdin(rows).status().expect("psql");
        assert!(done.success() && source.wait().expect("psql").success(), "psql failed");
    }
    began.elapsed()
}

fn upsert_sets(table: &str) -> String {
    let columns = match table {
        "users" => {
            "display_name profile_image_url primary_email primary_email_verified signed_up_at client_metadata \
             client_read_only_metadata server_metadata is_anonymous"
        }
        _ => "user_id type value is_primary is_verified used_for_auth created_at",
    };
    columns.split_whitespace().map(|c| format!("{c} = excluded.{c}")).collect::<Vec<_>>().join(", ")
}

/// One awaited upsert a row, for a part of the rows; the rate stands for all of them.
async fn one_statement_a_row(stack: &Stack) -> f64 {
    stack.external(1).sql(CREATE).await;
    let (internal, target) = (stack.internal().connect().await, stack.external(1).connect().await);
    let rows = internal.query(&format!("{SELECT_USERS} limit {SINGLE_STATEMENTS}"), &[]).await.expect("rows");
    let upsert = format!(
        "insert into users values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict (id) do update set {}",
        upsert_sets("users")
    );
    let statement = target.prepare(&upsert).await.expect("prepare");
    let began = Instant::now();
    for row in &rows {
        let text = |at: usize| row.get::<_, Option<String>>(at);
        let json = |at: usize| row.get::<_, Value>(at);
        let signed_up: time::OffsetDateTime = row.get(5);
        target
            .execute(
                &statement,
                &[
                    &row.get::<_, Uuid>(0),
                    &text(1),
                    &text(2),
                    &text(3),
                    &row.get::<_, bool>(4),
                    &signed_up,
                    &json(6),
                    &json(7),
                    &json(8),
                    &row.get::<_, bool>(9),
                ],
            )
            .await
            .expect("upsert");
    }
    rows.len() as f64 / began.elapsed().as_secs_f64()
}

/// From the moment at which the target is known until everything is there.
async fn initial_copy(stack: &Stack, tenancy: Uuid) -> Duration {
    let began = Instant::now();
    stack.target(tenancy, "main", stack.external(2).url(), &[]).await;
    let filled = r#"select count(*) from "SyncState" where not "filling" and "completeAsOf" is not null"#;
    eventually(Duration::from_secs(600), "the first copy", async || {
        if stack.internal().value(filled).await == "2" { Ok(()) } else { Err("it is being filled") }
    })
    .await;
    let took = began.elapsed();
    let (users, channels) = (count(stack, "users").await, count(stack, "contact_channels").await);
    assert_eq!((users, channels), (USERS, USERS), "the copy is not complete");
    took
}

async fn count(stack: &Stack, table: &str) -> i64 {
    let counted = stack.external(2).value(&format!("select count(*) from tenant_sync.{table}")).await;
    counted.parse().expect("a number")
}

/// Commit to visible, one change at a time on an otherwise idle system.
async fn single_changes(stack: &Stack, tenancy: Uuid) -> Vec<Duration> {
    let (internal, target) = (stack.internal().connect().await, stack.external(2).connect().await);
    let change = internal
        .prepare(r#"insert into "ProjectUser" ("tenancyId", "projectUserId", "displayName") values ($1, $2, 'one')"#)
        .await
        .expect("prepare");
    let look = target.prepare("select 1 from tenant_sync.users where id = $1").await.expect("prepare");
    let mut samples = Vec::with_capacity(LATENCY_SAMPLES);
    for _ in 0..LATENCY_SAMPLES {
        let id = Uuid::new_v4();
        internal.execute(&change, &[&tenancy, &id]).await.expect("change");
        let began = Instant::now();
        while target.query_opt(&look, &[&id]).await.expect("look").is_none() {
            assert!(began.elapsed() < Duration::from_secs(30), "a change did not arrive");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        samples.push(began.elapsed());
        // Changes come at any point of the sequencer's interval.
        tokio::time::sleep(Duration::from_millis(20 + rand::random::<u64>() % 60)).await;
    }
    samples
}

fn report(by_hand: Duration, single_rows_per_s: f64, ours: Duration, latency: &[Duration], more: Value) {
    let rows = 2.0 * USERS as f64;
    let percentile =
        |p: usize| latency[(latency.len() * p / 100).min(latency.len() - 1)].as_secs_f64() * 1000.0;
    let against_copy = by_hand.as_secs_f64() / ours.as_secs_f64();
    let ours_per_s = rows / ours.as_secs_f64();
    let against_statements = ours_per_s / single_rows_per_s;
    let mut report = json!({
        "initialCopy": {
            "users": USERS, "rows": 2 * USERS, "oursMillis": ours.as_millis() as u64,
            "copyByHandMillis": by_hand.as_millis() as u64, "ratioToCopyByHand": against_copy,
            "oursRowsPerSecond": ours_per_s, "oneStatementARowRowsPerSecond": single_rows_per_s,
            "ratioToOneStatementARow": against_statements,
        },
        "singleChange": {
            "samples": latency.len(), "p50Millis": percentile(50), "p90Millis": percentile(90),
            "p99Millis": percentile(99), "maxMillis": percentile(100),
        },
    });
    if let (Some(report), Value::Object(more)) = (report.as_object_mut(), more) {
        report.extend(more);
    }
    std::fs::create_dir_all("target/bench").expect("target/bench");
    let text = serde_json::to_string_pretty(&report).expect("json");
    std::fs::write("target/bench/report.json", text + "\n").expect("target/bench/report.json");
    println!("initial copy of {USERS} users with channels");
    println!("  ours                      {:>8.2} s   {ours_per_s:>9.0} rows/s", ours.as_secs_f64());
    println!(
        "  COPY, COPY, upsert        {:>8.2} s   ratio {against_copy:.2} (goal 0.6)",
        by_hand.as_secs_f64()
    );
    println!(
        "  one upsert a row                       {single_rows_per_s:>9.0} rows/s   ratio {against_statements:.0} (goal 30)"
    );
    println!("single change on an idle system, commit to visible, {} samples", latency.len());
    println!(
        "  p50 {:.0} ms (goal 60)   p90 {:.0} ms   p99 {:.0} ms (goal 150)   max {:.0} ms",
        percentile(50),
        percentile(90),
        percentile(99),
        percentile(100)
    );
}
