//! What being tracked costs the application: the same writes on the same table, tracked and not, in turn.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tenant_sync_tests::services::Services;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::template::Template;
use tokio_postgres::Client;

const ROWS: i64 = 100_000;
/// Short ones in turn, because a neighbour on the machine disturbs some of them; the first is for warming up.
const ROUNDS: usize = 12;
const BULK_ROUNDS: usize = 4;
const SECONDS: &str = "1";

const TABLE: &str = r#"insert into "Project" ("id") values ('p');
    insert into "Tenancy" ("projectId", "branchId", "tenantKey") select 'p', g, g from generate_series(1, 1000) g;
    create table invoices (id bigserial primary key, org_id bigint not null, amount numeric, note text,
                           updated_at timestamptz default now());
    insert into invoices (org_id, amount, note) select 1 + g % 1000, g, 'invoice ' || g from generate_series(1, 100000) g;
    analyze"#;
const INSERT: &str = "\\set org random(1, 1000)\ninsert into invoices (org_id, amount, note) values (:org, 12.5, 'hello world')";
const UPDATE: &str = "\\set id random(1, 100000)\nupdate invoices set amount = amount + 1 where id = :id";
const BULK: &str = "update invoices set amount = amount + 1 where id <= 100000";
const TRACK: &str = "select track_table('invoices', 'org_id')";
const UNTRACK: &str = r#"select untrack_table('invoices'); truncate "ChangedRow""#;

/// Best rate, in transactions a second, of one kind of statement with a number of clients.
struct Single {
    statement: &'static str,
    clients: u32,
    untracked: f64,
    tracked: f64,
}

/// Best time, and bytes of WAL, of one statement over all rows.
#[derive(Clone, Copy)]
struct Bulk {
    took: Duration,
    wal_bytes: i64,
}

/// Measures, prints, and returns the section of the report.
pub(crate) async fn measure() -> Value {
    let stack = Stack::plan().template(Template::Engine).externals(0).start().await;
    let client = stack.internal().connect().await;
    client.batch_execute(TABLE).await.expect("a table");
    let single = single_rows(&stack, &client).await;
    let (untracked, tracked) = bulk(&client).await;
    print(&single, untracked, tracked);
    let section = |one: &Single| {
        json!({"statement": one.statement, "clients": one.clients, "untrackedPerSecond": one.untracked,
               "trackedPerSecond": one.tracked, "ratio": one.tracked / one.untracked})
    };
    json!({
        "singleRow": single.iter().map(section).collect::<Vec<_>>(),
        "bulkUpdate": {
            "rows": ROWS, "untrackedMillis": untracked.took.as_millis() as u64, "trackedMillis": tracked.took.as_millis() as u64,
            "untrackedWalBytes": untracked.wal_bytes, "trackedWalBytes": tracked.wal_bytes,
        },
    })
}

async fn single_rows(stack: &Stack, client: &Client) -> Vec<Single> {
    let mut measured = Vec::new();
    for (statement, sql) in [("insert", INSERT), ("update", UPDATE)] {
        for clients in [1, 8] {
            let mut rates = [0.0_f64; 2];
            for round in 0..ROUNDS {
                for (kind, prepare) in [UNTRACK, TRACK].into_iter().enumerate() {
                    client.batch_execute(prepare).await.expect("tracking");
                    let rate = pgbench(stack, sql, clients);
                    if round > 0 {
                        rates[kind] = rates[kind].max(rate);
                    }
                }
            }
            let [untracked, tracked] = rates;
            measured.push(Single { statement, clients, untracked, tracked });
        }
    }
    measured
}

fn pgbench(stack: &Stack, sql: &str, clients: u32) -> f64 {
    let script = stack.scratch().path().join("statement.sql");
    std::fs::write(&script, format!("{sql};\n")).expect("our own folder");
    let program =
        Services::from_env().pg_bin.map_or_else(|| PathBuf::from("pgbench"), |bin| bin.join("pgbench"));
    let output = Command::new(program)
        .args([
            "--no-vacuum",
            "--protocol=prepared",
            "--jobs=2",
            "--time",
            SECONDS,
            "--client",
            &clients.to_string(),
            "--file",
        ])
        .arg(&script)
        .arg(stack.internal().url())
        .output()
        .expect("pgbench, which comes with PostgreSQL's server");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    rate.unwrap_or_else(|| panic!("pgbench: {text} {}", String::from_utf8_lossy(&output.stderr)))
}

async fn bulk(client: &Client) -> (Bulk, Bulk) {
    let mut best: [Option<Bulk>; 2] = [None; 2];
    for _ in 0..BULK_ROUNDS {
        for (kind, prepare) in [UNTRACK, TRACK].into_iter().enumerate() {
            client.batch_execute(prepare).await.expect("tracking");
            for statement in ["vacuum invoices", "checkpoint"] {
                client.batch_execute(statement).await.expect(statement);
            }
            let from = lsn(client).await;
            let began = Instant::now();
            client.batch_execute(BULK).await.expect("update");
            let now = Bulk { took: began.elapsed(), wal_bytes: lsn(client).await - from };
            best[kind] = Some(best[kind].filter(|b| b.took < now.took).unwrap_or(now));
        }
    }
    let [untracked, tracked] = best.map(|bulk| bulk.expect("a round"));
    (untracked, tracked)
}

async fn lsn(client: &Client) -> i64 {
    let sql = "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::int8";
    client.query_one(sql, &[]).await.expect("a position").get(0)
}

fn print(single: &[Single], untracked: Bulk, tracked: Bulk) {
    println!("being tracked: single rows, transactions a second");
    for one in single {
        println!(
            "  {}, {} client{:<2} {:>9.0} untracked {:>9.0} tracked   ratio {:.2} (goal 0.75)",
            one.statement,
            one.clients,
            if one.clients == 1 { "" } else { "s" },
            one.untracked,
            one.tracked,
            one.tracked / one.untracked
        );
    }
    println!("being tracked: one UPDATE of {ROWS} rows");
    for (name, bulk) in [("untracked", untracked), ("tracked", tracked)] {
        println!(
            "  {name:<10} {:>7.2} s  {:>7.0} MB of WAL",
            bulk.took.as_secs_f64(),
            bulk.wal_bytes as f64 / 1e6
        );
    }
}
