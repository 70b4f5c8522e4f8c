//! HTTP requests, the poller's side: what applications asked for becomes delivery rows, one a destination, which
//! are claimed and published like sync rows. The requests themselves (kind `http`) are never touched here.

use std::time::SystemTime;

use deadpool_postgres::Object;
use tokio_postgres::Error;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::Scanned;
use super::claim::{BEGIN, ClaimLimits, scanned};

/// One delivery row, claimed: what a message is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryClaim {
    /// "OutgoingRequest".id
    pub request_id: Uuid,
    /// Number of this claim; the message of an earlier one is stale.
    pub claim: i64,
    /// "HttpDestination".id
    pub destination_id: Uuid,
    /// Whose trigger it is; none for all tenants' or for plain requests.
    pub tenancy_id: Option<Uuid>,
}

/// What the scan for due delivery rows found.
#[derive(Debug)]
pub struct DeliveryScan {
    /// Rows that are ours now.
    pub claims: Vec<DeliveryClaim>,
    /// How far it looked.
    pub scanned: Scanned,
}

/// First key of the advisory lock that claims of deliveries take turns with; the second is the schema's hash.
const CLAIM_LOCK: i32 = 0x7E4A_0003;

const TAKE_TURN: &str = "select pg_advisory_xact_lock($1, hashtext(current_schema()))";

const CLAIM: &str = r#"
with queued as (
    select count(*) as total
    from (select from "OutgoingRequest"
          where kind = 'delivery' and "startedFulfillingAt" is not null and "runningSince" is null and "dueAt" > now()
          limit $2) as counted
), due as materialized (
    select id from "OutgoingRequest"
    where kind = 'delivery' and "dueAt" >= $3 and "dueAt" <= now()
    order by "dueAt"
    limit (select greatest(0, least($1, $2 - total)) from queued)
    for update skip locked
), claimed as (
    update "OutgoingRequest" r
    set claim = r.claim + 1, "startedFulfillingAt" = now(), "runningSince" = null, "workerId" = null,
        "dueAt" = now() + $4::float8 * interval '1 second'
    from due where r.id = due.id
    returning r.id, r.claim, r."destinationId", r."tenancyId"
), scanned as (
    select now() as as_of, (
        select r."dueAt" from "OutgoingRequest" r
        where r.kind = 'delivery' and r."dueAt" >= $3 and r."dueAt" <= now() and r.id not in (select id from due)
        order by r."dueAt" limit 1) as lowest_left
)
select s.as_of, s.lowest_left, c.id, c.claim, c."destinationId", c."tenancyId"
from scanned s left join claimed c on true"#;

/// Claims due delivery rows, oldest first, and commits: as [`super::claim()`], with a bound of their own.
///
/// # Errors
/// As there.
pub async fn claim_deliveries(
    client: &Object,
    limits: ClaimLimits,
    floor: SystemTime,
) -> Result<DeliveryScan, Error> {
    let lease = limits.lease.as_secs_f64();
    let parameters: [(&(dyn ToSql + Sync), Type); 4] = [
        (&limits.batch, Type::INT8),
        (&limits.max_queued, Type::INT8),
        (&floor, Type::TIMESTAMPTZ),
        (&lease, Type::FLOAT8),
    ];
    let (begun, turned, rows, committed) = tokio::join!(
        client.batch_execute(BEGIN),
        client.execute_typed(TAKE_TURN, &[(&CLAIM_LOCK, Type::INT4)]),
        client.query_typed(CLAIM, &parameters),
        client.batch_execute("commit"),
    );
    begun?;
    turned?;
    let rows = rows?;
    let claims = rows.iter().filter_map(|row| {
        Some(DeliveryClaim {
            request_id: row.get::<_, Option<Uuid>>(2)?,
            claim: row.get(3),
            destination_id: row.get(4),
            tenancy_id: row.get(5),
        })
    });
    let scan = DeliveryScan { claims: claims.collect(), scanned: scanned(&rows) };
    committed?;
    Ok(scan)
}

/// As [`super::give_back_unpublished`].
///
/// # Errors
/// Postgres does.
pub async fn give_back_deliveries(client: &Object, claims: &[DeliveryClaim]) -> Result<u64, Error> {
    let (ids, numbers): (Vec<_>, Vec<_>) = claims.iter().map(|c| (c.request_id, c.claim)).unzip();
    let text = r#"
with ours as materialized (
    select r.id from unnest($1, $2) as given(id, claim)
    join "OutgoingRequest" r on r.id = given.id and r.claim = given.claim
    where r."runningSince" is null and r."startedFulfillingAt" is not null
    order by r."destinationId"
    for update of r
)
update "OutgoingRequest" r set "startedFulfillingAt" = null, "dueAt" = now() from ours where r.id = ours.id"#;
    client.execute_typed(text, &[(&ids, Type::UUID_ARRAY), (&numbers, Type::INT8_ARRAY)]).await
}

