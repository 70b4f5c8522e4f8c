//! What Kubernetes does to the workers while changes come in: rolling updates, scaling down, losing a node, a node that is
//! cut off and comes back. Real processes, SIGTERM, time to stop, SIGKILL; in the end every target equals its source.

use std::time::{Duration, Instant};

use tenant_sync_tests::database::{connect, rows};
use tenant_sync_tests::pids::{self, Signal};
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::{SOON, Target, Tenant};
use tenant_sync_tests::wait::eventually;
use tenant_sync_tests::worker::Worker;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// What a worker needs at most to stop; the manifests give it twice as much.
const GRACE: Duration = Duration::from_secs(10);

/// Until the last change has arrived, on a machine that has much else to do.
const DONE: Duration = Duration::from_secs(240);

/// The pods of one Deployment.
struct Deployment<'a> {
    stack: &'a Stack,
    program: &'static str,
    pods: Vec<Worker>,
}

#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// By itself, with code 0, after SIGTERM.
    Cleanly,
    /// It failed on its way out.
    Badly,
    /// By SIGKILL, when its time was over.
    Killed,
}

impl<'a> Deployment<'a> {
    async fn start(stack: &'a Stack, program: &'static str, replicas: usize) -> Self {
        let mut deployment = Self { stack, program, pods: Vec::new() };
        deployment.scale_to(replicas).await;
        deployment
    }

    /// A pod that is ready. A sync worker may come to a target whose lock a frozen one still has.
    async fn pod(&self) -> Worker {
        self.stack.worker(self.program).allow("the target failed; it is tried again").start().await
    }

    /// Starts pods and waits until they are ready, or asks the oldest ones to stop.
    async fn scale_to(&mut self, replicas: usize) {
        while self.pods.len() < replicas {
            let pod = self.pod().await;
            self.pods.push(pod);
        }
        while self.pods.len() > replicas {
            assert_eq!(stop(self.pods.remove(0), GRACE).await, Ended::Cleanly, "{}", self.program);
        }
    }

    /// A new pod, ready, for each old one before it is asked to stop.
    async fn update(&mut self) {
        for _ in 0..self.pods.len() {
            let new = self.pod().await;
            self.pods.push(new);
            assert_eq!(stop(self.pods.remove(0), GRACE).await, Ended::Cleanly, "{}", self.program);
        }
    }

    /// SIGKILL for one of them; another one comes for it.
    async fn lose_one(&mut self) {
        self.pods[0].kill9();
        self.pods.remove(0);
        self.scale_to(self.pods.len() + 1).await;
    }

    /// Freezes one of them, which counts as lost: another one comes for it.
    async fn cut_one_off(&mut self) -> Worker {
        let mut frozen = self.pods.remove(0);
        frozen.pause();
        for text in [
            "lost RabbitMQ, connecting again",
            "a pass failed, trying again",
            "cannot claim, trying again",
            "not published, giving back",
            "a turn failed on our side",
            "a job could not be finished in the internal database",
            "cannot write the heartbeat",
            "cannot read the fusebox",
            "maintenance of the outbox fails",
            "tombstones cannot be purged",
            "the feed of tracked tables cannot be looked after",
        ] {
            frozen.allow(text);
        }
        self.scale_to(self.pods.len() + 1).await;
        frozen
    }
}

