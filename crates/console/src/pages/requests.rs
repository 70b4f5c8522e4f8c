//! HTTP requests: those that wait, were given up, or arrived; their attempts, and sending them again.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use tenant_sync_core::outbox::{Replay, RequestFilter, RequestState};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};
use uuid::Uuid;

use super::address::Address;
use super::live::{self, Regions};
use super::shell::{Shell, Trouble};
use super::view::format::{count, things};
use super::view::frame::Section;
use super::view::login;
use super::view::parts::{Asked, Level, Notice};
use super::view::requests::{self as view, Detail, Line, Requests};
use super::view::targets::Choice;
use crate::access::Operator;
use crate::api::requests::{self as api, Request, RequestDetail};
use crate::http::{PathParameters, Problem, Query};
use crate::state::Console;

/// Requests on a page.
const PAGE: i64 = 100;
/// As a browser writes what was chosen, which is meant in UTC.
const CHOSEN: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute][optional [:[second]]]");
const EVERY: std::time::Duration = std::time::Duration::from_secs(2);
const STATES: [(&str, &str); 3] = [("pending", "waiting"), ("dead", "given up"), ("delivered", "delivered")];

pub(super) fn router() -> Router<Console> {
    Router::new()
        .route("/requests", get(show))
        .route("/requests/replay", get(ask_all).post(replay_all))
        .route("/requests/{request_id}", get(show_one))
        .route("/requests/{request_id}/replay", get(ask).post(replay))
        .route("/live/requests", get(stream))
        .route("/live/requests/{request_id}", get(stream_one))
}

/// What the address says.
#[derive(Debug, Clone)]
struct Wanted {
    state: Option<RequestState>,
    event: Option<String>,
    trigger: Option<Uuid>,
    tenancy: Option<Uuid>,
    since: Option<OffsetDateTime>,
    cursor: Option<String>,
}

impl Wanted {
    fn read(query: Query) -> Result<(Self, Option<i64>), Problem> {
        query.read(|q| {
            let wanted = Self {
                state: q.one_of("state", &STATES.map(|(state, _)| state))?.and_then(RequestState::from_name),
                event: q.text("event").map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()),
                trigger: q.uuid("trigger")?,
                tenancy: q.uuid("tenancy")?,
                since: q.text("since").map(since).transpose()?,
                cursor: q.text("cursor").map(str::to_owned),
            };
            Ok((wanted, q.number("replayed", 0..=i64::MAX)?))
        })
    }

    fn states(&self) -> Vec<RequestState> {
        self.state.map_or_else(|| RequestState::ALL.to_vec(), |state| vec![state])
    }

    fn filter(&self) -> RequestFilter {
        RequestFilter {
            trigger_id: self.trigger,
            tenancy_id: self.tenancy,
            event_type: self.event.clone(),
            since: self.since,
        }
    }

    /// What is sent again if all of these are; `None` = nothing is named.
    fn replay(&self) -> Option<Replay> {
        Replay::of(None, self.filter(), self.state.as_slice()).ok()
    }

    fn address(&self, path: &str) -> Address {
        Address::new(path)
            .with("state", self.state.map(RequestState::as_str))
            .with("event", self.event.as_deref())
            .with("trigger", self.trigger.map(|id| id.to_string()).as_deref())
            .with("tenancy", self.tenancy.map(|id| id.to_string()).as_deref())
            .with("since", self.since.and_then(chosen).as_deref())
    }
}

/// A time that was chosen, or is written as everywhere else.
fn since(text: &str) -> Result<OffsetDateTime, Problem> {
    PrimitiveDateTime::parse(text, CHOSEN).map_or_else(|_| api::since(text), |time| Ok(time.assume_utc()))
}

fn chosen(at: OffsetDateTime) -> Option<String> {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    at.to_offset(time::UtcOffset::UTC).format(format).ok()
}