/// What one call of [`fold_delivery_asks`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveriesFolded {
    /// Asks that are gone.
    pub asks: i64,
    /// Destinations that have something to do.
    pub destinations: i64,
    /// Where the next call has to look.
    pub next: AskedBy,
}

/// Transactions whose asks may be there and are not folded yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AskedBy {
    /// This one and all later ones.
    from: u64,
    /// Earlier ones that were still running.
    running: Vec<String>,
}

impl AskedBy {
    /// As the server writes them.
    pub(super) fn of(from: &str, mut running: Vec<String>) -> Self {
        let from: u64 = from.parse().unwrap_or_default();
        // Later ones are looked at anyway.
        running.retain(|xid| xid.parse::<u64>().is_ok_and(|xid| xid < from));
        Self { from, running }
    }

    /// As the server reads them: from which one on, and which earlier ones.
    pub(super) fn transactions(&self) -> (String, &[String]) {
        (self.from.to_string(), &self.running)
    }
}

/// Turns asks (rows of kind `deliveryAsk`, one a statement and destination) into delivery rows, at most `limit`
/// asks. The delivery row is due when the earliest of them is, but not before the destination's breaker allows a
/// probe; one that is queued or runs is told by its counter. Of a trigger that is not active nothing becomes of it:
/// whoever resumes it asks again.
///
/// Looks only at asks of the transactions that `asked_by` names, by the index, whatever an old snapshot keeps of those
/// that were folded before; `AskedBy::default()` = at all. Waits for nobody, as [`super::fold_asks`].
///
/// # Errors
/// Postgres does.
pub async fn fold_delivery_asks(
    client: &Object,
    asked_by: &AskedBy,
    limit: i64,
) -> Result<DeliveriesFolded, Error> {
    let (from, running) = asked_by.transactions();
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&from, Type::TEXT), (&limit, Type::INT8), (&running, Type::TEXT_ARRAY)];
    let row = client.query_typed_one(FOLD, &parameters).await?;
    let next_from: String = row.get(2);
    let next = AskedBy::of(&next_from, row.get(3));
    Ok(DeliveriesFolded { asks: row.get(0), destinations: row.get(1), next })
}

const FOLD: &str = r#"
with fresh as materialized (
    select id, "destinationId", "dueAt", url, "askedBy" from "OutgoingRequest"
    where kind = 'deliveryAsk' and "askedBy" >= $1::xid8
    order by "askedBy" limit $2
    for update skip locked
), late as materialized (
    select id, "destinationId", "dueAt", url, "askedBy" from "OutgoingRequest"
    where kind = 'deliveryAsk' and "askedBy" = any ($3::xid8[])
    order by "askedBy" limit $2
    for update skip locked
), asks as materialized (
    select * from late union all select * from fresh
), wanted as materialized (
    select "destinationId" as id, min("dueAt") as due, max(url) as origin from asks group by 1
), new_destinations as (
    insert into "HttpDestination" (id, origin)
    select w.id, w.origin from wanted w
    where w.origin is not null and not exists (select from "HttpDestination" d where d.id = w.id)
    order by 1
    on conflict do nothing
    returning id, origin
), able as materialized (
    select w.id, greatest(w.due, d."nextAttemptAt") as due, t."tenancyId" as tenancy
    from wanted w join "HttpDestination" d on d.id = w.id left join "HttpTrigger" t on t.id = d."triggerId"
    where t.id is null or t.state = 'active'
    union all
    select w.id, w.due, null from wanted w where w.id in (select n.id from new_destinations n)
), present as materialized (
    select r.id, r."destinationId" from "OutgoingRequest" r
    where r.kind = 'delivery' and r."destinationId" in (select a.id from able a)
), locked as materialized (
    select r.id from "OutgoingRequest" r where r.id in (select id from present) for update skip locked
), busy as materialized (
    select "destinationId" as id from present where id not in (select id from locked)
), gone as (
    delete from "OutgoingRequest" r using asks a
    where r.id = a.id and a."destinationId" not in (select id from busy)
    returning r.id
), asked as (
    insert into "OutgoingRequest" as r (kind, "destinationId", "tenancyId", "dueAt")
    select 'delivery', a.id, a.tenancy, a.due from able a where a.id not in (select id from busy)
    order by 2
    on conflict ("destinationId") where kind = 'delivery'
    do update set counter = r.counter + 1,
        "dueAt" = case when r."startedFulfillingAt" is null then least(r."dueAt", excluded."dueAt") else r."dueAt" end
    returning 1
)
select (select count(*) from gone), (select count(*) from asked),
       least((select l."askedBy"::text::numeric from (
                  select "askedBy" from "OutgoingRequest" q
                  where q.kind = 'deliveryAsk' and q."askedBy" >= $1::xid8
                    and (q.id not in (select id from asks) or q."destinationId" in (select id from busy))
                  order by q."askedBy" limit 1) l),
             (select l."askedBy"::text::numeric from (
                  select "askedBy" from "OutgoingRequest" q
                  where q.kind = 'deliveryAsk' and q."askedBy" = any ($3::xid8[])
                    and (q.id not in (select id from asks) or q."destinationId" in (select id from busy))
                  order by q."askedBy" limit 1) l),
             pg_snapshot_xmax(pg_current_snapshot())::text::numeric)::text,
       array(select x::text from pg_snapshot_xip(pg_current_snapshot()) x)"#;

