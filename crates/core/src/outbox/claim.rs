//! The poller's side: pending or lapsed → queued, and back if it could not be published.

use std::time::{Duration, SystemTime};

use deadpool_postgres::Object;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use super::{Lane, TargetKey};

/// One row, claimed: what a message is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// "OutgoingRequest".id
    pub request_id: Uuid,
    /// Number of this claim; the message of an earlier one is stale.
    pub claim: i64,
    /// Whose sync it is.
    pub target: TargetKey,
    /// Which queue it goes to.
    pub lane: Lane,
    /// W3C trace context of the pass that asked for it, if that is traced.
    pub traceparent: Option<String>,
}

/// How much may be claimed.
#[derive(Debug, Clone, Copy)]
pub struct ClaimLimits {
    /// Rows of one claim, in each lane.
    pub batch: i64,
    /// Rows that may be queued (claimed and not running) over all pollers and lanes.
    pub max_queued: i64,
    /// A claimed row that nobody took is due again after this.
    pub lease: Duration,
}

impl ClaimLimits {
    /// Bulk rows may fill half of the queue, so that they never keep the live ones out of it.
    fn max_queued_in(self, lane: Lane) -> i64 {
        match lane {
            Lane::Live => self.max_queued,
            Lane::Bulk => (self.max_queued / 2).max(1),
        }
    }
}

/// Where the scans of both lanes begin.
#[derive(Debug, Clone, Copy)]
pub struct Claimed<T> {
    /// Of the lane [`Lane::Live`].
    pub live: T,
    /// Of the lane [`Lane::Bulk`].
    pub bulk: T,
}

/// What the scan of one lane found.
#[derive(Debug)]
pub struct LaneScan {
    /// Rows that are ours now.
    pub claims: Vec<Claim>,
    /// How far it looked.
    pub scanned: Scanned,
}

/// How far a scan looked, by the database's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scanned {
    /// The scan's `now()`: what was due before is claimed, or is told in `lowest_left`.
    pub as_of: SystemTime,
    /// Due time of the first row that was due and is not ours: no room, or somebody holds its lock.
    pub lowest_left: Option<SystemTime>,
}

/// First key of the advisory lock that claims take turns with; the second is the schema's hash.
const CLAIM_LOCK: i32 = 0x7E4A_0002;

pub(super) const BEGIN: &str =
    "begin; set local lock_timeout = '1s'; set local idle_in_transaction_session_timeout = '5s'";

const TAKE_TURN: &str = "select pg_advisory_xact_lock($1, hashtext(current_schema()))";

/// Measured beside it: without `dueAt >= $5` the scan walks every entry that was processed while an old
/// snapshot stays open (410 ms after 240,000 of them). `not in` is one hash of the rows just claimed, where
/// `not exists` would compare each with each.
const CLAIM: &str = r#"
with queued as (
    select count(*) as total, count(*) filter (where lane = $1) as in_lane
    from (select lane from "OutgoingRequest"
          where kind = 'sync' and "startedFulfillingAt" is not null and "runningSince" is null and "dueAt" > now()
          limit $3) as counted
), due as materialized (
    select id from "OutgoingRequest"
    where kind = 'sync' and lane = $1 and "dueAt" >= $5 and "dueAt" <= now()
    order by "dueAt"
    limit (select greatest(0, least($2, $3 - total, $4 - in_lane)) from queued)
    for update skip locked
), claimed as (
    update "OutgoingRequest" r
    set claim = r.claim + 1, "startedFulfillingAt" = now(), "runningSince" = null, "workerId" = null,
        "dueAt" = now() + $6::float8 * interval '1 second'
    from due where r.id = due.id
    returning r.id, r.claim, r."tenancyId", r."databaseId", r.traceparent
), scanned as (
    select now() as as_of, (
        select r."dueAt" from "OutgoingRequest" r
        where r.kind = 'sync' and r.lane = $1 and r."dueAt" >= $5 and r."dueAt" <= now()
          and r.id not in (select id from due)
        order by r."dueAt" limit 1) as lowest_left
)
select s.as_of, s.lowest_left, c.id, c.claim, c."tenancyId", c."databaseId", c.traceparent
from scanned s left join claimed c on true"#;

