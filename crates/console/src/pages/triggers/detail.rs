//! One trigger: its state, what it does, and what can be done with it.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use tenant_sync_core::outbox::{Replay, RequestFilter, RequestState};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{listens_to, missed, names, path_of, standing, whose};
use crate::access::Operator;
use crate::api::requests::send_again;
use crate::http::{PathParameters, Problem, Query};
use crate::pages::live::{self, Regions};
use crate::pages::requests::sent_again;
use crate::pages::shell::{Shell, Trouble};
use crate::pages::view::format::span;
use crate::pages::view::frame::Section;
use crate::pages::view::login;
use crate::pages::view::parts::{Asked, Level, Notice};
use crate::pages::view::triggers::{self as view, Detail, Line};
use crate::state::Console;
use crate::triggers::list::detail;
use crate::triggers::{Trigger, actions};

const EVERY: Duration = Duration::from_secs(2);

pub(super) fn router() -> Router<Console> {
    Router::new()
        .route("/triggers/{trigger_id}", get(show))
        .route("/triggers/{trigger_id}/{action}", get(ask).post(act))
        .route("/live/triggers/{trigger_id}", get(stream))
}

async fn load(console: &Console, id: Uuid) -> Result<Detail, Problem> {
    let trigger = detail(console, id).await?;
    let names = names(console, std::slice::from_ref(&trigger)).await?;
    let whose = whose(&trigger, &names);
    Ok(page(&trigger, whose))
}

fn page(trigger: &Trigger, whose: String) -> Detail {
    let (level, state, reason) = standing(trigger);
    let (headline, advice) = words(level, state);
    let requests = format!("/requests?trigger={}", trigger.id);
    Detail {
        now: OffsetDateTime::now_utc(),
        line: Line {
            href: path_of(trigger.id),
            listens_to: listens_to(trigger),
            url: trigger.url.clone(),
            whose,
            level,
            state,
            // What was missed is told for itself.
            reason: reason.filter(|_| state != "active"),
            waiting: (trigger.waiting.count, trigger.waiting.at_least),
            oldest_waiting_at: trigger.oldest_waiting_at.map(|at| at.0),
            dead: (trigger.dead.count, trigger.dead.at_least),
            last_success_at: trigger.last_success_at.map(|at| at.0),
        },
        headline,
        advice,
        since: trigger.state_since.0,
        next_attempt_at: trigger
            .next_attempt_at
            .map(|at| at.0)
            .filter(|at| trigger.state == "active" && *at > OffsetDateTime::now_utc()),
        missed: (trigger.missed_statements > 0).then(|| missed(trigger)),
        dead_href: format!("{requests}&state=dead"),
        requests_href: requests,
        facts: facts(trigger),
        actions: offered(trigger).iter().map(|action| question(action, trigger)).collect(),
    }
}

/// What a state means, and what to do about it.
fn words(level: Level, state: &str) -> (&'static str, Option<&'static str>) {
    match (state, level) {
        ("paused", _) => (
            "Paused: it makes no events and sends none",
            Some("What waits is kept. Resume it once its receiver takes requests."),
        ),
        ("broken", _) => (
            "Broken: it makes no events until its definition fits its table",
            Some(
                "Change it with trigger update, or the table, then resume it. Writes to the table go through.",
            ),
        ),
        ("failing", _) => (
            "Its receiver takes no requests: one is tried now and then, until one succeeds",
            Some("Whoever runs the receiver has to do something."),
        ),
        ("retrying", _) => ("Its receiver fails; what failed is tried again", None),
        (_, Level::Warn) => ("Active, but events are missing", None),
        _ => ("Active: committed changes are told", None),
    }
}

fn facts(trigger: &Trigger) -> Vec<(&'static str, String)> {
    let millis = |millis: i32| span(Duration::from_millis(millis.unsigned_abs().into()));
    let mut facts = vec![
        ("Id", trigger.id.to_string()),
        ("Calls", trigger.url.clone()),
        ("Tenancy", trigger.tenancy_id.map_or_else(|| "all".to_owned(), |id| id.to_string())),
    ];
    if let Some(event) = &trigger.event {
        facts.push((
            "Events",
            trigger.on.iter().map(|on| format!("{event}.{}", past(on))).collect::<Vec<_>>().join(", "),
        ));
    }
    facts.extend(trigger.columns.iter().map(|columns| ("Columns that count", columns.join(", "))));
    facts.extend(trigger.when.iter().map(|when| ("Only when", when.to_string())));
    if !trigger.header_names.is_empty() {
        facts.push(("Sends headers", trigger.header_names.join(", ")));
    }
    facts.push(("Secrets", secrets(trigger)));
    let configured = |value: Option<String>, key: &str| value.unwrap_or_else(|| format!("as {key} says"));
    facts.push((
        "Requests at once",
        configured(trigger.parallelism.map(|n| n.to_string()), "requests.parallelism"),
    ));
    facts.push(("Time for one", configured(trigger.timeout_millis.map(millis), "requests.timeout")));
    facts.extend(trigger.rate_per_second.map(|rate| ("At most", format!("{rate} a second"))));
    if trigger.ordered {
        facts.push(("Order", "the events of a row one after the other".to_owned()));
    }
    if trigger.batch_events > 1 {
        let wait = millis(trigger.batch_wait_millis);
        facts.push(("Batches", format!("up to {} events, waiting {wait} for them", trigger.batch_events)));
    }
    if trigger.table.is_some() {
        facts
            .push(("One event instead of many", format!("above {} rows in a statement", trigger.max_events)));
    }
    facts
}