/// What one call of [`sweep_destinations`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Destinations that have something to do and were told nothing.
    pub woken: i64,
    /// Where the next call goes on; `None` = all were looked at.
    pub next_after: Option<Uuid>,
}

/// Looks at `limit` destinations after `after` for requests that wait without a delivery row, whatever the reason,
/// and makes it. Returns where to go on.
///
/// # Errors
/// Postgres does.
pub async fn sweep_destinations(client: &Object, after: Uuid, limit: i64) -> Result<Swept, Error> {
    let text = r#"
with looked as materialized (
    select d.id, d."nextAttemptAt", d."triggerId" from "HttpDestination" d where d.id > $1 order by d.id limit $2
), idle as materialized (
    select l.id, greatest(due.at, l."nextAttemptAt") as due, t."tenancyId" as tenancy
    from looked l left join "HttpTrigger" t on t.id = l."triggerId"
    cross join lateral (
        select r."dueAt" as at from "OutgoingRequest" r
        where r.kind = 'http' and r.state = 'pending' and r."destinationId" = l.id
        order by r."dueAt" limit 1) due
    where (t.id is null or t.state = 'active')
      and not exists (select from "OutgoingRequest" r where r.kind = 'delivery' and r."destinationId" = l.id)
), woken as (
    insert into "OutgoingRequest" (kind, "destinationId", "tenancyId", "dueAt")
    select 'delivery', i.id, i.tenancy, i.due from idle i order by 2
    on conflict ("destinationId") where kind = 'delivery' do nothing
    returning 1
)
select (select count(*) from woken), (select count(*) from looked) >= $2, (select id from looked order by id desc limit 1)"#;
    let row = client.query_typed_one(text, &[(&after, Type::UUID), (&limit, Type::INT8)]).await?;
    Ok(Swept { woken: row.get(0), next_after: if row.get(1) { row.get(2) } else { None } })
}

/// Deletes requests of triggers that are gone, with their tenancy perhaps: at most `limit` of those that wait and of
/// the dead ones each. Returns how many.
///
/// # Errors
/// Postgres does.
pub async fn delete_orphans(client: &Object, limit: i64) -> Result<u64, Error> {
    let mut deleted = 0;
    for state in ["pending", "dead"] {
        // From destination to destination by the index, however many requests each has. A plain request has a URL, and
        // its destination may be yet to be made.
        let text = format!(
            r#"
with recursive used as (
    (select r."destinationId" as id from "OutgoingRequest" r where r.kind = 'http' and r.state = '{state}'
     order by 1 limit 1)
    union all
    select (select r."destinationId" from "OutgoingRequest" r
            where r.kind = 'http' and r.state = '{state}' and r."destinationId" > u.id order by 1 limit 1)
    from used u where u.id is not null
), victims as materialized (
    select r.id from used u cross join lateral (
        select r.id from "OutgoingRequest" r
        where r.kind = 'http' and r.state = '{state}' and r."destinationId" = u.id and r.url is null
        limit $1) r
    where u.id is not null and not exists (select from "HttpDestination" d where d.id = u.id)
    limit $1
)
delete from "OutgoingRequest" r using victims v where r.id = v.id"#
        );
        deleted += client.execute_typed(&text, &[(&limit, Type::INT8)]).await?;
    }
    Ok(deleted)
}

/// Copies what the configuration says of plain requests to where `enqueue_http_request` reads it.
///
/// # Errors
/// Postgres does.
pub async fn publish_settings(client: &Object, allow_http: bool, max_body_bytes: usize) -> Result<(), Error> {
    let max_body = i32::try_from(max_body_bytes).unwrap_or(i32::MAX);
    let text = r#"
update "HttpSettings" set "allowHttp" = $1, "maxBodyBytes" = $2
where ("allowHttp", "maxBodyBytes") is distinct from ($1, $2)"#;
    client.execute_typed(text, &[(&allow_http, Type::BOOL), (&max_body, Type::INT4)]).await?;
    Ok(())
}