async fn load(console: &Console, wanted: &Wanted) -> Result<Requests, Problem> {
    let after = wanted.cursor.as_deref().map(api::read_cursor).transpose()?;
    let found = api::requests(console, &wanted.filter(), &wanted.states(), after.as_ref(), PAGE).await?;
    let all = Choice { value: String::new(), words: "All".to_owned(), chosen: wanted.state.is_none() };
    let choice = |(state, words): (&str, &str)| Choice {
        value: state.to_owned(),
        words: words.to_owned(),
        chosen: wanted.state.is_some_and(|chosen| chosen.as_str() == state),
    };
    let address = wanted.address("/requests");
    let shown = i64::try_from(found.entries.len()).unwrap_or_default();
    Ok(Requests {
        now: OffsetDateTime::now_utc(),
        states: std::iter::once(all).chain(STATES.map(choice)).collect(),
        event: wanted.event.clone().unwrap_or_default(),
        since: wanted.since.and_then(chosen).unwrap_or_default(),
        hidden: address.kept(&["tenancy", "trigger"]),
        only: [("trigger", wanted.trigger), ("tenancy", wanted.tenancy)]
            .into_iter()
            .filter_map(|(what, id)| Some((what, id?.to_string())))
            .collect(),
        shown: match found.next {
            Some(_) if shown < PAGE => {
                format!(
                    "{} among those that were looked at; the search goes on",
                    things(shown, "request", "requests")
                )
            }
            Some(_) => format!("{shown} requests, and there are more"),
            None => things(shown, "request", "requests"),
        },
        first: wanted.cursor.as_ref().map(|_| address.to_string()),
        next: found.next.map(|cursor| address.with("cursor", Some(&cursor.to_string())).to_string()),
        lines: found.entries.iter().map(line).collect(),
        filtered: wanted.filter() != RequestFilter::default() || wanted.state.is_some(),
        replay: wanted.replay().map(|replay| question_of_all(wanted, &replay)),
    })
}

fn line(request: &Request) -> Line {
    Line {
        href: format!("/requests/{}", request.id),
        id: request.id.to_string(),
        what: request.event.clone().unwrap_or_else(|| format!("{} request", request.method)),
        url: request.url.clone(),
        level: match request.state.as_str() {
            "dead" => Level::Bad,
            "delivered" => Level::Good,
            _ if request.attempts > 0 => Level::Warn,
            _ => Level::Off,
        },
        state: STATES.iter().find(|(state, _)| *state == request.state).map_or("unknown", |(_, words)| words),
        attempts: request.attempts,
        created_at: request.created_at.map(|at| at.0),
        due_at: request.due_at.map(|at| at.0),
        ended_at: request.ended_at.map(|at| at.0),
        error: request.last_error.clone(),
        status: request.last_status,
    }
}

async fn show(State(console): State<Console>, shell: Shell, query: Query) -> Result<Response, Trouble> {
    let (wanted, replayed) = Wanted::read(query)?;
    let page = load(&console, &wanted).await?;
    let live = wanted.address("/live/requests").with("cursor", wanted.cursor.as_deref()).to_string();
    let shell = shell.with(replayed.map(|number| Notice { level: Level::Good, text: sent_again(number) }));
    Ok(shell.page(Section::Requests, "Requests", Some(&live), &view::content(&page)))
}

/// What is said after requests were sent again.
pub(super) fn sent_again(number: i64) -> String {
    match number {
        0 => "Nothing is sent again: no request is like that any more.".to_owned(),
        1 => "1 request is sent again, with the id that it had.".to_owned(),
        _ => format!("{} requests are sent again, with the ids that they had.", count(number)),
    }
}

async fn stream(State(console): State<Console>, _: Operator, query: Query) -> Result<Response, Problem> {
    let (wanted, _) = Wanted::read(query)?;
    Ok(live::stream(&console, EVERY, move |console| {
        let wanted = wanted.clone();
        async move { regions(&console, &wanted).await }
    }))
}

async fn regions(console: &Console, wanted: &Wanted) -> Result<Regions, Problem> {
    Ok(view::regions(&load(console, wanted).await?))
}

/// What is asked before all that the filter means are sent again.
fn question_of_all(wanted: &Wanted, replay: &Replay) -> Asked {
    let meant = |state| replay.states().contains(&state);
    let mut consequence = String::from("All requests of this filter, also those on other pages.");
    if meant(RequestState::Dead) {
        consequence
            .push_str(" Those that were given up are due at once, with all of their attempts before them.");
    }
    if meant(RequestState::Delivered) {
        consequence.push_str(" Receivers get those that arrived a second time, with the same webhook-id.");
    }
    if meant(RequestState::Pending) {
        consequence.push_str(" Those that wait after a failure are tried at once.");
    }
    Asked {
        id: "replay".to_owned(),
        label: "Send them again".to_owned(),
        spoken: "Send them again".to_owned(),
        question: "Send all of these again?".to_owned(),
        consequence,
        href: wanted.address("/requests/replay").to_string(),
        back: wanted.address("/requests").to_string(),
        dangerous: meant(RequestState::Delivered),
    }
}

fn named(wanted: &Wanted) -> Result<Replay, Problem> {
    wanted.replay().ok_or_else(|| {
        Problem::invalid("query", "say which requests: a state, an event, a trigger, a tenancy or a time")
    })
}

