//! What is told once, and not again with each request: whoever fails for a week is a line, and a thousand that fail because
//! of one fault are some.

use std::time::Duration;

use tenant_sync_core::db::DbError;
use tenant_sync_core::http::outcome::Class;
use tenant_sync_core::outbox::requests::Delivery;
use tenant_sync_core::queue::DeliveryJob;
use tenant_sync_core::worker::Repeats;

/// Trouble that goes on is told again after this.
const AGAIN: Duration = Duration::from_secs(600);

/// What one worker has told of late.
#[derive(Debug)]
pub(crate) struct Told {
    /// Jobs that the internal database did not let end.
    inside: Repeats,
    /// What keeps all requests from being sent from here.
    outside: Repeats,
    /// Triggers whose secrets cannot be used.
    secrets: Repeats,
    /// Destinations that begin to fail, by class.
    failures: Repeats,
    /// Destinations that are well again.
    recoveries: Repeats,
    /// Destinations of which requests are given up.
    dead: Repeats,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            inside: Repeats::new(Duration::from_secs(30), 2),
            outside: Repeats::new(AGAIN, 2),
            secrets: Repeats::new(AGAIN, 30),
            failures: Repeats::new(AGAIN, 60),
            recoveries: Repeats::new(AGAIN, 60),
            dead: Repeats::new(AGAIN, 60),
        }
    }
}

impl Told {
    pub(crate) fn unfinished(&self, job: &DeliveryJob, error: &DbError) {
        if let Some(not_told) = self.inside.tell(&()) {
            tracing::warn!(destination = %job.destination_id, request = %job.held.request_id, %error, not_told,
                "a delivery could not be finished in the internal database");
        }
    }

    pub(crate) fn unsendable_from_here(&self, delivery: &Delivery, reason: &str) {
        if let Some(not_told) = self.outside.tell(&reason) {
            tracing::warn!(tenancy = delivery.tenancy_id.map(display), destination = %delivery.destination_id,
                request = %delivery.held.request_id, reason, not_told,
                "requests cannot be sent from here; they are tried again");
        }
    }

    pub(crate) fn sealed(&self, delivery: &Delivery, reason: &str) {
        if let Some(not_told) = self.secrets.tell(&delivery.destination_id) {
            tracing::warn!(tenancy = delivery.tenancy_id.map(display), trigger = %delivery.destination_id,
                request = %delivery.held.request_id, reason, not_told,
                "the secrets of a trigger cannot be used; it is tried again");
        }
    }

    pub(crate) fn fails(&self, delivery: &Delivery, class: Class) {
        let destination = delivery.destination_id;
        if let Some(not_told) = self.failures.tell(&(destination, class)) {
            tracing::warn!(tenancy = delivery.tenancy_id.map(display), %destination,
                request = %delivery.held.request_id, class = class.policy().code, reason = class.policy().sentence, not_told,
                "a destination fails; its requests are tried again");
        }
    }

    pub(crate) fn works_again(&self, delivery: &Delivery, failing_for: Duration) {
        let destination = delivery.destination_id;
        if let Some(not_told) = self.recoveries.tell(&destination) {
            tracing::info!(tenancy = delivery.tenancy_id.map(display), %destination,
                request = %delivery.held.request_id, failing_for_s = failing_for.as_secs(), not_told,
                "a destination works again");
        }
    }

    pub(crate) fn given_up(&self, delivery: &Delivery, dead: usize) {
        let destination = delivery.destination_id;
        if let Some(not_told) = self.dead.tell(&destination) {
            tracing::warn!(tenancy = delivery.tenancy_id.map(display), %destination,
                request = %delivery.held.request_id, dead, not_told,
                "requests have used up their attempts; `request list --state dead` shows them");
        }
    }
}
