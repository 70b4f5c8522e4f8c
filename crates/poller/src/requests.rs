//! The third lane: destinations of HTTP requests. Asks are folded at every tick, because somebody waits for the
//! event; then due delivery rows are claimed and published, as sync rows are.

use std::time::{Duration, Instant};

use tenant_sync_core::db::{DbError, Internal};
use tenant_sync_core::outbox::{self, AskedBy, ClaimLimits, DeliveryClaim};
use tenant_sync_core::queue::Publisher;
use tenant_sync_core::worker::Repeats;

use crate::scan::Scan;
use crate::tick::{Handed, TickError};

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

    /// Folds, claims and publishes once.
    pub(crate) async fn tick(
        &mut self,
        internal: &Internal,
        publisher: &Publisher,
        limits: ClaimLimits,
    ) -> Result<Handed, TickError> {
        let folded = self.fold(internal).await?;
        let claims = self.claim(internal, limits).await?;
        let claimed = claims.len();
        let more = folded >= ASKS_PER_TICK || i64::try_from(claimed).is_ok_and(|n| n >= limits.batch);
        if claimed == 0 {
            return Ok(Handed { claimed, published: 0, given_back: 0, more });
        }
        let published = publisher.publish(claims, limits.lease).await;
        metrics::counter!("tenant_sync_poller_published_total").increment(published.confirmed as u64);
        let given_back = match published.error {
            None => 0,
            Some(error) => {
                if let Some(not_told) = self.returns.tell(&()) {
                    tracing::warn!(rows = published.failed.len(), %error, not_told, "requests not published, giving back");
                }
                let client = internal.get().await?;
                let rows =
                    outbox::give_back_deliveries(&client, &published.failed).await.map_err(DbError::from)?;
                metrics::counter!("tenant_sync_poller_given_back_total").increment(rows);
                rows
            }
        };
        Ok(Handed { claimed, published: published.confirmed, given_back, more: more && given_back == 0 })
    }

    /// Every 30 s all asks are looked at: numbers of transactions step back when a database is restored.
    async fn fold(&mut self, internal: &Internal) -> Result<i64, TickError> {
        let now = Instant::now();
        if self.all_asks_at.is_none_or(|at| now.duration_since(at) >= crate::scan::FULL_EVERY) {
            (self.asked_by, self.all_asks_at) = (AskedBy::default(), Some(now));
        }
        let client = internal.get().await?;
        let folded = outbox::fold_delivery_asks(&client, &self.asked_by, ASKS_PER_TICK)
            .await
            .map_err(DbError::from)?;
        self.asked_by = folded.next;
        metrics::counter!("tenant_sync_outbox_delivery_asks_total").increment(folded.asks.unsigned_abs());
        Ok(folded.asks)
    }

    async fn claim(
        &mut self,
        internal: &Internal,
        limits: ClaimLimits,
    ) -> Result<Vec<DeliveryClaim>, TickError> {
        let floor = self.scan.begin(Instant::now());
        let client = internal.get().await?;
        let found = outbox::claim_deliveries(&client, limits, floor).await.map_err(DbError::from)?;
        self.scan.learn(found.scanned);
        metrics::counter!("tenant_sync_poller_claimed_total", "lane" => "requests")
            .increment(found.claims.len() as u64);
        Ok(found.claims)
    }
}