async fn ask_all(shell: Shell, query: Query) -> Result<Response, Trouble> {
    let (wanted, _) = Wanted::read(query)?;
    let asked = question_of_all(&wanted, &named(&wanted)?);
    Ok(shell.page(Section::Requests, &asked.question, None, &login::question(&asked)))
}

async fn replay_all(State(console): State<Console>, shell: Shell, query: Query) -> Result<Response, Trouble> {
    let (wanted, _) = Wanted::read(query)?;
    let number = api::send_again(&console, &shell.operator, &named(&wanted)?).await?;
    let page = wanted.address("/requests").with("replayed", Some(&number.to_string()));
    Ok(Redirect::to(&page.to_string()).into_response())
}

async fn show_one(
    State(console): State<Console>,
    shell: Shell,
    path: PathParameters,
    query: Query,
) -> Result<Response, Trouble> {
    let did = query.read(|q| q.one_of("did", &["replay", "test"]))?;
    let request = api::detail(&console, path.uuid("request_id")?).await?;
    let said = |did| {
        let text = match did {
            "test" => "The test event is on its way: this page tells what the receiver answers.",
            _ => "It is sent again, with the id that it had.",
        };
        Notice { level: Level::Good, text: text.to_owned() }
    };
    let shell = shell.with(did.map(said));
    let page = detail(&request);
    let live = format!("/live/requests/{}", request.request.id);
    Ok(shell.page(Section::Requests, &page.line.what, Some(&live), &view::one(&page)))
}

async fn stream_one(
    State(console): State<Console>,
    _: Operator,
    path: PathParameters,
) -> Result<Response, Problem> {
    let id = path.uuid("request_id")?;
    Ok(live::stream(&console, EVERY, move |console| async move {
        Ok(view::regions_of_one(&detail(&api::detail(&console, id).await?)))
    }))
}

fn detail(detail: &RequestDetail) -> Detail {
    let request = &detail.request;
    let attempt = |attempt: &api::Attempt| view::Attempt {
        number: attempt.number,
        at: attempt.at.0,
        delivered: attempt.outcome == "delivered",
        lasted: std::time::Duration::from_millis(u64::try_from(attempt.duration_millis).unwrap_or_default()),
        status: attempt.status,
        error: attempt.error.clone(),
        answer: attempt.response_excerpt.clone(),
    };
    Detail {
        now: OffsetDateTime::now_utc(),
        line: line(request),
        tenancy: request.tenancy_id.map(|id| (id.to_string(), format!("/requests?tenancy={id}"))),
        trigger: request.trigger_id.map(|id| (id.to_string(), format!("/triggers/{id}"))),
        method: request.method.clone(),
        body: detail.body.clone(),
        attempts: detail.attempt_log.iter().map(attempt).collect(),
        replay: (request.state != "pending" || request.attempts > 0)
            .then(|| question(request.id, &request.state)),
    }
}

fn question(id: Uuid, state: &str) -> Asked {
    let consequence = if state == "delivered" {
        "It arrived once already. The receiver gets it a second time, with the same webhook-id."
    } else {
        "It is due at once, and has all of its attempts before it again."
    };
    Asked {
        id: "replay".to_owned(),
        label: "Send again".to_owned(),
        spoken: "Send again".to_owned(),
        question: "Send this request again?".to_owned(),
        consequence: consequence.to_owned(),
        href: format!("/requests/{id}/replay"),
        back: format!("/requests/{id}"),
        dangerous: false,
    }
}

async fn ask(
    State(console): State<Console>,
    shell: Shell,
    path: PathParameters,
    query: Query,
) -> Result<Response, Trouble> {
    query.none()?;
    let request = api::detail(&console, path.uuid("request_id")?).await?.request;
    let asked = question(request.id, &request.state);
    Ok(shell.page(Section::Requests, &asked.question, None, &login::question(&asked)))
}

async fn replay(
    State(console): State<Console>,
    shell: Shell,
    path: PathParameters,
) -> Result<Response, Trouble> {
    let id = path.uuid("request_id")?;
    let replay = Replay::of(Some(id), RequestFilter::default(), &[])
        .map_err(|error| Problem::invalid("request_id", error))?;
    api::send_again(&console, &shell.operator, &replay).await?;
    Ok(Redirect::to(&format!("/requests/{id}?did=replay")).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_browsers_and_as_programs_write_it() {
        let at = time::macros::datetime!(2030-01-31 12:05 UTC);
        for text in ["2030-01-31T12:05", "2030-01-31T12:05:00", "2030-01-31T13:05:00+01:00"] {
            assert_eq!(since(text).expect("a time"), at, "{text}");
        }
        assert_eq!(chosen(at).as_deref(), Some("2030-01-31T12:05:00"));
        assert!(since("yesterday").is_err());
    }
}
