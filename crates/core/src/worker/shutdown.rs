//! SIGTERM and SIGINT become a cancelled token.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long tasks have to stop once they were asked: a process is gone within 10 s.
pub(super) const TASK_DEADLINE: Duration = Duration::from_millis(8_000);
/// How long the whole worker has, with saying goodbye to its servers.
pub(super) const PROCESS_DEADLINE: Duration = Duration::from_millis(9_500);

/// Runs a step (a pass, a claim, a job) to its end. `None` = the worker was asked to stop, and the step did not end
/// within `grace` after that, because a server does not answer. What it had begun there is committed or rolled
/// back without us, and leases end by themselves.
pub async fn finish_step<T>(
    stopping: &CancellationToken,
    grace: Duration,
    step: impl Future<Output = T>,
) -> Option<T> {
    let late = async {
        stopping.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        done = step => Some(done),
        () = late => None,
    }
}

/// The two signals that stop a worker.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Cancels `shutdown` at the first signal. Returns at the second, or when the worker had its time.
    pub(super) async fn drive(mut self, shutdown: CancellationToken) -> &'static str {
        let name = self.next().await;
        tracing::info!(signal = name, "asked to stop");
        shutdown.cancel();
        tokio::select! {
            _ = self.next() => "was signalled twice",
            () = tokio::time::sleep(PROCESS_DEADLINE) => "did not stop in time",
        }
    }
}
