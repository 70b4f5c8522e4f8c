//! Mappings whose source cannot be read: a table that was dropped, renamed or may not be read any more. They are left
//! out for a while, so that they cost the others nothing, and are tried again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tenant_sync_core::worker::Repeats;

use crate::source::SourceError;
use crate::told::AGAIN;

/// For how long.
pub(crate) const FOR: Duration = Duration::from_secs(10);

/// Names of mappings, and until when they are left out.
#[derive(Debug)]
pub(crate) struct Aside {
    until: Mutex<HashMap<String, Instant>>,
    told: Repeats,
}

impl Default for Aside {
    fn default() -> Self {
        Self { until: Mutex::default(), told: Repeats::new(AGAIN, 30) }
    }
}

impl Aside {
    /// Leaves a mapping out from now on, and says why.
    pub(crate) fn put(&self, name: &str, error: &SourceError) {
        if let Some(not_told) = self.told.tell(&name) {
            tracing::warn!(mapping = name, %error, not_told, "a mapping is left out, and tried again every ten seconds");
        }
        self.until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned(), Instant::now() + FOR);
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.retain(|_, until| *until > Instant::now());
        until.contains_key(name)
    }
}
