//! Sending HTTP requests again, with the ids that they had.

use deadpool_postgres::Object;
use time::OffsetDateTime;
use tokio_postgres::Error;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::OF_ALL;
use super::log::{RequestFilter, RequestState};

/// Requests that are sent again. The command line and the console mean the same ones by the same words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    id: Option<Uuid>,
    filter: RequestFilter,
    states: Vec<RequestState>,
}

/// It was not said which requests are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("say which requests: one by its id, or those of a trigger, tenancy, event, time or state")]
pub struct NothingNamed;

impl Replay {
    /// What is named: one request, or all that `filter` means; in `states`, and if those are empty, the dead ones, and
    /// the delivered ones if one request is named, or a time from which on everything is wanted. Pending ones are those
    /// that wait after a failure: they are tried at once.
    ///
    /// # Errors
    /// Nothing is named.
    pub fn of(
        id: Option<Uuid>,
        filter: RequestFilter,
        states: &[RequestState],
    ) -> Result<Self, NothingNamed> {
        if id.is_none() && filter == RequestFilter::default() && states.is_empty() {
            return Err(NothingNamed);
        }
        let states = if !states.is_empty() {
            states.to_vec()
        } else if id.is_some() {
            RequestState::ALL.to_vec()
        } else if filter.since.is_some() {
            vec![RequestState::Dead, RequestState::Delivered]
        } else {
            vec![RequestState::Dead]
        };
        Ok(Self { id, filter, states })
    }

    /// The one request, if one is named.
    #[must_use]
    pub fn id(&self) -> Option<Uuid> {
        self.id
    }

    /// Which, beyond that.
    #[must_use]
    pub fn filter(&self) -> &RequestFilter {
        &self.filter
    }

    /// In which states.
    #[must_use]
    pub fn states(&self) -> &[RequestState] {
        &self.states
    }

    fn parameters(&self) -> [(&(dyn ToSql + Sync), Type); 5] {
        [
            (&self.id, Type::UUID),
            (&self.filter.trigger_id, Type::UUID),
            (&self.filter.tenancy_id, Type::UUID),
            (&self.filter.event_type, Type::TEXT),
            (&self.filter.since, Type::TIMESTAMPTZ),
        ]
    }
}

/// `{TIME}` is the column by which a state's index goes; what was done does not meet `{MEANT}` any more, nor what died
/// since `$9`.
const REVIVE: &str = r#"
with chosen as materialized (
    select r.id, r.{TIME} as at, r.position from "OutgoingRequest" r
    where {MEANT} and ($1::uuid is null or r.id = $1) and ($2::uuid is null or r."destinationId" = $2)
      and ($3::uuid is null or r."tenancyId" = $3) and ($4::text is null or r."eventType" = $4)
      and ($5::timestamptz is null or r."createdAt" >= $5)
      and (r.{TIME}, r.position) > ($7::timestamptz, $8::int8) and ('{STATE}' = 'pending' or r.{TIME} <= $9::timestamptz)
    order by r.{TIME}, r.position limit $6 for update skip locked
), revived as (
    update "OutgoingRequest" r
    set state = 'pending', "diedAt" = null, attempts = 0, "dueAt" = now(),
        "deduplicationKey" = case r.state when 'pending' then r."deduplicationKey" end
    from chosen c where r.id = c.id
    returning r."destinationId"
), asked as (
    insert into "OutgoingRequest" (kind, "destinationId", "askedBy")
    select 'deliveryAsk', d."destinationId", pg_current_xact_id() from (select distinct "destinationId" from revived) d
)
select (select count(*) from revived), (select count(*) from chosen),
       (select c.at from chosen c order by c.at desc, c.position desc limit 1),
       (select c.position from chosen c order by c.at desc, c.position desc limit 1)"#;

