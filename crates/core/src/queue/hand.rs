//! Due rows on their way to the broker: claimed with a lease, published with confirms, and given back where the broker did
//! not take them. The poller does this again and again, the console once where an operator asks for a pass.

use std::time::{Duration, Instant, SystemTime};

use deadpool_postgres::Object;
use tokio_postgres::Error;

use super::error::QueueError;
use super::publisher::{Message, Publisher};
use crate::db::{DbError, Internal};
use crate::outbox::{self, Claim, ClaimLimits, Claimed, DeliveryClaim, LaneScan, Scanned};
use crate::worker::failpoint::{self, Failed};

/// Why rows could not be handed over. Nothing is lost by it: their lease ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum HandError {
    /// The internal Postgres.
    #[error(transparent)]
    Database(#[from] DbError),
    /// A test wanted it.
    #[error(transparent)]
    Failpoint(#[from] Failed),
}

impl From<Error> for HandError {
    fn from(error: Error) -> Self {
        Self::Database(error.into())
    }
}

/// What became of the rows of one claim.
#[derive(Debug)]
pub struct HandedOver<S> {
    /// Rows claimed, in each lane.
    pub claimed: S,
    /// Messages that the broker has confirmed.
    pub published: usize,
    /// Rows that are pending again, because their message was not confirmed.
    pub given_back: u64,
    /// Why the first of those was not.
    pub error: Option<QueueError>,
    /// A batch was full, and the broker took it: there may be more.
    pub more: bool,
    /// How long claiming took.
    pub claim_took: Duration,
}

/// How many rows a lane had, and how far its scan looked.
#[derive(Debug, Clone, Copy)]
pub struct LaneClaimed {
    /// Rows claimed.
    pub rows: usize,
    /// How far it looked.
    pub scanned: Scanned,
}

/// Claims due requests to sync, live ones first, and publishes a job for each. `floors` are the due times from which the
/// lanes are scanned. Cancelling may leave rows claimed.
///
/// # Errors
/// The internal Postgres does not answer. A broker that fails is none: the rows are given back.
pub async fn hand_syncs(
    internal: &Internal,
    publisher: &Publisher,
    limits: ClaimLimits,
    floors: Claimed<SystemTime>,
) -> Result<HandedOver<Claimed<LaneClaimed>>, HandError> {
    let began = Instant::now();
    // The session goes back to the pool before anything is published.
    let Claimed { live, bulk } = outbox::claim(&internal.get().await?, limits, floors).await?;
    let claim_took = began.elapsed();
    let of_lane = |lane: &LaneScan| LaneClaimed { rows: lane.claims.len(), scanned: lane.scanned };
    let claimed = Claimed { live: of_lane(&live), bulk: of_lane(&bulk) };
    let full = is_full(claimed.live.rows, limits) || is_full(claimed.bulk.rows, limits);
    let claims: Vec<Claim> = live.claims.into_iter().chain(bulk.claims).collect();
    if !claims.is_empty() {
        failpoint::reach("poller.before_publish").await?;
    }
    let out = hand_over(internal, publisher, claims, limits.lease).await?;
    Ok(out.of(claimed, full, claim_took))
}

/// The same for destinations of HTTP requests; what applications asked for is folded before ([`outbox::fold_delivery_asks`]).
///
/// # Errors
/// As [`hand_syncs`].
pub async fn hand_deliveries(
    internal: &Internal,
    publisher: &Publisher,
    limits: ClaimLimits,
    floor: SystemTime,
) -> Result<HandedOver<LaneClaimed>, HandError> {
    let began = Instant::now();
    let scan = outbox::claim_deliveries(&internal.get().await?, limits, floor).await?;
    let claim_took = began.elapsed();
    let claimed = LaneClaimed { rows: scan.claims.len(), scanned: scan.scanned };
    let full = is_full(claimed.rows, limits);
    let out = hand_over(internal, publisher, scan.claims, limits.lease).await?;
    Ok(out.of(claimed, full, claim_took))
}

fn is_full(rows: usize, limits: ClaimLimits) -> bool {
    i64::try_from(rows).is_ok_and(|rows| rows >= limits.batch)
}

/// A claimed row that can be pending again.
trait Returnable: Message + Sized {
    async fn give_back(client: &Object, claims: &[Self]) -> Result<u64, Error>;
    /// A test may make the poller die when the broker has the messages and nobody knows it.
    const AFTER_PUBLISH: Option<&'static str> = None;
}

impl Returnable for Claim {
    const AFTER_PUBLISH: Option<&'static str> = Some("poller.after_publish");

    async fn give_back(client: &Object, claims: &[Self]) -> Result<u64, Error> {
        outbox::give_back_unpublished(client, claims).await
    }
}

impl Returnable for DeliveryClaim {
    async fn give_back(client: &Object, claims: &[Self]) -> Result<u64, Error> {
        outbox::give_back_deliveries(client, claims).await
    }
}

/// What became of messages.
struct Out {
    confirmed: usize,
    given_back: u64,
    error: Option<QueueError>,
}

impl Out {
    /// With the claim that they came from; `full` = a batch of it was.
    fn of<S>(self, claimed: S, full: bool, claim_took: Duration) -> HandedOver<S> {
        HandedOver {
            claimed,
            published: self.confirmed,
            given_back: self.given_back,
            more: full && self.error.is_none(),
            error: self.error,
            claim_took,
        }
    }
}

/// What cannot be given back is due again when its lease ends.
async fn hand_over<M: Returnable>(
    internal: &Internal,
    publisher: &Publisher,
    claims: Vec<M>,
    lease: Duration,
) -> Result<Out, HandError> {
    if claims.is_empty() {
        return Ok(Out { confirmed: 0, given_back: 0, error: None });
    }
    let published = publisher.publish(claims, lease).await;
    if let Some(place) = M::AFTER_PUBLISH {
        failpoint::reach(place).await?;
    }
    let given_back = if published.failed.is_empty() {
        0
    } else {
        M::give_back(&internal.get().await?, &published.failed).await?
    };
    Ok(Out { confirmed: published.confirmed, given_back, error: published.error })
}
