//! What the console's log says of its answers, once and not at each of them.

use std::net::IpAddr;
use std::time::Duration;

use tenant_sync_core::worker::Repeats;

use crate::http::Problem;

/// Trouble that goes on is told again after this.
const AGAIN: Duration = Duration::from_secs(600);

/// What this console has told of late.
#[derive(Debug)]
pub(crate) struct Told {
    /// Faults of ours, by reason.
    faults: Repeats,
    /// Addresses that show wrong keys.
    guesses: Repeats,
}

impl Default for Told {
    fn default() -> Self {
        Self { faults: Repeats::new(AGAIN, 30), guesses: Repeats::new(Duration::from_secs(60), 30) }
    }
}

impl Told {
    /// A fault of ours behind an answer. The path is told without its query, which may hold what somebody looks for.
    pub(crate) fn fault(&self, method: &str, path: &str, error: &str) {
        if let Some(not_told) = self.faults.tell(&error) {
            tracing::error!(method, path, error, not_told, "the console could not answer a request");
        }
    }

    /// The same in a stream, where the answer has begun.
    pub(crate) fn fault_in_stream(&self, path: &str, problem: &Problem) {
        if let Some(error) = problem.fault() {
            self.fault("GET", path, error);
        }
    }

    pub(crate) fn wrong_key(&self, from: IpAddr) {
        if let Some(not_told) = self.guesses.tell(&from) {
            tracing::info!(address = %from, not_told, "refused a wrong admin key");
        }
    }
}
