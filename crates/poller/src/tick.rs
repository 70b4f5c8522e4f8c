//! One look at the outbox: if anything is due, claim, publish, give back what the broker did not take.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tenant_sync_core::config::Config;
use tenant_sync_core::db::Internal;
use tenant_sync_core::outbox::{self, ClaimLimits, Claimed, Look, LookFrom};
use tenant_sync_core::queue::{self, HandError, HandedOver, LaneClaimed, Publisher};
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
    /// Counts what became of the rows, and tells of those that were given back.
    pub(crate) fn of<S>(claimed: usize, handed: &HandedOver<S>, returns: &Repeats) -> Self {
        let &HandedOver { published, given_back, more, .. } = handed;
        metrics::counter!("tenant_sync_poller_published_total").increment(published as u64);
        metrics::counter!("tenant_sync_poller_given_back_total").increment(given_back);
        if let Some(error) = &handed.error
            && let Some(not_told) = returns.tell(&())
        {
            tracing::warn!(rows = claimed - published, %error, not_told, "not published, giving back");
        }
        Self { claimed, published, given_back, more }
    }

    fn and(&self, other: &Self) -> Self {
        Self {
            claimed: self.claimed + other.claimed,
            published: self.published + other.published,
            given_back: self.given_back + other.given_back,
            more: self.more || other.more,
        }
    }
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
    pub async fn tick(&mut self) -> Result<Tick, HandError> {
        if !self.fusebox.is_on(Switch::Poller).await {
            return Ok(Tick::SwitchedOff);
        }
        if !self.publisher.is_up() {
            return Ok(Tick::NoBroker);
        }
        let now = Instant::now();
        let floors = Claimed { live: self.scans.live.begin(now), bulk: self.scans.bulk.begin(now) };
        let (deliveries, asked_by) = self.requests.begin(now);
        let from = LookFrom { syncs: floors, deliveries, asked_by };
        // The session goes back to the pool before anything is claimed.
        let due = outbox::look_for_due(&self.internal.get().await?, from).await?;
        let syncs = self.hand_syncs(floors, &due).await?;
        let requests = if self.fusebox.is_on(Switch::Requests).await {
            self.requests.tick(&self.internal, &self.publisher, self.limits, deliveries, &due).await?
        } else {
            Handed::default()
        };
        let handed = syncs.and(&requests);
        Ok(if handed.claimed == 0 && !handed.more { Tick::Idle } else { Tick::Claimed(handed) })
    }

    async fn hand_syncs(&mut self, floors: Claimed<SystemTime>, due: &Look) -> Result<Handed, HandError> {
        if !due.syncs {
            let nothing = LaneClaimed { rows: 0, scanned: due.nothing_up_to };
            self.learn(&Claimed { live: nothing, bulk: nothing });
            return Ok(Handed::default());
        }
        let handed = queue::hand_syncs(&self.internal, &self.publisher, self.limits, floors).await?;
        metrics::histogram!("tenant_sync_poller_claim_seconds").record(handed.claim_took.as_secs_f64());
        self.learn(&handed.claimed);
        let Claimed { live, bulk } = &handed.claimed;
        Ok(Handed::of(live.rows + bulk.rows, &handed, &self.returns))
    }

    fn learn(&mut self, claimed: &Claimed<LaneClaimed>) {
        let Claimed { live, bulk } = claimed;
        for (scan, lane, name) in [(&mut self.scans.live, live, "live"), (&mut self.scans.bulk, bulk, "bulk")]
        {
            scan.learn(lane.scanned);
            metrics::counter!("tenant_sync_poller_claimed_total", "lane" => name).increment(lane.rows as u64);
        }
    }
}