async fn stop(mut pod: Worker, grace: Duration) -> Ended {
    pids::send(Signal::Term, &[pod.pid()]);
    let asked = Instant::now();
    while pod.exit_status().is_none() && asked.elapsed() < grace {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    if pod.exit_status().is_none() {
        pod.kill9();
        return Ended::Killed;
    }
    if pod.wait_exit(grace).await.success() { Ended::Cleanly } else { Ended::Badly }
}

/// An application of one tenant that writes until it is told to stop.
struct Load {
    written: watch::Receiver<usize>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Load {
    fn start(stack: &Stack, tenancy: Uuid) -> Self {
        let (sender, written) = watch::channel(0);
        let stop = CancellationToken::new();
        let (url, asked) = (stack.internal().url().to_owned(), stop.clone());
        let task = tokio::spawn(async move {
            let client = connect(&url).await;
            let mut number = 0;
            while !asked.is_cancelled() {
                number += 1;
                client.batch_execute(&transaction(tenancy, number)).await.expect("the application may write");
                sender.send_replace(number);
                // Changes all the time, and not a backlog that grows as fast as this machine can write.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        Self { written, stop, task }
    }

    /// Waits until more is written than was when it was asked.
    async fn goes_on(&mut self) {
        let already = *self.written.borrow_and_update();
        self.written.wait_for(|written| *written >= already + 3).await.expect("the application goes on");
    }

    async fn finish(self) -> usize {
        self.stop.cancel();
        self.task.await.expect("the application ends well");
        *self.written.borrow()
    }
}

/// Users come, change and go, each with a channel; about 20 rows are touched.
fn transaction(tenancy: Uuid, number: usize) -> String {
    let of = |order: &str, n: usize| {
        format!(
            r#"("tenancyId", "projectUserId") in (select "tenancyId", "projectUserId" from "ProjectUser"
                 where "tenancyId" = '{tenancy}' order by {order} limit {n})"#
        )
    };
    format!(
        r#"begin;
           with fresh as (
             insert into "ProjectUser" ("tenancyId", "displayName")
             select '{tenancy}', '{number} ' || i from generate_series(1, 6) i
             returning "tenancyId", "projectUserId")
           insert into "ContactChannel" ("tenancyId", "projectUserId", "value", "isPrimary")
           select "tenancyId", "projectUserId", "projectUserId" || '@example.com', true from fresh;
           update "ProjectUser" set "displayName" = "displayName" || '!' where {changed};
           update "ContactChannel" set "isVerified" = not "isVerified" where {verified};
           delete from "ProjectUser" where {gone};
           commit"#,
        changed = of(r#""projectUserId""#, 4),
        verified = of(r#""projectUserId" desc"#, 4),
        gone = of(r#"md5("projectUserId"::text)"#, 3),
    )
}

/// Waits until each target is further than it was when it was asked.
async fn moves(targets: &[Target<'_>]) {
    const WATERMARKS: &str = "select min(last_synced_sequence_id) from _sync_metadata";
    let mut before = Vec::new();
    for target in targets {
        before.push(target.value(WATERMARKS).await.parse::<i64>().unwrap_or_default());
    }
    for (target, before) in targets.iter().zip(before) {
        let session = target.session().await;
        eventually(SOON, "a target to go on", async || {
            let now = rows(&session, WATERMARKS).await?.join("");
            if now.parse::<i64>().is_ok_and(|now| now > before) { Ok(()) } else { Err(now) }
        })
        .await;
    }
}

/// Waits until the first rows have arrived.
async fn has_begun(target: &Target<'_>) {
    let session = target.session().await;
    eventually(SOON, "the first rows", async || {
        let count = rows(&session, "select count(*) from users").await?.join("");
        if count == "0" { Err("none yet".to_owned()) } else { Ok(()) }
    })
    .await;
}

async fn goes_on(load: &mut [Load], targets: &[Target<'_>]) {
    for load in load {
        load.goes_on().await;
    }
    moves(targets).await;
}

/// Three tenants on two servers, with leases that lapse within the test.
async fn stack() -> Stack {
    let mut stack = Stack::plan().externals(2).start().await;
    stack.set("poller.claim_lease", "3s");
    stack.set("sync.run_lease", "3s");
    // Small turns, so that a worker is in the middle of something when it is stopped.
    stack.set("sync.batch_rows", 50);
    stack.set("sync.atomic_rows", 50);
    stack.set("sync.turn_rows", 200);
    // The slot of a session that died with its worker is free only when its heartbeat is too old.
    stack.set("sync.target_connections", 9);
    stack
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_orchestrator_does_loses_nothing() {
    let stack = stack().await;
    let (mut load, mut targets) = (Vec::new(), Vec::new());
    let mut sequencers = Deployment::start(&stack, "sequencer", 2).await;
    let mut pollers = Deployment::start(&stack, "poller", 2).await;
    let mut sync_workers = Deployment::start(&stack, "sync-worker", 2).await;
    for number in 0..3 {
        let tenant = Tenant::create(&stack).await;
        targets
            .push(tenant.target(stack.external(number % 2)).schema(&format!("tenant_{number}")).add().await);
        load.push(Load::start(&stack, tenant.id()));
    }
    for target in &targets {
        has_begun(target).await;
    }

    // Scaling up, a rolling update of everything, scaling down.
    sync_workers.scale_to(4).await;
    goes_on(&mut load, &targets).await;
    for deployment in [&mut sequencers, &mut pollers, &mut sync_workers] {
        deployment.update().await;
    }
    goes_on(&mut load, &targets).await;
    sync_workers.scale_to(1).await;
    goes_on(&mut load, &targets).await;

    // A node is lost, with one of each on it.
    for deployment in [&mut sequencers, &mut pollers, &mut sync_workers] {
        deployment.lose_one().await;
    }
    goes_on(&mut load, &targets).await;

    // Another node is cut off: what is on it is replaced, and others go on when its leases have lapsed. Then it is back, and
    // what was replaced works on beside its successors until it is asked to stop; one of them has no time left.
    sync_workers.scale_to(2).await;
    let frozen = [
        sequencers.cut_one_off().await,
        pollers.cut_one_off().await,
        sync_workers.cut_one_off().await,
        sync_workers.cut_one_off().await,
    ];
    goes_on(&mut load, &targets).await;
    let [sequencer, poller, sync_worker, late] = frozen;
    assert_eq!(stop(late, Duration::from_millis(500)).await, Ended::Killed, "it is frozen");
    for pod in [&sequencer, &poller, &sync_worker] {
        pod.resume();
    }
    goes_on(&mut load, &targets).await;
    for pod in [sequencer, poller, sync_worker] {
        assert_eq!(stop(pod, GRACE).await, Ended::Cleanly);
    }

    let mut transactions = 0;
    for load in load {
        transactions += load.finish().await;
    }
    for target in &targets {
        eventually(DONE, "a target to equal its source", async || target.equal().await).await;
    }
    stack.settled().await;
    for target in &targets {
        target.equal().await.expect("nothing comes after the end");
    }
    eprintln!("{transactions} transactions arrived");
}
