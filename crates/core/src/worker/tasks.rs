//! Named tasks that live as long as their worker.

use std::collections::HashMap;
use std::fmt::Display;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Why a worker's tasks ended other than by being asked to.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TaskError {
    /// A task came to its end although nobody asked it to stop.
    #[error("task {0:?} ended by itself")]
    Ended(&'static str),
    /// A task failed.
    #[error("task {0:?}: {1}")]
    Failed(&'static str, String),
    /// A task panicked.
    #[error("task {0:?} panicked")]
    Panicked(&'static str),
    /// These tasks did not stop in time and were abandoned.
    #[error("did not stop within {0:?}: {1}")]
    Stuck(Duration, String),
}

/// The tasks of one worker. One that ends takes the others with it.
#[derive(Debug)]
pub struct Tasks {
    stopping: CancellationToken,
    set: JoinSet<Result<(), String>>,
    names: HashMap<Id, &'static str>,
}

impl Tasks {
    /// No tasks yet. They are asked to stop when `shutdown` is cancelled, or when one of them ends.
    #[must_use]
    pub fn new(shutdown: &CancellationToken) -> Self {
        Self { stopping: shutdown.child_token(), set: JoinSet::new(), names: HashMap::new() }
    }

    /// Cancelled when the tasks shall stop.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Starts a task that runs until [`Tasks::stopping`].
    pub fn spawn<E: Display>(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let handle = self.set.spawn(async move { task.await.map_err(|e| format!("{e:#}")) });
        self.names.insert(handle.id(), name);
    }

    /// Waits until all tasks have stopped. `deadline` counts from the moment they are asked to.
    ///
    /// # Errors
    /// The first task that ended unasked or failed, else those that did not stop.
    pub async fn join(mut self, deadline: Duration) -> Result<(), TaskError> {
        let mut first_error = None;
        let mut give_up_at: Option<Instant> = None;
        loop {
            let time_is_up = async {
                match give_up_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                ended = self.set.join_next_with_id() => {
                    let Some(ended) = ended else { break };
                    if let Some(error) = self.outcome(ended) {
                        first_error.get_or_insert(error);
                    }
                    self.stopping.cancel();
                }
                () = self.stopping.cancelled(), if give_up_at.is_none() => give_up_at = Some(Instant::now() + deadline),
                () = time_is_up => {
                    let mut stuck: Vec<_> = self.names.values().copied().collect();
                    stuck.sort_unstable();
                    first_error.get_or_insert(TaskError::Stuck(deadline, stuck.join(", ")));
                    break;
                }
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    fn outcome(&mut self, ended: Result<(Id, Result<(), String>), JoinError>) -> Option<TaskError> {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let name = self.names.remove(&id).unwrap_or("unknown");
        match ended {
            Ok((_, Ok(()))) => (!self.stopping.is_cancelled()).then_some(TaskError::Ended(name)),
            Ok((_, Err(reason))) => Some(TaskError::Failed(name, reason)),
            Err(_) => Some(TaskError::Panicked(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(50);

    fn with_a_patient_task() -> (CancellationToken, Tasks) {
        let shutdown = CancellationToken::new();
        let mut tasks = Tasks::new(&shutdown);
        let stopping = tasks.stopping();
        tasks.spawn("patient", async move {
            stopping.cancelled().await;
            Ok::<_, String>(())
        });
        (shutdown, tasks)
    }

    #[tokio::test]
    async fn all_stop_when_asked() {
        let (shutdown, tasks) = with_a_patient_task();
        shutdown.cancel();
        assert_eq!(tasks.join(SOON).await, Ok(()));
    }

    #[tokio::test]
    async fn one_that_ends_takes_the_others_with_it_but_not_the_process() {
        let (shutdown, mut tasks) = with_a_patient_task();
        tasks.spawn("short", async { Ok::<_, String>(()) });
        assert_eq!(tasks.join(SOON).await, Err(TaskError::Ended("short")));
        assert!(!shutdown.is_cancelled());
    }

    #[tokio::test]
    async fn a_failure_and_a_panic_are_told_by_name() {
        let (_shutdown, mut tasks) = with_a_patient_task();
        tasks.spawn("bad", async { Err("no luck") });
        assert_eq!(tasks.join(SOON).await, Err(TaskError::Failed("bad", "no luck".into())));
        let (_shutdown, mut tasks) = with_a_patient_task();
        tasks.spawn("bug", async { if SOON.is_zero() { Ok::<_, String>(()) } else { panic!("a bug") } });
        assert_eq!(tasks.join(SOON).await, Err(TaskError::Panicked("bug")));
    }

    #[tokio::test]
    async fn who_did_not_stop_is_named() {
        let (shutdown, mut tasks) = with_a_patient_task();
        tasks.spawn("deaf", async { std::future::pending::<Result<(), String>>().await });
        shutdown.cancel();
        assert_eq!(tasks.join(SOON).await, Err(TaskError::Stuck(SOON, "deaf".into())));
    }
}
