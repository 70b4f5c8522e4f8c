//! A stack on which nothing happens but what the test does.

use std::time::Duration;

use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::{SOON, Target};
use tenant_sync_tests::wait::eventually;
use tenant_sync_tests::worker::{Setup, Worker};

/// Longest wait for somebody who takes over from a frozen worker: its session is thrown out after 30 s.
pub(super) const TAKEOVER: Duration = Duration::from_secs(90);

/// A stack whose leases end soon and whose targets are never visited.
pub(super) async fn quiet_stack() -> Stack {
    let mut stack = Stack::start().await;
    stack.set("sync.heartbeat", "1h");
    stack.set("sync.run_lease", "2s");
    stack.set("poller.claim_lease", "2s");
    stack
}

/// Sequencer and poller, which run as long as this is held.
pub(super) async fn sequencer_and_poller(stack: &Stack) -> [Worker; 2] {
    let mut both = [stack.sequencer().spawn(), stack.poller().spawn()];
    for worker in &mut both {
        worker.wait_ready().await;
    }
    both
}

/// A sync worker on whose warnings of a lost session or lock nothing depends.
pub(super) fn sync_worker(stack: &Stack) -> Setup {
    stack.sync_worker().allow("the target failed").allow("could not be finished")
}

/// Lets a worker write the target for the first time and stop; afterwards nobody visits it, so that the next turn is
/// that of the test's next change.
pub(super) async fn first_sync(stack: &Stack, target: &Target<'_>) {
    stack.internal().sql(r#"update "ExternalDatabase" set "nextVisitAt" = 'infinity'"#).await;
    let mut worker = stack.sync_worker().start().await;
    target.caught_up().await;
    stack.settled().await;
    worker.terminate().await;
}

/// Waits until a worker has ended a job with an outcome, whichever.
pub(super) async fn has_ended_a_job(worker: &Worker) {
    eventually(SOON, "the worker to end its job", async || {
        let ended = jobs(worker, "").await;
        if ended > 0 { Ok(()) } else { Err("it has ended none") }
    })
    .await;
}

/// How many jobs a worker has ended with this outcome; all, if it is empty.
pub(super) async fn jobs(worker: &Worker, outcome: &str) -> u64 {
    counter(worker, &format!("tenant_sync_jobs_total{{outcome=\"{outcome}")).await
}

/// The sum of a worker's counters whose name and labels begin so.
pub(super) async fn counter(worker: &Worker, name: &str) -> u64 {
    let metrics = worker.metrics().await;
    let values = metrics.lines().filter(|line| line.starts_with(name));
    values.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}