/// The log is walked by time, from `$7` on; the last row says where the next batch begins.
const RESEND: &str = r#"
with chosen as materialized (
    select a.* from "HttpAttempt" a
    where a.outcome = 'delivered' and (a.at, a."requestId") > ($7::timestamptz, $8::uuid) and a.at <= $9::timestamptz
      and ($1::uuid is null or a."requestId" = $1) and ($2::uuid is null or a."destinationId" = $2)
      and ($3::uuid is null or a."tenancyId" = $3) and ($4::text is null or a."eventType" = $4)
      and ($5::timestamptz is null or a.at >= $5 and a."createdAt" >= $5)
    order by {ORDER} limit $6
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

/// Sends requests again, in transactions of 1,000; cancelled, what was done stays. Returns how many.
///
/// # Errors
/// Postgres does.
pub async fn replay_requests(client: &Object, replay: &Replay) -> Result<i64, Error> {
    // What ends while we are at it is not meant.
    let now: OffsetDateTime = client.query_typed_one("select now()", &[]).await?.get(0);
    let mut total = 0;
    if replay.states.contains(&RequestState::Pending) {
        let meant = r#"r.state = 'pending' and r.attempts > 0"#;
        total += walk(client, replay, now, 0_i64, &revive("dueAt", meant, "pending", replay)).await?;
    }
    if replay.states.contains(&RequestState::Dead) {
        total +=
            walk(client, replay, now, 0_i64, &revive("diedAt", "r.state = 'dead'", "dead", replay)).await?;
    }
    if replay.states.contains(&RequestState::Delivered) {
        let order = if replay.id.is_some() { r#"a."requestId", a.at"# } else { r#"a.at, a."requestId""# };
        total += walk(client, replay, now, Uuid::nil(), &RESEND.replace("{ORDER}", order)).await?;
    }
    Ok(total)
}

fn revive(time: &str, meant: &str, state: &str, replay: &Replay) -> String {
    let http = match (replay.id, replay.filter.trigger_id) {
        // One request is found by the primary key: no other index fits what is said of its kind.
        (Some(_), _) => "r.kind || '' = 'http'".to_owned(),
        (None, Some(_)) => "r.kind = 'http'".to_owned(),
        (None, None) => format!("r.kind = 'http' and r.{OF_ALL}"),
    };
    REVIVE
        .replace("{TIME}", &format!("\"{time}\""))
        .replace("{MEANT}", &format!("{http} and {meant}"))
        .replace("{STATE}", state)
}

/// Runs a statement again and again, each time from where it ended.
async fn walk<P>(
    client: &Object,
    replay: &Replay,
    now: OffsetDateTime,
    first: P,
    text: &str,
) -> Result<i64, Error>
where
    P: ToSql + Sync + for<'a> tokio_postgres::types::FromSql<'a> + Typed,
{
    let [id, trigger, tenancy, event, since] = replay.parameters();
    let (mut total, mut place) = (0, (OffsetDateTime::UNIX_EPOCH, first));
    loop {
        let parameters = [
            id.clone(),
            trigger.clone(),
            tenancy.clone(),
            event.clone(),
            since.clone(),
            (&REPLAY_BATCH as _, Type::INT8),
            (&place.0, Type::TIMESTAMPTZ),
            (&place.1, P::TYPE),
            (&now, Type::TIMESTAMPTZ),
        ];
        let row = client.query_typed_one(text, &parameters).await?;
        total += row.get::<_, i64>(0);
        match (row.get::<_, i64>(1), row.get(2), row.get(3)) {
            (chosen, Some(at), Some(last)) if chosen >= REPLAY_BATCH => place = (at, last),
            _ => return Ok(total),
        }
    }
}

/// What tells requests of one time apart.
trait Typed {
    const TYPE: Type;
}

impl Typed for i64 {
    const TYPE: Type = Type::INT8;
}

impl Typed for Uuid {
    const TYPE: Type = Type::UUID;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_decides_which_states_are_meant() {
        use RequestState::{Dead, Delivered, Pending};
        let of = |id: Option<Uuid>, filter: RequestFilter, states: &[RequestState]| {
            Replay::of(id, filter, states).map(|replay| replay.states)
        };
        let (one, none) = (Some(Uuid::from_u128(1)), RequestFilter::default);
        let trigger = RequestFilter { trigger_id: one, ..none() };
        let since = RequestFilter { since: Some(OffsetDateTime::UNIX_EPOCH), ..trigger.clone() };
        assert_eq!(of(None, none(), &[]), Err(NothingNamed));
        assert_eq!(of(None, none(), &[Dead]), Ok(vec![Dead]));
        assert_eq!(of(one, none(), &[]), Ok(vec![Pending, Dead, Delivered]));
        assert_eq!(of(None, trigger.clone(), &[]), Ok(vec![Dead]));
        assert_eq!(of(None, since.clone(), &[]), Ok(vec![Dead, Delivered]));
        assert_eq!(of(None, since, &[Pending]), Ok(vec![Pending]));
    }
}
