//! The first page: the road as a picture, the last hour, the switches.

mod branch;
pub(super) mod facts;
pub(super) mod judge;
mod load;
mod road;

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use maud::html;

use super::live::{self, Regions};
use super::shell::{Shell, Trouble};
use super::view::chart::Lines;
use super::view::format::{counted, short, span, things};
use super::view::frame::Section;
use super::view::overview::{self as view, Change, Figure, Overview, States, Worker};
use super::{history, switches};
use crate::access::Operator;
use crate::http::{Problem, Query};
use crate::samples::api::History;
use crate::state::Console;
use crate::status;
use facts::{Facts, Running};

/// How often an open page looks.
const EVERY: Duration = Duration::from_secs(1);
/// Actions of operators that are shown.
const CHANGES: i64 = 10;

pub(super) fn router() -> Router<Console> {
    Router::new().route("/", get(show)).route("/live/overview", get(stream))
}

/// Everything that the page shows.
struct Loaded {
    page: Overview,
    charts: Vec<Lines>,
    switches: Vec<view::Switch>,
}

/// A page that is opened shows how it is now, also what its operator did a moment ago.
async fn load(console: &Console) -> Result<Loaded, Problem> {
    let (status, history) = tokio::try_join!(status::overview(console), history::read(console))?;
    loaded(console, &status, &history).await
}

/// A page that is open shows what all of them show.
async fn look(console: &Console) -> Result<Loaded, Problem> {
    let status = console.looks.overview.get(async || status::overview(console).await).await?;
    let history = console.looks.history.get(async || history::read(console).await).await?;
    loaded(console, &status, &history).await
}

async fn loaded(console: &Console, status: &status::Overview, history: &History) -> Result<Loaded, Problem> {
    let facts = load::facts(status, history::latest_lag(history));
    let changes = super::changes::latest(console, CHANGES).await?;
    let thrown = status.switches.updated_at.map(|at| at.0).zip(status.switches.updated_by.clone());
    let page = page(&facts, changes, thrown);
    Ok(Loaded { page, charts: history::charts(history), switches: switches::shown(&status.switches) })
}

fn page(facts: &Facts, changes: Vec<Change>, switched: Option<(time::OffsetDateTime, String)>) -> Overview {
    Overview {
        now: facts.now,
        verdict: judge::verdict(facts),
        road: road::road(facts),
        branch: branch::branch(facts),
        figures: figures(facts),
        states: States { counts: facts.states.clone() },
        causes: judge::causes(facts, None),
        workers: facts.workers.iter().map(worker).collect(),
        changes,
        switched,
    }
}

fn figures(facts: &Facts) -> Vec<Figure> {
    let lag = |value: Option<Duration>| {
        value.map_or_else(|| "–".to_owned(), |lag| if lag.is_zero() { "0".to_owned() } else { span(lag) })
    };
    let rate = |rate: Option<f64>| rate.map_or_else(|| "–".to_owned(), short);
    let waiting = facts.unsequenced;
    vec![
        Figure {
            label: "Lag of half of the targets",
            value: lag(facts.lag.map(|lag| lag.p50)),
            unit: "",
            hint: "p50: at most this".to_owned(),
        },
        Figure {
            label: "Lag of 99 in 100",
            value: lag(facts.lag.map(|lag| lag.p99)),
            unit: "",
            hint: "p99: at most this".to_owned(),
        },
        Figure {
            label: "Written",
            value: rate(facts.rates.rows),
            unit: "rows/s",
            hint: "over all workers".to_owned(),
        },
        Figure {
            label: "Waiting for an id",
            value: counted(waiting.count, waiting.at_least),
            unit: if waiting.count == 1 { "row" } else { "rows" },
            hint: format!("{} due", things(facts.due.count, "target", "targets")),
        },
    ]
}

fn worker(worker: &Running) -> Worker {
    Worker {
        kind: worker.kind.clone(),
        id: worker.id.clone(),
        version: worker.version.clone(),
        seen_at: worker.seen_at,
        started_at: worker.started_at,
        last_iteration_at: worker.last_iteration_at,
        work: worker
            .throughput
            .map_or_else(|| "–".to_owned(), |(rate, unit)| format!("{} {unit}", short(rate))),
        alive: worker.alive,
    }
}

async fn show(State(console): State<Console>, shell: Shell, query: Query) -> Result<Response, Trouble> {
    let did = query.read(|q| Ok(q.text("did").map(str::to_owned)))?;
    let shell = shell.with(did.as_deref().and_then(switches::notice));
    let loaded = load(&console).await?;
    let content = view::content(&loaded.page, &loaded.charts, &loaded.switches);
    Ok(shell.page(Section::Overview, "Overview", Some("/live/overview"), &content))
}

async fn stream(State(console): State<Console>, _: Operator) -> Response {
    live::stream(&console, EVERY, async |console| regions(&console).await)
}

async fn regions(console: &Console) -> Result<Regions, Problem> {
    let loaded = look(console).await?;
    let mut regions = view::regions(&loaded.page);
    regions.push(("charts", view::charts(&loaded.charts)));
    let switches = view::switches(loaded.page.now, &loaded.switches, loaded.page.switched.as_ref());
    regions.push(("switches", html! { (switches) }));
    Ok(regions)
}
