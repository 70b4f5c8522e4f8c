//! The pods of a Deployment, and what is done to them.

use std::time::{Duration, Instant};

use tenant_sync_tests::console::Console;
use tenant_sync_tests::pids::{self, Signal};
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::worker::Worker;

/// What a worker needs at most to stop; the manifests give it twice as much.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// What a process that was frozen for a while may say when it goes on: its sessions and leases are not what they were.
const AFTER_A_FREEZE: [&str; 14] = [
    "lost RabbitMQ, connecting again",
    "a pass failed, trying again",
    "cannot claim, trying again",
    "not published, giving back",
    "a turn failed on our side",
    "could not be finished in the internal database",
    "a destination fails",
    "cannot write the heartbeat",
    "cannot read the fusebox",
    "maintenance of the outbox fails",
    "tombstones cannot be purged",
    "the feed of tracked tables cannot be looked after",
    "old attempts cannot be removed",
    "folding activity fails",
];

/// A process that is ready.
pub(super) trait Pod: Sized {
    async fn start(stack: &Stack, program: &str) -> Self;
    fn worker(&mut self) -> &mut Worker;
}

impl Pod for Worker {
    /// A sync worker may come to a target whose lock a frozen one still has.
    async fn start(stack: &Stack, program: &str) -> Self {
        stack.worker(program).allow("the target failed; it is tried again").start().await
    }

    fn worker(&mut self) -> &mut Worker {
        self
    }
}

impl Pod for Console {
    async fn start(stack: &Stack, _program: &str) -> Self {
        Self::start(stack).await
    }

    fn worker(&mut self) -> &mut Worker {
        &mut self.worker
    }
}

/// The pods of one Deployment.
pub(super) struct Deployment<'a, P: Pod> {
    stack: &'a Stack,
    program: &'static str,
    pub(super) pods: Vec<P>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// By itself, with code 0, after SIGTERM.
    Cleanly,
    /// It failed on its way out.
    Badly,
    /// By SIGKILL, when its time was over.
    Killed,
}

impl<'a, P: Pod> Deployment<'a, P> {
    pub(super) async fn start(stack: &'a Stack, program: &'static str, replicas: usize) -> Self {
        let mut deployment = Self { stack, program, pods: Vec::new() };
        deployment.scale_to(replicas).await;
        deployment
    }

    async fn pod(&self) -> P {
        P::start(self.stack, self.program).await
    }

    /// Starts pods and waits until they are ready, or asks the oldest ones to stop.
    pub(super) async fn scale_to(&mut self, replicas: usize) {
        while self.pods.len() < replicas {
            let pod = self.pod().await;
            self.pods.push(pod);
        }
        while self.pods.len() > replicas {
            assert_eq!(stop(self.pods.remove(0), GRACE).await, Ended::Cleanly, "{}", self.program);
        }
    }

    /// A new pod, ready, for each old one before it is asked to stop.
    pub(super) async fn update(&mut self) {
        for _ in 0..self.pods.len() {
            let new = self.pod().await;
            self.pods.push(new);
            assert_eq!(stop(self.pods.remove(0), GRACE).await, Ended::Cleanly, "{}", self.program);
        }
    }

    /// SIGKILL for one of them; another one comes for it.
    pub(super) async fn lose_one(&mut self) {
        self.pods.remove(0).worker().kill9();
        self.scale_to(self.pods.len() + 1).await;
    }

    /// Freezes one of them, which counts as lost: another one comes for it.
    pub(super) async fn cut_one_off(&mut self) -> P {
        let mut frozen = self.pods.remove(0);
        let worker = frozen.worker();
        worker.pause();
        AFTER_A_FREEZE.into_iter().for_each(|text| worker.allow(text));
        self.scale_to(self.pods.len() + 1).await;
        frozen
    }
}

/// SIGTERM, and SIGKILL when `grace` is over.
pub(super) async fn stop(mut pod: impl Pod, grace: Duration) -> Ended {
    let worker = pod.worker();
    pids::send(Signal::Term, &[worker.pid()]);
    let asked = Instant::now();
    while worker.exit_status().is_none() && asked.elapsed() < grace {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    if worker.exit_status().is_none() {
        worker.kill9();
        return Ended::Killed;
    }
    if worker.wait_exit(grace).await.success() { Ended::Cleanly } else { Ended::Badly }
}
