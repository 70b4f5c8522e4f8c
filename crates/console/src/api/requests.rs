//! `…/requests`: HTTP requests that wait, were given up, or arrived; and sending them again.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenant_sync_core::outbox::{
    self, AttemptLine, Replay, RequestCursor, RequestFilter, RequestLine, RequestState,
};
use tenant_sync_core::registry::browse::Page;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::sync;
use crate::access::Operator;
use crate::audit::{self, Change};
use crate::http::{At, Body, Json, PathParameters, Problem, Query};
use crate::routes::{Routes, endpoint};
use crate::state::Console;

const STATES: [&str; 3] = ["pending", "dead", "delivered"];

/// A request.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    /// `webhook-id`
    pub(crate) id: Uuid,
    /// `pending`, `dead` or `delivered`.
    pub(crate) state: String,
    /// The trigger whose event it is; null = a plain request.
    pub(crate) trigger_id: Option<Uuid>,
    pub(crate) tenancy_id: Option<Uuid>,
    /// Name of the event; null = a plain request.
    pub(crate) event: Option<String>,
    pub(crate) method: String,
    /// Where it goes; null = its trigger is gone.
    pub(crate) url: Option<String>,
    pub(crate) created_at: Option<At>,
    /// When it is tried next.
    pub(crate) due_at: Option<At>,
    pub(crate) attempts: i32,
    /// When it was delivered, or given up.
    pub(crate) ended_at: Option<At>,
    /// What went wrong last.
    pub(crate) last_error: Option<String>,
    /// The last answer's status.
    pub(crate) last_status: Option<i32>,
}

impl From<RequestLine> for Request {
    fn from(line: RequestLine) -> Self {
        Self {
            id: line.id,
            state: line.state.as_str().to_owned(),
            trigger_id: line.trigger_id,
            tenancy_id: line.tenancy_id,
            event: line.event_type,
            method: line.method,
            url: line.url,
            created_at: line.created_at.map(At),
            due_at: line.due_at.map(At),
            attempts: line.attempts,
            ended_at: line.ended_at.map(At),
            last_error: line.last_error,
            last_status: line.last_status,
        }
    }
}

/// Requests along their time: by when they are tried next, or were given up or delivered; the latest first.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct RequestList {
    /// May be fewer than the limit, or none, although there are more: a page looks at 10,000 requests of each state.
    requests: Vec<Request>,
    next_cursor: Option<String>,
}

/// A request with its attempts.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RequestDetail {
    #[serde(flatten)]
    pub(crate) request: Request,
    /// What is sent.
    pub(crate) body: Option<String>,
    /// Oldest first.
    pub(crate) attempt_log: Vec<Attempt>,
}

/// An attempt.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attempt {
    pub(crate) number: i32,
    pub(crate) at: At,
    /// `delivered`, `failed` or `dead`.
    pub(crate) outcome: String,
    pub(crate) duration_millis: i32,
    /// The answer's status.
    pub(crate) status: Option<i32>,
    pub(crate) error_class: Option<String>,
    pub(crate) error: Option<String>,
    /// The beginning of the answer.
    pub(crate) response_excerpt: Option<String>,
}

impl From<AttemptLine> for Attempt {
    fn from(line: AttemptLine) -> Self {
        Self {
            number: line.number,
            at: At(line.at),
            outcome: line.outcome,
            duration_millis: line.duration_millis,
            status: line.status,
            error_class: line.error_class,
            error: line.error,
            response_excerpt: line.response_excerpt,
        }
    }
}

/// Which requests are sent again; everything that is given must hold, and something must be given.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Which {
    #[serde(default)]
    request_id: Option<Uuid>,
    #[serde(default)]
    trigger_id: Option<Uuid>,
    #[serde(default)]
    tenancy_id: Option<Uuid>,
    /// Name of the event, such as `user.created`.
    #[serde(default)]
    event: Option<String>,
    /// Made at this time or later.
    #[serde(default)]
    since: Option<String>,
    /// In these states. Unless given: dead ones; delivered ones, too, if one request or a time is named. `pending`: those
    /// that wait after a failure are tried at once.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    states: Vec<StateName>,
    /// Delivered ones, too; as if `states` named them.
    #[serde(default)]
    delivered: bool,
}

/// A state by its name.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
enum StateName {
    Pending,
    Dead,
    Delivered,
}

impl From<StateName> for RequestState {
    fn from(name: StateName) -> Self {
        match name {
            StateName::Pending => Self::Pending,
            StateName::Dead => Self::Dead,
            StateName::Delivered => Self::Delivered,
        }
    }
}

/// How many are sent again.
#[derive(Debug, Serialize, JsonSchema)]
struct Replayed {
    replayed: i64,
}

