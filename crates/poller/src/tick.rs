//! One look at the outbox: claim, publish, give back what the broker did not take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tenant_sync_core::config::Config;
use tenant_sync_core::db::{DbError, Internal};
use tenant_sync_core::outbox::{self, Claim, ClaimLimits, Claimed, LaneScan};
use tenant_sync_core::queue::Publisher;
use tenant_sync_core::worker::failpoint::{self, Failed};
use tenant_sync_core::worker::{Fusebox, Repeats, Switch};

use crate::requests::Requests;
use crate::scan::Scan;

/// What a tick did.
#[derive(Debug, PartialEq, Eq)]
pub enum Tick {
    /// The operator has switched the poller off.
    SwitchedOff,
    /// There is no broker to publish to, so nothing was claimed.
    NoBroker,
    /// Nothing was due, or there was no room.
    Idle,
    /// Rows were claimed.
    Claimed(Handed),
}

/// What became of the claimed rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Handed {
    /// Rows claimed.
    pub claimed: usize,
    /// Messages that the broker has confirmed.
    pub published: usize,
    /// Rows that are pending again, because their message was not confirmed.
    pub given_back: u64,
    /// A batch was full: there may be more.
    pub more: bool,
}

impl Handed {
    fn and(&self, other: &Self) -> Self {
        Self {
            claimed: self.claimed + other.claimed,
            published: self.published + other.published,
            given_back: self.given_back + other.given_back,
            more: self.more || other.more,
        }
    }
}

/// Why a tick failed. Nothing is lost by it.
#[derive(Debug, thiserror::Error)]
pub enum TickError {
    /// The internal Postgres.
    #[error(transparent)]
    Database(#[from] DbError),
    /// A test wanted it.
    #[error(transparent)]
    Failpoint(#[from] Failed),
}

/// Claims and publishes.
#[derive(Debug)]
pub struct Poller {
    internal: Internal,
    fusebox: Arc<Fusebox>,
    publisher: Publisher,
    limits: ClaimLimits,
    scans: Claimed<Scan>,
    /// A broker that takes nothing for an hour is not told at every tick.
    returns: Repeats,
    requests: Requests,
}

impl Poller {
    /// A poller that has not looked yet.
    #[must_use]
    pub fn new(config: &Config, internal: Internal, fusebox: Arc<Fusebox>, publisher: Publisher) -> Self {
        let limits = ClaimLimits {
            batch: config.poller.batch_size,
            max_queued: config.poller.max_queued,
            lease: config.poller.claim_lease,
        };
        let scans = Claimed { live: Scan::new(), bulk: Scan::new() };
        let returns = Repeats::new(Duration::from_secs(30), 2);
        Self { internal, fusebox, publisher, limits, scans, returns, requests: Requests::new() }
    }

    /// Looks once. Cancelling may leave rows claimed; their lease ends by itself.
    ///
    /// # Errors
    /// The internal Postgres does not answer. A broker that fails is no error: the rows are given back.
    pub async fn tick(&mut self) -> Result<Tick, TickError> {
        if !self.fusebox.is_on(Switch::Poller).await {
            return Ok(Tick::SwitchedOff);
        }
        if !self.publisher.is_up() {
            return Ok(Tick::NoBroker);
        }
        let syncs = self.hand_syncs().await?;
        let requests = if self.fusebox.is_on(Switch::Requests).await {
            self.requests.tick(&self.internal, &self.publisher, self.limits).await?
        } else {
            Handed::default()
        };
        let handed = syncs.and(&requests);
        Ok(if handed.claimed == 0 && !handed.more { Tick::Idle } else { Tick::Claimed(handed) })
    }

    async fn hand_syncs(&mut self) -> Result<Handed, TickError> {
        let Claimed { live, bulk } = self.claim().await?;
        let full = |scan: &LaneScan| i64::try_from(scan.claims.len()).is_ok_and(|n| n >= self.limits.batch);
        let more = full(&live) || full(&bulk);
        let claims: Vec<Claim> = live.claims.into_iter().chain(bulk.claims).collect();
        if claims.is_empty() {
            return Ok(Handed::default());
        }
        let claimed = claims.len();
        failpoint::reach("poller.before_publish").await?;
        let published = self.publisher.publish(claims, self.limits.lease).await;
        failpoint::reach("poller.after_publish").await?;
        metrics::counter!("tenant_sync_poller_published_total").increment(published.confirmed as u64);
        let given_back = match published.error {
            None => 0,
            Some(error) => {
                if let Some(not_told) = self.returns.tell(&()) {
                    tracing::warn!(rows = published.failed.len(), %error, not_told, "not published, giving back");
                }
                self.give_back(&published.failed).await?
            }
        };
        Ok(Handed { claimed, published: published.confirmed, given_back, more: more && given_back == 0 })
    }

    /// The session goes back to the pool before anything is published.
    async fn claim(&mut self) -> Result<Claimed<LaneScan>, TickError> {
        let began = Instant::now();
        let floors = Claimed { live: self.scans.live.begin(began), bulk: self.scans.bulk.begin(began) };
        let client = self.internal.get().await?;
        let claimed = outbox::claim(&client, self.limits, floors).await.map_err(DbError::from)?;
        metrics::histogram!("tenant_sync_poller_claim_seconds").record(began.elapsed().as_secs_f64());
        for (scan, found, lane) in
            [(&mut self.scans.live, &claimed.live, "live"), (&mut self.scans.bulk, &claimed.bulk, "bulk")]
        {
            scan.learn(found.scanned);
            metrics::counter!("tenant_sync_poller_claimed_total", "lane" => lane)
                .increment(found.claims.len() as u64);
        }
        Ok(claimed)
    }

    /// What cannot be given back is due again when its lease ends.
    async fn give_back(&self, claims: &[Claim]) -> Result<u64, TickError> {
        let client = self.internal.get().await?;
        let given_back = outbox::give_back_unpublished(&client, claims).await.map_err(DbError::from)?;
        metrics::counter!("tenant_sync_poller_given_back_total").increment(given_back);
        Ok(given_back)
    }
}
