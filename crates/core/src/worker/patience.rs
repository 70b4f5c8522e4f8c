//! Waiting at a worker's start for what will be possible in a while: a server that is not up yet, a lock that
//! somebody holds.

use std::time::Instant;

use super::backoff::Reconnect;

/// Why a step did not succeed.
#[derive(Debug)]
pub enum Setback<E> {
    /// It may the next time; the reason is for people.
    NotYet(String),
    /// It never will.
    Never(E),
}

/// Tries `step` until it succeeds or never will, with growing waits in between. `waiting` is what is logged, once,
/// with the reason of the first failure. Dropped, nothing goes on.
///
/// # Errors
/// That of a step that will never succeed.
pub async fn until_done<T, E, F>(waiting: &str, mut step: impl FnMut() -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, Setback<E>>>,
{
    let mut reconnect = Reconnect::default();
    loop {
        let began = Instant::now();
        let reason = match step().await {
            Ok(done) => return Ok(done),
            Err(Setback::Never(error)) => return Err(error),
            Err(Setback::NotYet(reason)) => reason,
        };
        let wait = reconnect.after(began.elapsed());
        if reconnect.failures() == 1 {
            tracing::warn!(reason, "{waiting}");
        }
        tokio::time::sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_tries_until_it_is_done_or_never_will_be() {
        let mut tries = 0;
        let done = until_done("waiting", || {
            tries += 1;
            let answer = if tries < 2 { Err(Setback::NotYet("down".into())) } else { Ok(tries) };
            std::future::ready(answer)
        });
        assert_eq!(done.await, Ok::<_, &str>(2));
        let never = until_done("waiting", || std::future::ready(Err::<(), _>(Setback::Never("broken"))));
        assert_eq!(never.await, Err("broken"));
    }
}
