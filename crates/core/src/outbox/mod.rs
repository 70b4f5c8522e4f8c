//! The outbox: every SQL statement on "OutgoingRequest". The row is the truth, the message a copy.
//!
//! A sync row belongs to one target and goes pending → queued → running → gone. All of it is in a few columns:
//!
//! | state | `startedFulfillingAt` | `runningSince` | `dueAt` is |
//! |---|---|---|---|
//! | pending | null | null | the time from which it may be claimed (a back-off is a later time) |
//! | queued | set | null | the end of the claim's lease |
//! | running | set | set | the end of the run's lease, which the worker renews |
//!
//! So a row is due when `dueAt <= now()`, whatever its state: a lease that lapsed needs nobody to notice.
//! Each claim raises `claim`; a message carries it, and every later step names row and claim, so that whoever
//! lost a row can no longer touch it. `counter` is raised by whoever asks again; the row is removed only if it
//! is still the counter that the worker saw when it took the row.
//!
//! **Lock order.** Who locks several rows without `skip locked` takes them by "deduplicationKey", as the
//! sequencer does, or two of them deadlock. Claiming always skips what is locked and so waits for nobody.
//!
//! All times are the database's. No function here holds a transaction open across a call.
//!
//! **Plans.** The outbox is empty most of the time, and a prepared statement keeps the plan that it got then:
//! with it, claiming 1,000 of 20,000 rows took 7 s instead of 40 ms (until autovacuum came by). So each
//! statement is parsed and planned whenever it runs, in one round trip (0.1 to 0.5 ms), and those that name a
//! row by its id leave out `kind`, so that no partial index but only the primary key fits them. Some are functions whose
//! plans the session keeps, because there is one right plan for an outbox of any size: what pollers ask twenty times a
//! second while nothing is due (`due`), and how a request worker takes, settles and ends a turn (`requests`).
//!
//! A plan can be wrong for the same reason whenever it is made: the planner believes in an empty outbox until it is analyzed
//! again. So an index over all destinations' requests, which lists walk along, has a condition that only they state
//! (`OF_ALL`): whatever is about one destination could be answered by it, too, by reading everybody's requests.

mod ask;
mod browse;
mod claim;
mod deliveries;
mod due;
mod log;
mod look;
mod maintain;
mod operate;
mod replay;
pub mod requests;
mod run;
mod visit;

use std::fmt;

use uuid::Uuid;

pub use ask::{Folded, enqueue, fold_asks, notify};
pub use browse::{LOOKED_MAX, RequestCursor, find_request, list_requests};
pub use claim::{Claim, ClaimLimits, Claimed, LaneScan, Scanned, claim, give_back_unpublished, queued_count};
pub use deliveries::{
    AskedBy, DeliveriesFolded, DeliveryClaim, DeliveryScan, Swept, claim_deliveries, delete_orphans,
    fold_delivery_asks, give_back_deliveries, publish_settings, sweep_destinations,
};
pub use due::{Look, LookFrom, look_for_due};
pub use log::{AttemptLine, RequestFilter, RequestLine, RequestState, attempts};
pub use look::{COUNT_MAX, Fill, RequestsFill, fill, requests_fill, waiting, waiting_longest};
pub use maintain::{Maintained, Place, maintain};
pub use operate::{hurry, is_running, start_over, wish, wish_anew};
pub use replay::{NothingNamed, Replay, replay_requests};
pub use run::{Finished, Held, Renewed, Taken, continue_bulk, failed, finish, give_back, renew, take};
pub use visit::{enqueue_due_visits, take_turn, turn_taken_at};

/// What a statement about all destinations' requests states, and no other: it is always so.
const OF_ALL: &str = "position > 0";

/// The channel on which our own processes wake pollers. Its payload is the schema.
pub const NOTIFY_CHANNEL: &str = "tenant_sync_due";

/// Which queue a request goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Small, and somebody waits.
    Live,
    /// A backfill's next turn.
    Bulk,
}

impl Lane {
    /// As in the column `lane`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Bulk => "bulk",
        }
    }

    fn from_column(text: &str) -> Self {
        if text == "bulk" { Self::Bulk } else { Self::Live }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One target: an external database of a tenancy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TargetKey {
    /// "Tenancy".id
    pub tenancy_id: Uuid,
    /// "ExternalDatabase".id within the tenancy.
    pub database_id: String,
}
