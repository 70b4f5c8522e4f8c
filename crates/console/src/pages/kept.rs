//! What many open pages show alike is read once for all of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::http::Problem;
use crate::samples::api::History;
use crate::status::Overview;

/// What the pages share. A page that is opened reads for itself; its stream takes what is here.
#[derive(Debug)]
pub(crate) struct Looks {
    pub(super) overview: Kept<Overview>,
    pub(super) history: Kept<History>,
}

impl Looks {
    pub(crate) fn new() -> Self {
        Self { overview: Kept::new(Duration::from_millis(900)), history: Kept::new(Duration::from_secs(5)) }
    }
}

/// A value that is read again when it is older than `lasts`. Whoever comes while it is being read waits for the same.
#[derive(Debug)]
pub(super) struct Kept<T> {
    lasts: Duration,
    last: Mutex<Option<(Instant, Arc<T>)>>,
}

impl<T> Kept<T> {
    fn new(lasts: Duration) -> Self {
        Self { lasts, last: Mutex::default() }
    }

    /// # Errors
    /// What `read` says; nothing is kept then.
    pub(super) async fn get(
        &self,
        read: impl AsyncFnOnce() -> Result<T, Problem>,
    ) -> Result<Arc<T>, Problem> {
        let mut last = self.last.lock().await;
        if let Some((at, value)) = &*last
            && at.elapsed() < self.lasts
        {
            return Ok(Arc::clone(value));
        }
        *last = None;
        let value = Arc::new(read().await?);
        *last = Some((Instant::now(), Arc::clone(&value)));
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn many_pages_are_one_read() {
        let (kept, reads) = (Kept::new(Duration::from_secs(60)), AtomicU32::new(0));
        let read = async || kept.get(async || Ok(reads.fetch_add(1, Ordering::Relaxed))).await;
        let seen = futures_util::future::join_all((0..10).map(|_| read())).await;
        assert!(seen.iter().all(|value| value.as_ref().is_ok_and(|value| **value == 0)), "{seen:?}");
        let old = Kept::new(Duration::ZERO);
        assert!(old.get(async || Err::<u32, _>(Problem::busy("no"))).await.is_err());
        assert_eq!(old.get(async || Ok(7)).await.as_deref(), Ok(&7));
        assert_eq!(old.get(async || Ok(8)).await.as_deref(), Ok(&8));
    }
}
