//! What tracing takes: processor time of the four workers for each change, which is a row in a target and an HTTP request,
//! and while nothing happens. Off and on in turn, on the same servers and tables.

use std::time::Duration;

use serde_json::{Value, json};
use tenant_sync_tests::otlp::Collector;
use tenant_sync_tests::receiver::Receiver;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::Tenant;
use tenant_sync_tests::worker::Worker;
use uuid::Uuid;

const ROUNDS: usize = 5;
const CHANGES: usize = 1_500;
const WARM: usize = 100;
const IDLE: Duration = Duration::from_secs(5);
const WORKERS: [&str; 4] = ["sequencer", "poller", "sync-worker", "request-worker"];

/// How the workers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Off,
    On,
    /// The programs of another build, in the folder that `TENANT_SYNC_BENCH_OTHER` names, without tracing.
    Other,
}

/// Processor time in microseconds.
#[derive(Debug, Clone, Copy)]
struct Cost {
    a_change: f64,
    a_second_idle: f64,
}

/// Measures, prints, and returns the section of the report.
pub(crate) async fn measure() -> Value {
    let stack = Stack::start().await;
    let (collector, receiver) = (Collector::start().await, Receiver::start().await);
    receiver.keep_nothing();
    let tenant = Tenant::create(&stack).await;
    let tenancy = tenant.id();
    let id = tenancy.to_string();
    let add = ["trigger", "add", "--tenancy", &id, "--table", "ProjectUser", "--on", "insert"];
    stack.cli().json(&[&add[..], &["--url", &receiver.url()]].concat()).await;
    tenant.target(stack.external(0)).add().await;
    let other = std::env::var("TENANT_SYNC_BENCH_OTHER").ok();
    let mut ways = vec![(Way::Off, Vec::new()), (Way::On, Vec::new())];
    if other.is_some() {
        ways.push((Way::Other, Vec::new()));
    }
    for _ in 0..ROUNDS {
        for (way, costs) in &mut ways {
            let endpoint = (*way == Way::On).then(|| collector.endpoint());
            let folder = other.as_deref().filter(|_| *way == Way::Other);
            costs.push(round(&stack, tenancy, endpoint.as_deref(), folder).await);
        }
    }
    let spans = collector.spans().len();
    assert!(spans > ROUNDS * CHANGES, "{spans} spans");
    let mut section = json!({"rounds": ROUNDS, "changesARound": CHANGES, "spans": spans});
    println!("tracing, processor time of the four workers, median of {ROUNDS} rounds in turn");
    for (way, costs) in &ways {
        let median = |of: fn(&Cost) -> f64| {
            let mut all: Vec<f64> = costs.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            (all[all.len() / 2], all[0], all[all.len() - 1])
        };
        let (change, idle) = (median(|cost| cost.a_change), median(|cost| cost.a_second_idle));
        println!(
            "  {way:<5?} a change, with its HTTP request {:>6.0} us ({:.0} to {:.0})   a second idle {:>6.0} us ({:.0} to {:.0})",
            change.0, change.1, change.2, idle.0, idle.1, idle.2
        );
        section[format!("{way:?}").to_lowercase()] =
            json!({"microsAChange": change.0, "microsASecondIdle": idle.0});
    }
    section
}

/// Starts the workers, lets them do their work, and says what it took.
async fn round(stack: &Stack, tenancy: Uuid, endpoint: Option<&str>, folder: Option<&str>) -> Cost {
    let mut workers: Vec<Worker> = Vec::new();
    for name in WORKERS {
        let program = folder.map_or_else(|| name.to_owned(), |folder| format!("{folder}/{name}"));
        let mut setup = stack.worker(&program);
        if let Some(endpoint) = endpoint {
            setup = setup.set("telemetry.otlp_endpoint", endpoint);
        }
        workers.push(setup.start().await);
    }
    changes(stack, tenancy, WARM).await;
    let began = processor_time(&workers);
    tokio::time::sleep(IDLE).await;
    let idle = processor_time(&workers) - began;
    let began = processor_time(&workers);
    changes(stack, tenancy, CHANGES).await;
    let worked = processor_time(&workers) - began;
    for worker in &mut workers {
        worker.terminate().await;
    }
    Cost { a_change: worked / CHANGES as f64, a_second_idle: idle / IDLE.as_secs_f64() }
}

/// Each a transaction of its own; returns when all have arrived everywhere.
async fn changes(stack: &Stack, tenancy: Uuid, count: usize) {
    let client = stack.internal().connect().await;
    let insert = r#"insert into "ProjectUser" ("tenancyId", "displayName") values ($1, 'bench')"#;
    let insert = client.prepare(insert).await.expect("prepare");
    for _ in 0..count {
        client.execute(&insert, &[&tenancy]).await.expect("a change");
        // So that they come in many passes and turns, and not all in one.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stack.settled().await;
}

/// User and system time of these processes so far, in microseconds.
fn processor_time(workers: &[Worker]) -> f64 {
    let ticks: u64 = workers
        .iter()
        .map(|worker| {
            let stat =
                std::fs::read_to_string(format!("/proc/{}/stat", worker.pid())).expect("a process runs");
            let (_, rest) = stat.rsplit_once(") ").expect("a name in brackets");
            let fields: Vec<&str> = rest.split(' ').collect();
            let ticks = |at: usize| fields[at].parse::<u64>().expect("a number");
            ticks(11) + ticks(12)
        })
        .sum();
    // A hundred ticks a second, on every Linux.
    ticks as f64 * 10_000.0
}
