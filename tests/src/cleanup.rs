//! Removing what a test made on the shared servers, from a `Drop` that may run while a test panics.

use std::time::Duration;

/// Runs `work` to its end on a thread of its own, because a runtime cannot block in a drop. What goes wrong is
/// printed: cleaning up never decides a test.
pub(crate) fn now<F>(what: &str, work: impl FnOnce() -> F + Send)
where
    F: Future<Output = Result<(), String>>,
{
    let outcome = std::thread::scope(|scope| scope.spawn(|| block_on(work)).join());
    let problem = match outcome {
        Ok(Ok(())) => return,
        Ok(Err(reason)) => reason,
        Err(_) => "it panicked".to_owned(),
    };
    eprintln!("cleaning up {what}: {problem}");
}

fn block_on<F: Future<Output = Result<(), String>>>(work: impl FnOnce() -> F) -> Result<(), String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(20), work())
            .await
            .unwrap_or_else(|_| Err("no answer in 20 s".into()))
    })
}