/// Claims due rows of both lanes, oldest first, live before bulk, and commits. `floors` are the due times
/// from which the scans look: below them nothing was due before.
///
/// Pollers take turns (an advisory lock to the end of the transaction), because the bound on what is queued
/// is one over all of them. The whole transaction is sent at once, so that no turn waits for the network, and
/// a process that freezes holds up nobody. Cancelling may leave rows claimed: their lease ends by itself.
///
/// # Errors
/// Postgres does, or another poller's turn takes longer than a second. Then nothing is claimed, unless the
/// connection broke in the commit: such rows are due again when their lease ends.
pub async fn claim(
    client: &Object,
    limits: ClaimLimits,
    floors: Claimed<SystemTime>,
) -> Result<Claimed<LaneScan>, Error> {
    let lease = limits.lease.as_secs_f64();
    let claim_lane = async |lane: Lane, floor: SystemTime| {
        let parameters: [(&(dyn ToSql + Sync), Type); 6] = [
            (&lane.as_str(), Type::TEXT),
            (&limits.batch, Type::INT8),
            (&limits.max_queued, Type::INT8),
            (&limits.max_queued_in(lane), Type::INT8),
            (&floor, Type::TIMESTAMPTZ),
            (&lease, Type::FLOAT8),
        ];
        client.query_typed(CLAIM, &parameters).await
    };
    let (begun, turned, live, bulk, committed) = tokio::join!(
        client.batch_execute(BEGIN),
        client.execute_typed(TAKE_TURN, &[(&CLAIM_LOCK, Type::INT4)]),
        claim_lane(Lane::Live, floors.live),
        claim_lane(Lane::Bulk, floors.bulk),
        client.batch_execute("commit"),
    );
    begun?;
    turned?;
    let claimed = Claimed { live: lane_scan(&live?, Lane::Live), bulk: lane_scan(&bulk?, Lane::Bulk) };
    committed?;
    Ok(claimed)
}

/// The first two columns of a claim's rows.
pub(super) fn scanned(rows: &[Row]) -> Scanned {
    rows.first().map_or(Scanned { as_of: SystemTime::UNIX_EPOCH, lowest_left: None }, |row| Scanned {
        as_of: row.get(0),
        lowest_left: row.get(1),
    })
}

fn lane_scan(rows: &[Row], lane: Lane) -> LaneScan {
    let claims = rows.iter().filter_map(|row| {
        Some(Claim {
            request_id: row.get::<_, Option<Uuid>>(2)?,
            claim: row.get(3),
            target: TargetKey { tenancy_id: row.get(4), database_id: row.get(5) },
            lane,
            traceparent: row.get(6),
        })
    });
    LaneScan { claims: claims.collect(), scanned: scanned(rows) }
}

/// Gives back what was claimed and could not be published: due at once, no attempt counted. What a worker
/// took meanwhile (the message arrived, only its confirm did not) or another poller claimed stays as it is.
/// Returns how many rows are pending again.
///
/// # Errors
/// Postgres does.
pub async fn give_back_unpublished(client: &Object, claims: &[Claim]) -> Result<u64, Error> {
    let (ids, numbers): (Vec<_>, Vec<_>) = claims.iter().map(|c| (c.request_id, c.claim)).unzip();
    let text = r#"
with ours as materialized (
    select r.id from unnest($1, $2) as given(id, claim)
    join "OutgoingRequest" r on r.id = given.id and r.claim = given.claim
    where r."runningSince" is null and r."startedFulfillingAt" is not null
    order by r."deduplicationKey"
    for update of r
)
update "OutgoingRequest" r set "startedFulfillingAt" = null, "dueAt" = now() from ours where r.id = ours.id"#;
    client.execute_typed(text, &[(&ids, Type::UUID_ARRAY), (&numbers, Type::INT8_ARRAY)]).await
}

/// How many rows are queued: claimed, lease not over, not running. Counts no further than `limit`.
///
/// # Errors
/// Postgres does.
pub async fn queued_count(client: &Object, limit: i64) -> Result<i64, Error> {
    let text = r#"
select count(*) from (
    select from "OutgoingRequest"
    where kind = 'sync' and "startedFulfillingAt" is not null and "runningSince" is null and "dueAt" > now()
    limit $1) as counted"#;
    Ok(client.query_typed_one(text, &[(&limit, Type::INT8)]).await?.get(0))
}