fn past(operation: &str) -> &str {
    match operation {
        "insert" => "created",
        "update" => "updated",
        _ => "deleted",
    }
}

fn secrets(trigger: &Trigger) -> String {
    use crate::pages::view::format::exact;
    let Some(since) = &trigger.secrets_since else { return "since before they were counted".to_owned() };
    let times: Vec<String> =
        since.iter().map(|at| at.map_or_else(|| "earlier".to_owned(), |at| exact(at.0))).collect();
    format!("{}, since {}", times.len(), times.join(", "))
}

/// The actions of its page.
fn offered(trigger: &Trigger) -> Vec<&'static str> {
    let mut offered = if trigger.state == "active" { vec!["test", "pause"] } else { vec!["resume"] };
    if trigger.dead.count > 0 {
        offered.insert(0, "replay");
    }
    offered
}

/// What is asked before an action, and at its address.
fn question(action: &str, trigger: &Trigger) -> Asked {
    let (label, question, consequence, dangerous) = match action {
        "resume" => (
            "Resume",
            "Resume this trigger?",
            "Its definition is checked against its table as it is. Then changes make events again, and what waits is sent.",
            false,
        ),
        "test" => (
            "Send a test",
            "Send a test event?",
            "The receiver gets an event trigger.test, signed like all others, on the same road. You are led to its request.",
            false,
        ),
        "replay" => (
            "Send dead ones again",
            "Send what was given up again?",
            "All requests of this trigger that were given up are due at once, with the ids that they had and all of their \
             attempts before them.",
            false,
        ),
        _ => (
            "Pause",
            "Pause this trigger?",
            "Changes make no events until it is resumed: those are never made up for. What waits already is kept.",
            true,
        ),
    };
    let path = path_of(trigger.id);
    Asked {
        id: action.to_owned(),
        label: label.to_owned(),
        spoken: label.to_owned(),
        question: question.to_owned(),
        consequence: consequence.to_owned(),
        href: format!("{path}/{action}"),
        back: path,
        dangerous,
    }
}

async fn show(
    State(console): State<Console>,
    shell: Shell,
    path: PathParameters,
    query: Query,
) -> Result<Response, Trouble> {
    let id = path.uuid("trigger_id")?;
    let (did, number) =
        query.read(|q| Ok((q.text("did").map(str::to_owned), q.number("n", 0..=i64::MAX)?)))?;
    let page = load(&console, id).await?;
    let shell = shell.with(did.as_deref().and_then(|did| notice(did, number)));
    let live = format!("/live{}", path_of(id));
    Ok(shell.page(Section::Triggers, &page.line.listens_to, Some(&live), &view::one(&page)))
}

async fn stream(
    State(console): State<Console>,
    _: Operator,
    path: PathParameters,
) -> Result<Response, Problem> {
    let id = path.uuid("trigger_id")?;
    Ok(live::stream(&console, EVERY, move |console| async move { regions(&console, id).await }))
}

async fn regions(console: &Console, id: Uuid) -> Result<Regions, Problem> {
    Ok(view::regions_of_one(&load(console, id).await?))
}

async fn ask(
    State(console): State<Console>,
    shell: Shell,
    path: PathParameters,
    query: Query,
) -> Result<Response, Trouble> {
    query.none()?;
    let action = path.text("action")?;
    if !["pause", "resume", "test", "replay"].contains(&action) {
        return Err(no_such_action().into());
    }
    let asked = question(action, &detail(&console, path.uuid("trigger_id")?).await?);
    Ok(shell.page(Section::Triggers, &asked.question, None, &login::question(&asked)))
}

async fn act(
    State(console): State<Console>,
    shell: Shell,
    path: PathParameters,
) -> Result<Response, Trouble> {
    let id = path.uuid("trigger_id")?;
    let done = match path.text("action")? {
        "pause" => {
            actions::pause(&console, &shell.operator, id).await?;
            "did=pause".to_owned()
        }
        "resume" => {
            actions::resume(&console, &shell.operator, id).await?;
            "did=resume".to_owned()
        }
        "test" => {
            let request = actions::test(&console, &shell.operator, id).await?;
            return Ok(Redirect::to(&format!("/requests/{request}?did=test")).into_response());
        }
        "replay" => {
            let filter = RequestFilter { trigger_id: Some(id), ..RequestFilter::default() };
            let replay = Replay::of(None, filter, &[RequestState::Dead])
                .map_err(|error| Problem::invalid("trigger_id", error))?;
            format!("did=replay&n={}", send_again(&console, &shell.operator, &replay).await?)
        }
        _ => return Err(no_such_action().into()),
    };
    Ok(Redirect::to(&format!("{}?{done}", path_of(id))).into_response())
}

fn no_such_action() -> Problem {
    Problem::not_found("a trigger can be paused, resumed and tested, and its dead requests sent again")
}

/// What is said after an action; `did` comes from the address.
fn notice(did: &str, number: Option<i64>) -> Option<Notice> {
    let (level, text) = match did {
        "pause" => (Level::Off, "Paused. Requests that are under way end within seconds.".to_owned()),
        "resume" => (Level::Good, "Resumed: changes make events, and what waits is sent now.".to_owned()),
        "replay" => (Level::Good, sent_again(number.unwrap_or_default())),
        _ => return None,
    };
    Some(Notice { level, text })
}
