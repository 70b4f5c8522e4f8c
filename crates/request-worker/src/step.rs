//! A statement that is under way beside the calls, or none.

use std::fmt;
use std::future::{Future, pending};
use std::pin::Pin;

use tenant_sync_core::db::DbError;

type Running<'a, T> = Pin<Box<dyn Future<Output = Result<T, DbError>> + Send + 'a>>;

/// At most one statement at a time.
pub(crate) struct Step<'a, T>(Option<Running<'a, T>>);

impl<T> Default for Step<'_, T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> fmt::Debug for Step<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_idle() { "idle" } else { "under way" })
    }
}

impl<'a, T> Step<'a, T> {
    pub(crate) fn is_idle(&self) -> bool {
        self.0.is_none()
    }

    /// Makes it the one that is under way. Nothing happens before [`Step::done`] is awaited.
    pub(crate) fn begin(&mut self, running: impl Future<Output = Result<T, DbError>> + Send + 'a) {
        self.0 = Some(Box::pin(running));
    }

    /// Waits until it is over; for ever if there is none. Cancelled, it goes on with the next call.
    pub(crate) async fn done(&mut self) -> Result<T, DbError> {
        let Some(running) = &mut self.0 else { return pending().await };
        let result = running.as_mut().await;
        self.0 = None;
        result
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn it_survives_being_waited_for_in_pieces() {
        let (tell, told) = tokio::sync::oneshot::channel();
        let mut step: Step<'_, u8> = Step::default();
        assert!(step.done().now_or_never().is_none(), "nothing is under way");
        step.begin(async move { Ok(told.await.unwrap_or_default()) });
        assert!(step.done().now_or_never().is_none() && !step.is_idle());
        tell.send(7).expect("it waits");
        assert_eq!(step.done().await.expect("no error"), 7);
        assert!(step.is_idle());
    }
}
