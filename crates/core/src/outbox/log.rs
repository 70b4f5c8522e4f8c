//! HTTP requests as an operator looks at them: those that wait, the dead ones, and the delivered ones of the log; and
//! sending them again.

use deadpool_postgres::Object;
use time::OffsetDateTime;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row};
use uuid::Uuid;

/// Which requests are meant. Everything that is set must hold.
#[derive(Debug, Clone, Default)]
pub struct RequestFilter {
    /// One request.
    pub id: Option<Uuid>,
    /// Of this trigger.
    pub trigger_id: Option<Uuid>,
    /// Of this tenancy.
    pub tenancy_id: Option<Uuid>,
    /// With this event's name.
    pub event_type: Option<String>,
    /// Made at this time or later.
    pub since: Option<OffsetDateTime>,
}

impl RequestFilter {
    fn parameters(&self) -> [(&(dyn ToSql + Sync), Type); 5] {
        [
            (&self.id, Type::UUID),
            (&self.trigger_id, Type::UUID),
            (&self.tenancy_id, Type::UUID),
            (&self.event_type, Type::TEXT),
            (&self.since, Type::TIMESTAMPTZ),
        ]
    }
}

/// Which states are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestState {
    /// It waits for its time.
    Pending,
    /// All attempts are used up.
    Dead,
    /// It arrived, and is known by the log alone.
    Delivered,
}

impl RequestState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Dead, Self::Delivered];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Dead => "dead",
            Self::Delivered => "delivered",
        }
    }
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLine {
    /// `webhook-id`
    pub id: Uuid,
    /// `pending`, `dead` or `delivered`.
    pub state: String,
    /// The trigger whose event it is; `None` = a plain request.
    pub trigger_id: Option<Uuid>,
    /// Whose it is.
    pub tenancy_id: Option<Uuid>,
    /// Name of the event; `None` = a plain request.
    pub event_type: Option<String>,
    /// How it is sent.
    pub method: String,
    /// Where it goes; `None` = its trigger is gone.
    pub url: Option<String>,
    /// When it was made.
    pub created_at: Option<OffsetDateTime>,
    /// When it is tried next, if it waits.
    pub due_at: Option<OffsetDateTime>,
    /// Attempts that failed, or with which it arrived.
    pub attempts: i32,
    /// When it was delivered, or given up.
    pub ended_at: Option<OffsetDateTime>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// The last answer's status.
    pub last_status: Option<i32>,
    /// What is sent.
    pub body: Option<String>,
}

const LINES: &str = r#"
select q.id, q.state, t."id", q."tenancyId", q."eventType", coalesce(q.method, 'POST'), coalesce(q.url, t."url"), q."createdAt",
       q."dueAt", q.attempts, q."endedAt", q."lastError", q."lastStatus", q.body
from (
    (select r.id, r.state, r."destinationId", r."tenancyId", r."eventType", r.method, r.url, r."createdAt",
            case when r.state = 'pending' then r."dueAt" end as "dueAt", r.attempts, r."diedAt" as "endedAt", r."lastError",
            r."lastStatus", r.body
     from "OutgoingRequest" r
     where r.kind = 'http' and r.state = any ($6)
       and ($1::uuid is null or r.id = $1) and ($2::uuid is null or r."destinationId" = $2)
       and ($3::uuid is null or r."tenancyId" = $3) and ($4::text is null or r."eventType" = $4)
       and ($5::timestamptz is null or r."createdAt" >= $5)
     order by r."createdAt" desc, r.id limit $7)
    union all
    (select a."requestId", 'delivered', a."destinationId", a."tenancyId", a."eventType", a.method, a.url, a."createdAt",
            null, a.number, a.at, a.error, a.status, a.body
     from "HttpAttempt" a
     where a.outcome = 'delivered' and 'delivered' = any ($6)
       and ($1::uuid is null or a."requestId" = $1) and ($2::uuid is null or a."destinationId" = $2)
       and ($3::uuid is null or a."tenancyId" = $3) and ($4::text is null or a."eventType" = $4)
       and ($5::timestamptz is null or a.at >= $5 and a."createdAt" >= $5)
     order by a.at desc, a."requestId" limit $7)
) q left join "HttpTrigger" t on t."id" = q."destinationId"
order by q."createdAt" desc, q.id limit $7"#;

