//! The third lane: destinations of HTTP requests. Asks are folded in the tick that finds them, because somebody waits for
//! the event; then due delivery rows are claimed and published, as sync rows are.

use std::time::{Duration, Instant, SystemTime};

use tenant_sync_core::db::Internal;
use tenant_sync_core::outbox::{self, AskedBy, ClaimLimits, Look};
use tenant_sync_core::queue::{self, HandError, Publisher};
use tenant_sync_core::worker::Repeats;

use crate::scan::Scan;
use crate::tick::Handed;

const ASKS_PER_TICK: i64 = 5_000;

/// From where the folds and claims of this poller look.
#[derive(Debug)]
pub(crate) struct Requests {
    scan: Scan,
    /// The transactions whose asks can be new, and when all were looked at last.
    asked_by: AskedBy,
    all_asks_at: Option<Instant>,
    /// A broker that takes nothing for an hour is not told at every tick.
    returns: Repeats,
}

impl Requests {
    /// Nothing is known: the first look is at everything.
    pub(crate) fn new() -> Self {
        let returns = Repeats::new(Duration::from_secs(30), 2);
        Self { scan: Scan::new(), asked_by: AskedBy::default(), all_asks_at: None, returns }
    }

    /// From which due time, and from which transactions on, a look at `now` looks. Every 30 s all asks are looked at: numbers of
    /// transactions step back when a database is restored.
    pub(crate) fn begin(&mut self, now: Instant) -> (SystemTime, &AskedBy) {
        if self.all_asks_at.is_none_or(|at| now.duration_since(at) >= crate::scan::FULL_EVERY) {
            (self.asked_by, self.all_asks_at) = (AskedBy::default(), Some(now));
        }
        (self.scan.begin(now), &self.asked_by)
    }

    /// Folds, claims and publishes what a look found to be `due` from `floor` on.
    pub(crate) async fn tick(
        &mut self,
        internal: &Internal,
        publisher: &Publisher,
        limits: ClaimLimits,
        floor: SystemTime,
        due: &Look,
    ) -> Result<Handed, HandError> {
        let folded = if due.asks {
            self.fold(internal).await?
        } else {
            self.asked_by = due.no_asks_before.clone();
            0
        };
        metrics::counter!("tenant_sync_outbox_delivery_asks_total").increment(folded.unsigned_abs());
        let claimed_total = metrics::counter!("tenant_sync_poller_claimed_total", "lane" => "requests");
        if !due.deliveries && folded == 0 {
            self.scan.learn(due.nothing_up_to);
            claimed_total.increment(0);
            return Ok(Handed::default());
        }
        let handed = queue::hand_deliveries(internal, publisher, limits, floor).await?;
        self.scan.learn(handed.claimed.scanned);
        let claimed = handed.claimed.rows;
        claimed_total.increment(claimed as u64);
        let mut done = Handed::of(claimed, &handed, &self.returns);
        done.more |= folded >= ASKS_PER_TICK && handed.error.is_none();
        Ok(done)
    }

    async fn fold(&mut self, internal: &Internal) -> Result<i64, HandError> {
        let client = internal.get().await?;
        let folded = outbox::fold_delivery_asks(&client, &self.asked_by, ASKS_PER_TICK).await?;
        self.asked_by = folded.next;
        Ok(folded.asks)
    }
}
