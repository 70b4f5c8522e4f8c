//! The request worker's side: what is due for one destination, and what became of it.
//!
//! A row of kind `delivery` is to a destination what a sync row is to a target: who holds it sends for the
//! destination, and nobody else. The requests themselves (kind `http`) are never claimed. They are read in the order
//! in which they are due, sent, and settled in batches: one call removes what was delivered, moves on what
//! failed, and logs each attempt. It does nothing for a worker that lost the delivery row meanwhile.
//!
//! Each statement on requests names `kind` and `state` as the partial indexes do, or goes by the primary key.

mod delivery;
mod read;
mod retention;
mod settle;

use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use uuid::Uuid;

use super::Held;

pub use delivery::{drop_delivery, end_delivery, end_if_nothing_waits, take_delivery};
pub use read::{Cursor, due, due_in_order, wait_behind};
pub use retention::{purge_attempts, purge_dead};
pub use settle::settle;

/// A delivery row that a worker holds, and whom it is for.
#[derive(Debug)]
pub struct Delivery {
    /// To be named in every later step.
    pub held: Held,
    /// How often was asked up to now.
    pub counter: i64,
    /// "HttpDestination".id
    pub destination_id: Uuid,
    /// Whose trigger it is; none for all tenants' or for plain requests.
    pub tenancy_id: Option<Uuid>,
    /// The destination; `None` = it is gone.
    pub destination: Option<Limits>,
}

/// A destination: its limits and how it is doing.
#[derive(Debug)]
pub struct Limits {
    /// Requests at once, if not that of the configuration.
    pub parallelism: Option<i32>,
    /// Requests a second.
    pub rate_per_second: Option<f64>,
    /// Events of one call; 1 = no batching.
    pub batch_events: i32,
    /// How long the first event of a call may wait for others.
    pub batch_wait: Duration,
    /// Failures in a row that count for its breaker.
    pub failures: i32,
    /// Since when there were only failures.
    pub failing_for: Option<Duration>,
    /// Nothing is tried before this is over.
    pub rests_for: Option<Duration>,
    /// The trigger, if it is one.
    pub trigger: Option<TriggerCall>,
}

/// How a trigger calls.
#[derive(Debug)]
pub struct TriggerCall {
    /// Whether it is neither paused nor broken.
    pub active: bool,
    /// Where to.
    pub url: String,
    /// An object of strings.
    pub headers: Value,
    /// Id of the key that opens `secrets`.
    pub key_id: String,
    /// The encrypted secrets.
    pub secrets: Vec<u8>,
    /// Its own time limit.
    pub timeout: Option<Duration>,
    /// When it was changed last.
    pub updated_at: SystemTime,
}

/// What came of a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It is written.
    Ours,
    /// It is written, and the trigger is not what it was: paused, or changed.
    Changed,
    /// The delivery row is another's: nothing was written.
    Lost,
}

/// When a destination whose turn is over is due again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// With its first request, or at once if somebody asked; not before so long from now.
    NotBefore(Duration),
    /// After so long, or with a request that is due later than now and earlier than that; at once if somebody asked.
    Within(Duration),
}

/// One request that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// "OutgoingRequest".id, which is also the `webhook-id`.
    pub id: Uuid,
    /// In the order of writing.
    pub position: i64,
    /// When it was due; where the next read begins.
    pub due_at: SystemTime,
    /// Until it is due: zero but for requests that stand before due ones of the same key.
    pub due_in: Duration,
    /// Since it was made.
    pub age: Duration,
    /// Attempts that counted.
    pub attempts: i32,
    /// Name of the event; `None` = a plain request.
    pub event_type: Option<String>,
    /// What is sent.
    pub body: Option<String>,
    /// Requests with the same key go one after the other.
    pub order_key: Option<String>,
    /// Of a plain request.
    pub method: Option<String>,
    /// Of a plain request.
    pub url: Option<String>,
    /// Of a plain request.
    pub headers: Option<Value>,
    /// Of a plain request.
    pub timeout: Option<Duration>,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempted {
    /// Which.
    pub id: Uuid,
    /// What happens to it.
    pub fate: Fate,
    /// When it was sent; the log has the database's time for it.
    pub began: Instant,
    /// How long it took.
    pub took: Duration,
    /// The answer's status.
    pub status: Option<u16>,
    /// `None` if it was delivered.
    pub error_class: Option<&'static str>,
    /// In our words.
    pub error: Option<String>,
    /// The beginning of the answer.
    pub excerpt: Option<String>,
}

/// What happens to a request after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is gone.
    Delivered,
    /// It is due again after this.
    Again {
        /// From now on.
        after: Duration,
        /// Whether the attempt counts.
        counts: bool,
    },
    /// It has used up its attempts.
    Dead,
}

/// How a destination is doing after some attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// `ok`, `retrying` or `broken`.
    pub state: &'static str,
    /// Failures in a row that count for the breaker.
    pub failures: i32,
    /// Nothing is tried before this is over.
    pub rests_for: Option<Duration>,
}

/// A number of seconds from the database.
fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value.max(0.0)).unwrap_or(Duration::MAX)
}

/// A number of milliseconds from the database.
fn millis(value: Option<i32>) -> Option<Duration> {
    value.map(|millis| Duration::from_millis(millis.max(0).unsigned_abs().into()))
}
