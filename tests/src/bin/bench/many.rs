//! One change in each of many targets, each of another tenant: with sessions that are kept, and with more targets than
//! one worker keeps sessions for.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tenant_sync_tests::stack::Stack;
use tokio_postgres::Client;
use uuid::Uuid;

use super::cost::{Cost, Counters};

/// Below `sync.idle_connections`, and above.
const SERIES: [usize; 2] = [200, 1_000];
const ROUNDS: usize = 3;
const LOOK_EVERY: Duration = Duration::from_millis(50);
const DEADLINE: Duration = Duration::from_secs(300);

/// One change in each target.
struct Round {
    per_second: f64,
    inside: Cost,
    /// In the server of all the targets.
    outside: Cost,
}

/// Measures, prints, and returns the section of the report.
pub(crate) async fn measure() -> Value {
    let mut all = Vec::new();
    for targets in SERIES {
        let (copied, rounds) = series(targets).await;
        println!(
            "{targets} targets of as many tenants, first copies of one row: {copied:.0} targets a second"
        );
        for round in &rounds {
            println!(
                "  one change in each: {:.0} targets a second\n    inside: {}\n    targets: {}",
                round.per_second,
                round.inside.line(),
                round.outside.line()
            );
        }
        let of_round = |round: &Round| json!({"perSecond": round.per_second, "costs": round.inside.json(), "targetsCosts": round.outside.json()});
        let rounds: Vec<_> = rounds.iter().map(of_round).collect();
        all.push(json!({"targets": targets, "firstCopiesPerSecond": copied, "oneChangeInEach": rounds}));
    }
    Value::Array(all)
}

/// First copies a second, and the rounds.
async fn series(targets: usize) -> (f64, Vec<Round>) {
    let stack = Stack::plan().externals(1).start().await;
    let (client, outside) = (stack.internal().connect().await, stack.external(0).connect().await);
    add_targets(&stack, &client, targets).await;
    let workers = stack.start_workers().await;
    let processes = [
        ("sync-worker", workers.sync_worker.pid()),
        ("poller", workers.poller.pid()),
        ("sequencer", workers.sequencer.pid()),
    ];
    let copied = targets as f64 / idle(&client, Instant::now()).await.as_secs_f64();
    client.batch_execute("vacuum analyze").await.expect("statistics");
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let change = format!(r#"update "ProjectUser" set "displayName" = 'round {round}'"#);
        client.batch_execute(&change).await.expect("changes");
        let began = Instant::now();
        let inside_before = Counters::read(&client, &processes).await;
        let outside_before = Counters::read(&outside, &[]).await;
        let took = idle(&client, began).await;
        rounds.push(Round {
            per_second: targets as f64 / took.as_secs_f64(),
            inside: inside_before.until(&Counters::read(&client, &processes).await, targets),
            outside: outside_before.until(&Counters::read(&outside, &[]).await, targets),
        });
    }
    for n in 0..targets {
        let look =
            format!("select count(*) from {}.users where display_name = 'round {}'", schema(n), ROUNDS - 1);
        let there: i64 = outside.query_one(&look, &[]).await.expect("looks").get(0);
        assert_eq!(there, 1, "target {n}");
    }
    (copied, rounds)
}

async fn add_targets(stack: &Stack, client: &Client, targets: usize) {
    let tenants = format!(
        r#"insert into "Project" ("id") select 'project-' || n from generate_series(1, {targets}) n;
           insert into "Tenancy" ("projectId", "tenantKey") select 'project-' || n, 'key-' || n from generate_series(1, {targets}) n;
           insert into "ProjectUser" ("tenancyId", "displayName") select "id", 'new' from "Tenancy""#
    );
    client.batch_execute(&tenants).await.expect("tenants");
    for (n, row) in client.query(r#"select "id" from "Tenancy""#, &[]).await.expect("ids").iter().enumerate()
    {
        let id: Uuid = row.get(0);
        stack.target(id, "main", stack.external(0).url(), &["--schema", &schema(n)]).await;
    }
}

fn schema(n: usize) -> String {
    format!("tenant_{n}")
}

/// From `began` until every change has its id, and every target has come so far. Visits go on meanwhile.
async fn idle(client: &Client, began: Instant) -> Duration {
    let behind = r#"select exists (
        select from "ProjectUser" u
        left join "SyncState" s on s."tenancyId" = u."tenancyId" and s."mappingName" = 'users'
        where u."shouldUpdateSequenceId" or s."filling" is distinct from false or s."lastSyncedSequenceId" < u."sequenceId")"#;
    while client.query_one(behind, &[]).await.expect("looks").get(0) {
        assert!(began.elapsed() < DEADLINE, "targets are behind");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    began.elapsed()
}
