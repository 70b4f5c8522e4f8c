//! A customer sees few sessions of ours, however many workers there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tenant_sync_tests::database::{connect, rows};
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::{SOON, Tenant};
use tenant_sync_tests::wait::eventually;

/// Four workers, and a change after every sync: each of them gets its turns, with two sessions for all.
#[tokio::test(flavor = "multi_thread")]
async fn four_workers_share_two_sessions_of_a_target_and_none_starves() {
    let mut stack = Stack::start().await;
    stack.set("sync.target_connections", 2);
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    let mut road = [stack.sequencer().spawn(), stack.poller().spawn()];
    let mut workers = [1, 2, 3, 4].map(|_| stack.sync_worker().spawn());
    for worker in road.iter_mut().chain(&mut workers) {
        worker.wait_ready().await;
    }

    let done = Arc::new(AtomicBool::new(false));
    let watching = tokio::spawn(watch(stack.external(0).url().to_owned(), Arc::clone(&done)));
    let inside = stack.internal().connect().await;
    let change = format!(
        r#"insert into "ProjectUser" ("tenancyId", "displayName") values ('{}', 'user')"#,
        tenant.id()
    );
    eventually(SOON, "every worker to write", async || {
        inside.batch_execute(&change).await.expect("commits");
        let mut written = Vec::new();
        for worker in &workers {
            written.push(turns(&worker.metrics().await));
        }
        if written.iter().all(|turns| *turns >= 3) { Ok(()) } else { Err(format!("turns: {written:?}")) }
    })
    .await;
    target.caught_up().await;
    done.store(true, Ordering::Relaxed);
    let (samples, most) = watching.await.expect("the watcher");
    assert!(samples > 20, "{samples} samples");
    assert!((1..=2).contains(&most), "{most} sessions at once");
}

/// Samples the sessions of ours until `done`: how many samples, and the most sessions in one.
async fn watch(url: String, done: Arc<AtomicBool>) -> (usize, usize) {
    let session = connect(&url).await;
    let look = "select pid from pg_stat_activity where datname = current_database() and application_name = 'tenant-sync'";
    let (mut samples, mut most) = (0, 0);
    while !done.load(Ordering::Relaxed) {
        most = most.max(rows(&session, look).await.expect("answers").len());
        samples += 1;
    }
    (samples, most)
}

/// Turns that a worker has brought to their end.
fn turns(metrics: &str) -> u64 {
    let ended = metrics.lines().filter(|line| {
        ["up_to_date", "more"]
            .iter()
            .any(|outcome| line.starts_with(&format!("tenant_sync_jobs_total{{outcome=\"{outcome}")))
    });
    ended.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}