/// Requests, newest first, at most `limit`.
///
/// # Errors
/// Postgres does.
pub async fn list_requests(
    client: &Object,
    filter: &RequestFilter,
    states: &[RequestState],
    limit: i64,
) -> Result<Vec<RequestLine>, Error> {
    let states: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
    let [id, trigger, tenancy, event, since] = filter.parameters();
    let parameters =
        [id, trigger, tenancy, event, since, (&states as _, Type::TEXT_ARRAY), (&limit as _, Type::INT8)];
    client.query_typed(LINES, &parameters).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<RequestLine, Error> {
    Ok(RequestLine {
        id: row.try_get(0)?,
        state: row.try_get(1)?,
        trigger_id: row.try_get(2)?,
        tenancy_id: row.try_get(3)?,
        event_type: row.try_get(4)?,
        method: row.try_get(5)?,
        url: row.try_get(6)?,
        created_at: row.try_get(7)?,
        due_at: row.try_get(8)?,
        attempts: row.try_get(9)?,
        ended_at: row.try_get(10)?,
        last_error: row.try_get(11)?,
        last_status: row.try_get(12)?,
        body: row.try_get(13)?,
    })
}

/// One attempt, as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptLine {
    /// Which one of its request, from 1.
    pub number: i32,
    /// When it began.
    pub at: OffsetDateTime,
    /// `delivered`, `failed` or `dead`.
    pub outcome: String,
    /// How long it took.
    pub duration_millis: i32,
    /// The answer's status.
    pub status: Option<i32>,
    /// What kind of failure it was.
    pub error_class: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// The first KiB of the answer.
    pub response_excerpt: Option<String>,
}

/// The attempts of a request, oldest first, at most 1,000.
///
/// # Errors
/// Postgres does.
pub async fn attempts(client: &Object, request_id: Uuid) -> Result<Vec<AttemptLine>, Error> {
    let text = r#"
select number, at, outcome, "durationMillis", status, "errorClass", error, "responseExcerpt"
from "HttpAttempt" where "requestId" = $1 order by at limit 1000"#;
    let rows = client.query_typed(text, &[(&request_id, Type::UUID)]).await?;
    let read = |row: &Row| {
        Ok(AttemptLine {
            number: row.try_get(0)?,
            at: row.try_get(1)?,
            outcome: row.try_get(2)?,
            duration_millis: row.try_get(3)?,
            status: row.try_get(4)?,
            error_class: row.try_get(5)?,
            error: row.try_get(6)?,
            response_excerpt: row.try_get(7)?,
        })
    };
    rows.iter().map(read).collect()
}

const REVIVE: &str = r#"
with chosen as materialized (
    select r.id from "OutgoingRequest" r
    where r.kind = 'http' and r.state = 'dead'
      and ($1::uuid is null or r.id = $1) and ($2::uuid is null or r."destinationId" = $2)
      and ($3::uuid is null or r."tenancyId" = $3) and ($4::text is null or r."eventType" = $4)
      and ($5::timestamptz is null or r."createdAt" >= $5)
    order by r.position limit $6 for update skip locked
), revived as (
    update "OutgoingRequest" r
    set state = 'pending', "diedAt" = null, attempts = 0, "dueAt" = now(), "deduplicationKey" = null
    from chosen c where r.id = c.id
    returning r."destinationId"
), asked as (
    insert into "OutgoingRequest" (kind, "destinationId", "askedBy")
    select 'deliveryAsk', d."destinationId", pg_current_xact_id() from (select distinct "destinationId" from revived) d
)
select count(*) from revived"#;