pub(super) fn routes() -> Routes {
    let text = json!({ "type": "string" });
    let uuid = json!({ "type": "string", "format": "uuid" });
    let time = json!({ "type": "string", "format": "date-time" });
    Routes::default()
        .get(
            sync!("/requests"),
            list,
            endpoint("HTTP requests along their time, the latest first")
                .pages()
                .parameter("state", "Only in this state", json!({ "type": "string", "enum": STATES }))
                .parameter("trigger_id", "Only of this trigger", uuid.clone())
                .parameter("tenancy_id", "Only of this tenancy", uuid)
                .parameter("event", "Only with this event's name", text)
                .parameter("since", "Only those made at this time or later", time)
                .answers::<RequestList>(),
        )
        .get(
            sync!("/requests/{request_id}"),
            show,
            endpoint("A request with its attempts").answers::<RequestDetail>(),
        )
        .post(
            sync!("/requests/replay"),
            replay,
            endpoint("Send requests again, with the ids that they had")
                .takes::<Which>()
                .answers::<Replayed>(),
        )
}

async fn list(State(console): State<Console>, query: Query) -> Result<Json<RequestList>, Problem> {
    let (filter, states, after, limit) = query.read(|q| {
        let state = q.one_of("state", &STATES)?.and_then(RequestState::from_name);
        let filter = RequestFilter {
            trigger_id: q.uuid("trigger_id")?,
            tenancy_id: q.uuid("tenancy_id")?,
            event_type: q.text("event").map(str::to_owned),
            since: q.text("since").map(since).transpose()?,
        };
        let states = state.map_or_else(|| RequestState::ALL.to_vec(), |state| vec![state]);
        Ok((filter, states, q.text("cursor").map(read_cursor).transpose()?, q.limit()?))
    })?;
    let page = requests(&console, &filter, &states, after.as_ref(), limit).await?;
    Ok(Json(RequestList { requests: page.entries, next_cursor: page.next.map(|cursor| cursor.to_string()) }))
}

/// # Errors
/// It is none that we gave.
pub(crate) fn read_cursor(text: &str) -> Result<RequestCursor, Problem> {
    text.parse().map_err(|error| Problem::invalid("cursor", error))
}

/// # Errors
/// It is no time.
pub(crate) fn since(text: &str) -> Result<OffsetDateTime, Problem> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| Problem::invalid("since", "expected a time like 2030-01-31T12:00:00Z"))
}

/// A page of requests.
pub(crate) async fn requests(
    console: &Console,
    filter: &RequestFilter,
    states: &[RequestState],
    after: Option<&RequestCursor>,
    limit: i64,
) -> Result<Page<Request, RequestCursor>, Problem> {
    let client = console.internal.get().await?;
    let found = outbox::list_requests(&client, filter, states, after, limit).await?;
    Ok(Page { entries: found.entries.into_iter().map(Request::from).collect(), next: found.next })
}

async fn show(
    State(console): State<Console>,
    path: PathParameters,
    query: Query,
) -> Result<Json<RequestDetail>, Problem> {
    query.none()?;
    Ok(Json(detail(&console, path.uuid("request_id")?).await?))
}

/// A request with its attempts.
pub(crate) async fn detail(console: &Console, id: Uuid) -> Result<RequestDetail, Problem> {
    let client = console.internal.get().await?;
    let found = outbox::find_request(&client, id).await?;
    let (line, body) = found.ok_or_else(|| Problem::not_found("there is no such request"))?;
    let attempts = outbox::attempts(&client, id).await?;
    Ok(RequestDetail {
        request: line.into(),
        body,
        attempt_log: attempts.into_iter().map(Attempt::from).collect(),
    })
}

async fn replay(
    State(console): State<Console>,
    operator: Operator,
    query: Query,
    Body(body): Body<Which>,
) -> Result<Json<Replayed>, Problem> {
    query.none()?;
    let filter = RequestFilter {
        trigger_id: body.trigger_id,
        tenancy_id: body.tenancy_id,
        event_type: body.event,
        since: body.since.as_deref().map(since).transpose()?,
    };
    let mut states: Vec<RequestState> = body.states.into_iter().map(RequestState::from).collect();
    let is_named = body.request_id.is_some() || filter != RequestFilter::default() || !states.is_empty();
    if body.delivered && is_named {
        if states.is_empty() {
            states.push(RequestState::Dead);
        }
        states.push(RequestState::Delivered);
    }
    let replay = Replay::of(body.request_id, filter, &states).map_err(|_| {
        Problem::invalid("body", "say which: requestId, triggerId, tenancyId, event, since or states")
    })?;
    Ok(Json(Replayed { replayed: send_again(&console, &operator, &replay).await? }))
}

/// Sends requests again. Returns how many.
pub(crate) async fn send_again(
    console: &Console,
    operator: &Operator,
    replay: &Replay,
) -> Result<i64, Problem> {
    let client = console.internal.get().await?;
    let RequestFilter { trigger_id, tenancy_id, event_type, since } = replay.filter();
    let states: Vec<&str> = replay.states().iter().map(|state| state.as_str()).collect();
    let details = json!({
        "requestId": replay.id(), "triggerId": trigger_id, "event": event_type, "since": since.map(At), "states": states,
    });
    let entry = Change::of("request.replay").with(details);
    let entry = match tenancy_id {
        Some(id) => entry.in_tenancy(*id),
        None => entry,
    };
    audit::record(&client, operator, &entry).await?;
    let replayed = outbox::replay_requests(&client, replay).await?;
    outbox::notify(&client).await?;
    if replayed == 0 && replay.id().is_some() {
        return Err(Problem::not_found(
            "there is no such request that is dead, was delivered, or waits after a failure",
        ));
    }
    Ok(replayed)
}
