//! Lists of HTTP requests, page by page, along their time: those that wait by when they are tried next, those that were
//! given up or delivered by when that was; the latest first.
//!
//! Each state is a range of an index in that order. What a filter asks beyond it is looked for among a bounded number of
//! requests; then a page is shorter, or empty, and goes on where the look ended.

use std::fmt;
use std::str::FromStr;

use deadpool_postgres::GenericClient;
use time::OffsetDateTime;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use super::OF_ALL;
use super::log::{RequestFilter, RequestLine, RequestState};
use crate::registry::browse::Page;
use crate::registry::cursor::{self, CursorError};

/// Requests of each state that a page looks at.
pub const LOOKED_MAX: i64 = 10_000;
/// After everything (9999-12-31).
const END_OF_TIME_S: i64 = 253_402_214_400;

/// Where a list of requests goes on. In the order of the list, the latest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestCursor {
    at: OffsetDateTime,
    place: Place,
}

/// What tells requests of the same time apart; a later variant comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Delivered(Uuid),
    /// By position.
    Dead(i64),
    /// By position.
    Pending(i64),
}

impl fmt::Display for RequestCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = cursor::write_instant(self.at);
        let place = match self.place {
            Place::Pending(position) => format!("pending {position}"),
            Place::Dead(position) => format!("dead {position}"),
            Place::Delivered(id) => format!("delivered {id}"),
        };
        f.write_str(&cursor::write(&format!("{micros} {place}")))
    }
}

impl FromStr for RequestCursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let parse = || {
            let text = cursor::read(text)?;
            let mut parts = text.splitn(3, ' ');
            let (micros, state, place) = (parts.next()?, parts.next()?, parts.next()?);
            let place = match RequestState::from_name(state)? {
                RequestState::Pending => Place::Pending(place.parse().ok()?),
                RequestState::Dead => Place::Dead(place.parse().ok()?),
                RequestState::Delivered => Place::Delivered(place.parse().ok()?),
            };
            Some(Self { at: cursor::read_instant(micros)?, place })
        };
        parse().ok_or(CursorError)
    }
}

/// What the three states have in common: where they are, in which order, and what their columns are called.
struct Source {
    state: RequestState,
    /// Columns of a [`RequestLine`] but the trigger's, over the rows "r".
    columns: &'static str,
    from: &'static str,
    /// What a list of all destinations' requests has to say, so that its index fits it.
    of_all: &'static str,
    /// The time and the place.
    order: (&'static str, &'static str),
    /// What is no range of the index.
    besides: &'static str,
}