/// The log is walked by time, from `$7` on; the last row says where the next batch begins.
const RESEND: &str = r#"
with chosen as materialized (
    select a.* from "HttpAttempt" a
    where a.outcome = 'delivered' and (a.at, a."requestId") > ($7::timestamptz, $8::uuid) and a.at <= $9::timestamptz
      and ($1::uuid is null or a."requestId" = $1) and ($2::uuid is null or a."destinationId" = $2)
      and ($3::uuid is null or a."tenancyId" = $3) and ($4::text is null or a."eventType" = $4)
      and ($5::timestamptz is null or a.at >= $5 and a."createdAt" >= $5)
    order by a.at, a."requestId" limit $6
), sent as (
    insert into "OutgoingRequest" (id, kind, "createdAt", "destinationId", position, "tenancyId", "eventType", method, url,
                                   headers, body, "orderKey", "timeoutMillis")
    select c."requestId", 'http', coalesce(c."createdAt", now()), c."destinationId", nextval('outgoing_request_seq'), c."tenancyId",
           c."eventType", c.method, c.url, c.headers, c.body, c."orderKey", c."timeoutMillis"
    from (select distinct on (x."requestId") x.* from chosen x order by x."requestId", x.at) c
    where exists (select from "HttpDestination" d where d.id = c."destinationId")
    order by c.at
    on conflict (id) do nothing
    returning "destinationId"
), asked as (
    insert into "OutgoingRequest" (kind, "destinationId", "askedBy")
    select 'deliveryAsk', d."destinationId", pg_current_xact_id() from (select distinct "destinationId" from sent) d
)
select (select count(*) from sent), (select count(*) from chosen),
       (select c.at from chosen c order by c.at desc, c."requestId" desc limit 1),
       (select c."requestId" from chosen c order by c.at desc, c."requestId" desc limit 1)"#;

/// How many requests are sent again in one transaction.
const REPLAY_BATCH: i64 = 1_000;

/// Sends requests again, with the ids that they had: the dead ones that `filter` means, and those that were delivered
/// if `states` names them. In transactions of 1,000; cancelled, what was done stays. Returns how many.
///
/// # Errors
/// Postgres does.
pub async fn replay_requests(
    client: &Object,
    filter: &RequestFilter,
    states: &[RequestState],
) -> Result<i64, Error> {
    let [id, trigger, tenancy, event, since] = filter.parameters();
    let mut total = 0;
    while states.contains(&RequestState::Dead) {
        let parameters = [
            id.clone(),
            trigger.clone(),
            tenancy.clone(),
            event.clone(),
            since.clone(),
            (&REPLAY_BATCH as _, Type::INT8),
        ];
        let revived: i64 = client.query_typed_one(REVIVE, &parameters).await?.get(0);
        total += revived;
        if revived < REPLAY_BATCH {
            break;
        }
    }
    // What arrives again while we are at it is not meant.
    let now: OffsetDateTime = client.query_typed_one("select now()", &[]).await?.get(0);
    let mut place = (OffsetDateTime::UNIX_EPOCH, Uuid::nil());
    while states.contains(&RequestState::Delivered) {
        let parameters = [
            id.clone(),
            trigger.clone(),
            tenancy.clone(),
            event.clone(),
            since.clone(),
            (&REPLAY_BATCH as _, Type::INT8),
            (&place.0, Type::TIMESTAMPTZ),
            (&place.1, Type::UUID),
            (&now, Type::TIMESTAMPTZ),
        ];
        let row = client.query_typed_one(RESEND, &parameters).await?;
        total += row.get::<_, i64>(0);
        match (row.get::<_, i64>(1), row.get(2), row.get(3)) {
            (chosen, Some(at), Some(last)) if chosen >= REPLAY_BATCH => place = (at, last),
            _ => break,
        }
    }
    Ok(total)
}
