//! HTTP requests: those that wait, were given up, or arrived; their attempts, and sending them again.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use tenant_sync_core::outbox::{RequestFilter, RequestState};
use time::OffsetDateTime;
use uuid::Uuid;

use super::address::Address;
use super::live::{self, Regions};
use super::shell::{Shell, Trouble};
use super::view::frame::Section;
use super::view::login;
use super::view::parts::{Asked, Level, Notice};
use super::view::requests::{self as view, Detail, Line, Requests};
use super::view::targets::Choice;
use crate::access::Operator;
use crate::api::requests::{self as api, Request, RequestDetail};
use crate::http::{PathParameters, Problem, Query};
use crate::state::Console;

/// Requests that are shown. Older ones are found by their event or tenancy.
const SHOWN: i64 = 100;
const EVERY: std::time::Duration = std::time::Duration::from_secs(2);
const STATES: [(&str, &str); 3] = [("pending", "waiting"), ("dead", "given up"), ("delivered", "delivered")];

pub(super) fn router() -> Router<Console> {
    Router::new()
        .route("/requests", get(show))
        .route("/requests/{request_id}", get(show_one))
        .route("/requests/{request_id}/replay", get(ask).post(replay))
        .route("/live/requests", get(stream))
}

/// What the address says.
#[derive(Debug, Clone)]
struct Wanted {
    state: Option<String>,
    event: Option<String>,
    tenancy: Option<Uuid>,
}

impl Wanted {
    fn read(query: Query) -> Result<Self, Problem> {
        query.read(|q| {
            Ok(Self {
                state: q.one_of("state", &STATES.map(|(state, _)| state))?.map(str::to_owned),
                event: q.text("event").map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()),
                tenancy: q.uuid("tenancy")?,
            })
        })
    }

    fn states(&self) -> Vec<RequestState> {
        let meant = |state: &RequestState| self.state.as_deref().is_none_or(|name| name == state.as_str());
        RequestState::ALL.into_iter().filter(meant).collect()
    }

    fn address(&self, path: &str) -> Address {
        Address::new(path)
            .with("state", self.state.as_deref())
            .with("event", self.event.as_deref())
            .with("tenancy", self.tenancy.map(|id| id.to_string()).as_deref())
    }
}

async fn load(console: &Console, wanted: &Wanted) -> Result<Requests, Problem> {
    let filter = RequestFilter {
        tenancy_id: wanted.tenancy,
        event_type: wanted.event.clone(),
        ..RequestFilter::default()
    };
    let found = api::requests(console, &filter, &wanted.states(), SHOWN).await?;
    let all = Choice { value: String::new(), words: "All".to_owned(), chosen: wanted.state.is_none() };
    let choice = |(state, words): (&str, &str)| Choice {
        value: state.to_owned(),
        words: words.to_owned(),
        chosen: wanted.state.as_deref() == Some(state),
    };
    Ok(Requests {
        now: OffsetDateTime::now_utc(),
        states: std::iter::once(all).chain(STATES.map(choice)).collect(),
        event: wanted.event.clone().unwrap_or_default(),
        hidden: wanted.address("").kept(&["tenancy"]),
        cut: i64::try_from(found.len()).is_ok_and(|n| n >= SHOWN).then_some(SHOWN),
        lines: found.iter().map(line).collect(),
        filtered: wanted.state.is_some() || wanted.event.is_some() || wanted.tenancy.is_some(),
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
    let wanted = Wanted::read(query)?;
    let page = load(&console, &wanted).await?;
    let live = wanted.address("/live/requests").to_string();
    Ok(shell.page(Section::Requests, "Requests", Some(&live), &view::content(&page)))
}

async fn stream(State(console): State<Console>, _: Operator, query: Query) -> Result<Response, Problem> {
    let wanted = Wanted::read(query)?;
    Ok(live::stream(&console, EVERY, move |console| {
        let wanted = wanted.clone();
        async move { regions(&console, &wanted).await }
    }))
}

async fn regions(console: &Console, wanted: &Wanted) -> Result<Regions, Problem> {
    Ok(view::regions(&load(console, wanted).await?))
}

async fn show_one(
    State(console): State<Console>,
    shell: Shell,
    path: PathParameters,
    query: Query,
) -> Result<Response, Trouble> {
    let did = query.read(|q| Ok(q.one_of("did", &["replay"])?.is_some()))?;
    let request = api::detail(&console, path.uuid("request_id")?).await?;
    let said =
        || Notice { level: Level::Good, text: "It is sent again, with the id that it had.".to_owned() };
    let shell = shell.with(did.then(said));
    let page = detail(&request);
    Ok(shell.page(Section::Requests, &page.line.what, None, &view::one(&page)))
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
        method: request.method.clone(),
        body: detail.body.clone(),
        attempts: detail.attempt_log.iter().map(attempt).collect(),
        replay: (request.state != "pending").then(|| question(request.id, &request.state)),
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
    let filter = RequestFilter { id: Some(id), ..RequestFilter::default() };
    api::send_again(&console, &shell.operator, &filter, true).await?;
    Ok(Redirect::to(&format!("/requests/{id}?did=replay")).into_response())
}