const SOURCES: [Source; 3] = [
    Source {
        state: RequestState::Pending,
        columns: r#"r.id, r."destinationId", r."tenancyId", r."eventType", r.method, r.url, r."createdAt", r."dueAt", r.attempts,
            null::timestamptz as "endedAt", r."lastError", r."lastStatus", r."dueAt" as at, r.position"#,
        from: r#""OutgoingRequest" where kind = 'http' and state = 'pending'"#,
        of_all: OF_ALL,
        order: (r#""dueAt""#, "position"),
        besides: "true",
    },
    Source {
        state: RequestState::Dead,
        columns: r#"r.id, r."destinationId", r."tenancyId", r."eventType", r.method, r.url, r."createdAt", null::timestamptz as "dueAt",
            r.attempts, r."diedAt" as "endedAt", r."lastError", r."lastStatus", r."diedAt" as at, r.position"#,
        from: r#""OutgoingRequest" where kind = 'http' and state = 'dead'"#,
        of_all: OF_ALL,
        order: (r#""diedAt""#, "position"),
        besides: "true",
    },
    Source {
        state: RequestState::Delivered,
        columns: r#"r."requestId" as id, r."destinationId", r."tenancyId", r."eventType", r.method, r.url, r."createdAt",
            null::timestamptz as "dueAt", r.number as attempts, r.at as "endedAt", r.error as "lastError", r.status as "lastStatus",
            r.at, 0::int8 as position"#,
        from: r#""HttpAttempt" where true"#,
        of_all: "true",
        order: ("at", r#""requestId""#),
        besides: "r.outcome = 'delivered'",
    },
];

/// A page of requests in these states.
///
/// # Errors
/// Postgres does.
pub async fn list_requests<C: GenericClient>(
    client: &C,
    filter: &RequestFilter,
    states: &[RequestState],
    after: Option<&RequestCursor>,
    limit: i64,
) -> Result<Page<RequestLine, RequestCursor>, Error> {
    let mut found: Vec<(RequestCursor, RequestLine)> = Vec::new();
    // Beyond the highest place where a look ended, a request of that state may be missing.
    let mut complete_to: Option<RequestCursor> = None;
    for source in SOURCES.iter().filter(|source| states.contains(&source.state)) {
        let part = source.read(client, filter, after, limit).await?;
        found.extend(part.lines);
        complete_to = complete_to.max(part.ended);
    }
    found.sort_by_key(|(place, _)| std::cmp::Reverse(*place));
    if let Some(end) = complete_to {
        found.retain(|(place, _)| *place >= end);
    }
    let kept = usize::try_from(limit).unwrap_or(usize::MAX);
    let next = if found.len() > kept {
        found.truncate(kept);
        found.last().map(|(place, _)| *place)
    } else {
        complete_to
    };
    Ok(Page { entries: found.into_iter().map(|(_, line)| line).collect(), next })
}

/// What one state gives to a page.
struct Part {
    lines: Vec<(RequestCursor, RequestLine)>,
    /// Where the look ended, if it did not find enough and there is more.
    ended: Option<RequestCursor>,
}

impl Source {
    async fn read<C: GenericClient>(
        &self,
        client: &C,
        filter: &RequestFilter,
        after: Option<&RequestCursor>,
        limit: i64,
    ) -> Result<Part, Error> {
        let (more, looked) = (limit + 1, LOOKED_MAX.max(limit + 1));
        let (at, position, id) = self.begin(after);
        let place: &(dyn ToSql + Sync) = if self.state == RequestState::Delivered { &id } else { &position };
        let (time, tie) = self.order;
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&at, place, &looked];
        let mut range = format!("({time}, {tie}) < ($1, $2)");
        if filter.trigger_id.is_some() {
            parameters.push(&filter.trigger_id);
            range.push_str(&format!(r#" and "destinationId" = ${}"#, parameters.len()));
        } else {
            range.push_str(&format!(" and {}", self.of_all));
        }
        let mut holds = self.besides.to_owned();
        if filter.since.is_some() {
            parameters.push(&filter.since);
            // Nothing is tried or ends before it was made.
            range.push_str(&format!(" and {time} >= ${}", parameters.len()));
            holds.push_str(&format!(r#" and r."createdAt" >= ${}"#, parameters.len()));
        }
        let looked_at =
            format!("select * from {} and {range} order by {time} desc, {tie} desc limit $3", self.from);
        let in_range = parameters.clone();
        if filter.tenancy_id.is_some() {
            parameters.push(&filter.tenancy_id);
            holds.push_str(&format!(r#" and r."tenancyId" = ${}"#, parameters.len()));
        }
        if filter.event_type.is_some() {
            parameters.push(&filter.event_type);
            holds.push_str(&format!(r#" and r."eventType" = ${}"#, parameters.len()));
        }
        parameters.push(&more);
        let sql = format!(
            r#"select q.*, t."id" as "triggerId", t."url" as "triggerUrl"
               from (select {} from ({looked_at}) r where {holds} limit ${}) q
               left join "HttpTrigger" t on t."id" = q."destinationId""#,
            self.columns,
            parameters.len()
        );
        let rows = client.query(&sql, &parameters).await?;
        let lines: Vec<_> = rows.iter().map(|row| self.line(row)).collect::<Result<_, Error>>()?;
        let mut ended = None;
        if lines.len() < usize::try_from(more).unwrap_or(usize::MAX) && holds != "true" {
            let sql =
                format!("select {time} as at, {tie} as place from ({looked_at}) r offset $3 - 1 limit 1");
            let row = client.query_opt(&sql, &in_range).await?;
            ended = row.as_ref().map(|row| self.place(row, "place")).transpose()?;
        }
        Ok(Part { lines, ended })
    }

    /// The range's upper end: the time, and the position or the id, which themselves are not in it.
    fn begin(&self, after: Option<&RequestCursor>) -> (OffsetDateTime, i64, Uuid) {
        let Some(after) = after else {
            let end = OffsetDateTime::from_unix_timestamp(END_OF_TIME_S);
            return (end.unwrap_or(OffsetDateTime::UNIX_EPOCH), i64::MAX, Uuid::max());
        };
        match (self.state, after.place) {
            (RequestState::Pending, Place::Pending(position))
            | (RequestState::Dead, Place::Dead(position)) => (after.at, position, Uuid::nil()),
            (RequestState::Delivered, Place::Delivered(id)) => (after.at, 0, id),
            // Those of the same time come after the cursor's if their state does.
            (RequestState::Pending, _) | (RequestState::Dead, Place::Delivered(_)) => {
                (after.at, i64::MIN, Uuid::nil())
            }
            _ => (after.at, i64::MAX, Uuid::max()),
        }
    }

    fn place(&self, row: &Row, column: &str) -> Result<RequestCursor, Error> {
        let place = match self.state {
            RequestState::Pending => Place::Pending(row.try_get(column)?),
            RequestState::Dead => Place::Dead(row.try_get(column)?),
            RequestState::Delivered => Place::Delivered(row.try_get(column)?),
        };
        Ok(RequestCursor { at: row.try_get("at")?, place })
    }

    fn line(&self, row: &Row) -> Result<(RequestCursor, RequestLine), Error> {
        let column = if self.state == RequestState::Delivered { "id" } else { "position" };
        Ok((self.place(row, column)?, line(row, self.state)?))
    }
}

/// A row of [`Source::columns`] with its trigger.
fn line(row: &Row, state: RequestState) -> Result<RequestLine, Error> {
    let (method, own_url): (Option<String>, Option<String>) = (row.try_get("method")?, row.try_get("url")?);
    Ok(RequestLine {
        id: row.try_get("id")?,
        state,
        trigger_id: row.try_get("triggerId")?,
        tenancy_id: row.try_get("tenancyId")?,
        event_type: row.try_get("eventType")?,
        method: method.unwrap_or_else(|| "POST".to_owned()),
        url: own_url.or(row.try_get("triggerUrl")?),
        created_at: row.try_get("createdAt")?,
        due_at: row.try_get("dueAt")?,
        attempts: row.try_get("attempts")?,
        ended_at: row.try_get("endedAt")?,
        last_error: row.try_get("lastError")?,
        last_status: row.try_get("lastStatus")?,
    })
}

/// One request, and what is sent. A delivered one that is sent again is both; what waits is the news.
///
/// # Errors
/// Postgres does.
pub async fn find_request<C: GenericClient>(
    client: &C,
    id: Uuid,
) -> Result<Option<(RequestLine, Option<String>)>, Error> {
    for source in &SOURCES {
        let (from, by) = match source.state {
            RequestState::Delivered => {
                (source.from.to_owned(), r#""requestId" = $1 and outcome = 'delivered'"#)
            }
            // By the primary key.
            state => (
                format!(r#""OutgoingRequest" where kind || '' = 'http' and state = '{}'"#, state.as_str()),
                "id = $1",
            ),
        };
        let (time, tie) = source.order;
        let sql = format!(
            r#"select q.*, t."id" as "triggerId", t."url" as "triggerUrl"
               from (select {}, r.body from (select * from {from} and {by} order by {time} desc, {tie} limit 1) r) q
               left join "HttpTrigger" t on t."id" = q."destinationId""#,
            source.columns
        );
        if let Some(row) = client.query_opt(&sql, &[&id]).await? {
            return Ok(Some((line(&row, source.state)?, row.try_get("body")?)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: &str, place: Place) -> RequestCursor {
        RequestCursor { at: cursor::read_instant(micros).expect("a time"), place }
    }

    #[test]
    fn a_cursor_comes_back_as_it_was_given() {
        for place in [Place::Pending(5), Place::Dead(-1), Place::Delivered(Uuid::from_u128(9))] {
            let cursor = at("1764000000123456", place);
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for bad in ["", "x", "!!", "MSBwZW5kaW5n", "MSBvZGQgMQ"] {
            assert_eq!(bad.parse::<RequestCursor>(), Err(CursorError), "{bad}");
        }
    }

    /// Whatever the cursor: a state's range begins with what the list shows behind it.
    #[test]
    fn ranges_begin_behind_the_cursor() {
        let places = [
            Place::Pending(7),
            Place::Pending(6),
            Place::Dead(7),
            Place::Dead(6),
            Place::Delivered(Uuid::from_u128(7)),
            Place::Delivered(Uuid::from_u128(6)),
        ];
        let all: Vec<RequestCursor> =
            ["20", "10"].into_iter().flat_map(|micros| places.map(|place| at(micros, place))).collect();
        assert!(all.is_sorted_by(|a, b| a > b));
        for (n, cursor) in all.iter().enumerate() {
            let mut behind: Vec<RequestCursor> = Vec::new();
            for source in &SOURCES {
                let (end, position, id) = source.begin(Some(cursor));
                behind.extend(all.iter().filter(|one| match (source.state, one.place) {
                    (RequestState::Pending, Place::Pending(p)) | (RequestState::Dead, Place::Dead(p)) => {
                        (one.at, p) < (end, position)
                    }
                    (RequestState::Delivered, Place::Delivered(other)) => (one.at, other) < (end, id),
                    _ => false,
                }));
            }
            behind.sort_by_key(|one| std::cmp::Reverse(*one));
            assert_eq!(behind, all[n + 1..], "{cursor:?}");
        }
    }
}
