//! `…/requests`: HTTP requests that wait, were given up, or arrived; and sending them again.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenant_sync_core::outbox::{self, AttemptLine, RequestFilter, RequestLine, RequestState};
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
            state: line.state,
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

/// Requests, newest first.
#[derive(Debug, Serialize, JsonSchema)]
struct RequestList {
    requests: Vec<Request>,
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
struct Replay {
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
    /// Delivered ones, too, and not only dead ones.
    #[serde(default)]
    delivered: bool,
}

/// How many are sent again.
#[derive(Debug, Serialize, JsonSchema)]
struct Replayed {
    replayed: i64,
}

pub(super) fn routes() -> Routes {
    let text = json!({ "type": "string" });
    let uuid = json!({ "type": "string", "format": "uuid" });
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 });
    Routes::default()
        .get(
            sync!("/requests"),
            list,
            endpoint("HTTP requests, the newest first")
                .parameter("state", "Only in this state", json!({ "type": "string", "enum": STATES }))
                .parameter("trigger_id", "Only of this trigger", uuid.clone())
                .parameter("tenancy_id", "Only of this tenancy", uuid)
                .parameter("event", "Only with this event's name", text)
                .parameter("limit", "How many", limit)
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
                .takes::<Replay>()
                .answers::<Replayed>(),
        )
}

async fn list(State(console): State<Console>, query: Query) -> Result<Json<RequestList>, Problem> {
    let (filter, states, limit) = query.read(|q| {
        let states = match q.one_of("state", &STATES)? {
            Some("pending") => vec![RequestState::Pending],
            Some("dead") => vec![RequestState::Dead],
            Some(_) => vec![RequestState::Delivered],
            None => RequestState::ALL.to_vec(),
        };
        let filter = RequestFilter {
            id: None,
            trigger_id: q.uuid("trigger_id")?,
            tenancy_id: q.uuid("tenancy_id")?,
            event_type: q.text("event").map(str::to_owned),
            since: None,
        };
        Ok((filter, states, q.limit()?))
    })?;
    Ok(Json(RequestList { requests: requests(&console, &filter, &states, limit).await? }))
}

/// Requests, the newest first.
pub(crate) async fn requests(
    console: &Console,
    filter: &RequestFilter,
    states: &[RequestState],
    limit: i64,
) -> Result<Vec<Request>, Problem> {
    let client = console.internal.get().await?;
    let found = outbox::list_requests(&client, filter, states, limit).await?;
    Ok(found.into_iter().map(Request::from).collect())
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
    let filter = RequestFilter { id: Some(id), ..RequestFilter::default() };
    let mut found = outbox::list_requests(&client, &filter, &RequestState::ALL, 100).await?;
    // A delivered one that is sent again is both; what waits is the news.
    found.sort_by_key(|line| line.state == RequestState::Delivered.as_str());
    let line = found.into_iter().next().ok_or_else(|| Problem::not_found("there is no such request"))?;
    let attempts = outbox::attempts(&client, id).await?;
    let body = line.body.clone();
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
    Body(body): Body<Replay>,
) -> Result<Json<Replayed>, Problem> {
    query.none()?;
    let parse = |text: &str| {
        OffsetDateTime::parse(text, &Rfc3339)
            .map_err(|_| Problem::invalid("since", "expected a time like 2030-01-31T12:00:00Z"))
    };
    let filter = RequestFilter {
        id: body.request_id,
        trigger_id: body.trigger_id,
        tenancy_id: body.tenancy_id,
        event_type: body.event,
        since: body.since.as_deref().map(parse).transpose()?,
    };
    Ok(Json(Replayed { replayed: send_again(&console, &operator, &filter, body.delivered).await? }))
}

/// Sends requests again: the dead ones that `filter` means, and delivered ones if they are meant, too. Returns how many.
pub(crate) async fn send_again(
    console: &Console,
    operator: &Operator,
    filter: &RequestFilter,
    delivered: bool,
) -> Result<i64, Problem> {
    let RequestFilter { id, trigger_id, tenancy_id, event_type, since } = filter;
    if id.is_none() && trigger_id.is_none() && tenancy_id.is_none() && event_type.is_none() && since.is_none()
    {
        return Err(Problem::invalid("body", "say which: requestId, triggerId, tenancyId, event or since"));
    }
    let states: &[RequestState] = if delivered || id.is_some() {
        &[RequestState::Dead, RequestState::Delivered]
    } else {
        &[RequestState::Dead]
    };
    let client = console.internal.get().await?;
    let details = json!({
        "requestId": id, "triggerId": trigger_id, "event": event_type, "since": since.map(At), "delivered": delivered,
    });
    let entry = Change::of("request.replay").with(details);
    let entry = match tenancy_id {
        Some(id) => entry.in_tenancy(*id),
        None => entry,
    };
    audit::record(&client, operator, &entry).await?;
    let replayed = outbox::replay_requests(&client, filter, states).await?;
    outbox::notify(&client).await?;
    if replayed == 0 && id.is_some() {
        return Err(Problem::not_found("there is no such request that is dead or was delivered"));
    }
    Ok(replayed)
}
