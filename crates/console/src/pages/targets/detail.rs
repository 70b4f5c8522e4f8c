//! One target: its state, its history, and what can be done with it.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use tenant_sync_core::outbox::TargetKey;
use tenant_sync_core::status::{self, FillStatus};
use tenant_sync_core::target::class::{ErrorClass, Fault};
use time::OffsetDateTime;

use super::{path_of, progress, refused};
use crate::access::Operator;
use crate::http::{PathParameters, Problem, Query};
use crate::pages::live::{self, Regions};
use crate::pages::shell::{Shell, Trouble};
use crate::pages::view::format::count;
use crate::pages::view::frame::Section;
use crate::pages::view::login;
use crate::pages::view::parts::{Asked, Level, Notice};
use crate::pages::view::target::{self as view, Actions, Target};
use crate::pages::view::{chart, chart::Lines};
use crate::pages::{history, tenants};
use crate::state::Console;
use crate::targets::actions::{self, Action};
use crate::targets::key_of;
use crate::targets::list::detail;
use crate::targets::model::TargetDetail;

const EVERY: Duration = Duration::from_secs(1);

pub(super) fn router() -> Router<Console> {
    Router::new()
        .route("/targets/{tenancy_id}/{target_id}", get(show))
        .route("/targets/{tenancy_id}/{target_id}/{action}", get(ask).post(act))
        .route("/live/targets/{tenancy_id}/{target_id}", get(stream))
}

/// Everything that the page shows.
struct Loaded {
    page: Target,
    history: Lines,
}

async fn load(console: &Console, key: &TargetKey) -> Result<Loaded, Problem> {
    let detail = detail(console, key).await?;
    let tenant = tenants::find(console, key.tenancy_id).await?;
    let fills = status::fills(&console.internal, &console.desk.mappings, key).await?;
    let history = history::of_target(console, key).await?;
    let mut page = page(console, &detail, &tenant, &fills);
    if page.mappings.iter().any(|mapping| mapping.refused > 0) {
        (page.refused, page.refused_href) = refused::first(console, key).await?;
    }
    Ok(Loaded { page, history })
}

fn page(console: &Console, detail: &TargetDetail, tenant: &tenants::Tenant, fills: &[FillStatus]) -> Target {
    let line = &detail.line;
    let path = path_of(line.tenancy_id, &line.id);
    let paused = line.state == "paused";
    let mapping = |mapping: &crate::status::MappingLag| view::Mapping {
        name: mapping.name.clone(),
        watermark: mapping.last_synced_sequence_id,
        behind: (mapping.rows_behind.count, mapping.rows_behind.at_least),
        lag: Duration::from_millis(mapping.lag_millis),
        complete_as_of: mapping.complete_as_of.map(|at| at.0),
        fill: mapping.filling.then(|| progress::fill(&mapping.name, fills)),
        refused: mapping.refused_rows,
    };
    Target {
        now: OffsetDateTime::now_utc(),
        id: line.id.clone(),
        tenant: tenant.name.clone(),
        tenant_href: console.config.database.user_tables.then(|| tenant.users_path()),
        state: line.state.clone(),
        running: detail.running,
        trouble: trouble(detail),
        schema: line.schema.clone(),
        facts: facts(detail),
        created_at: line.created_at.0,
        last_success_at: line.last_success_at.map(|at| at.0),
        mappings: line.mappings.iter().map(mapping).collect(),
        refused: Vec::new(),
        refused_href: None,
        actions: Actions {
            sync_now: format!("{path}/sync"),
            pause: (!paused).then(|| question("pause", &path)),
            resume: paused.then(|| format!("{path}/resume")),
            resync: question("resync", &path),
        },
    }
}

fn trouble(detail: &TargetDetail) -> Option<view::Trouble> {
    let line = &detail.line;
    let what = line.last_error.clone()?;
    let class = line.last_error_class.as_deref().and_then(ErrorClass::from_code);
    let whose = match class.map(|class| class.policy().fault) {
        Some(Fault::Operator) => "Whoever runs this installation has to do something.",
        Some(Fault::Nobody) => "Nobody has to do anything: it passes.",
        _ => "The customer has to do something.",
    };
    Some(view::Trouble {
        what,
        advice: line.advice.unwrap_or_default().to_owned(),
        whose,
        failures: line.consecutive_failures,
        next_attempt_at: line.next_attempt_at.map(|at| at.0),
    })
}

fn facts(detail: &TargetDetail) -> Vec<(&'static str, String)> {
    let line = &detail.line;
    let mappings = match &detail.chosen_mappings {
        None => "all".to_owned(),
        Some(names) => names.join(", "),
    };
    let mut facts = vec![
        ("Tenancy", line.tenancy_id.to_string()),
        ("Connection", line.connection.clone().unwrap_or_else(|| "none stored".to_owned())),
        ("Schema", line.schema.clone()),
        ("Mappings", mappings),
        ("Rows written", count(line.rows_written)),
    ];
    if !detail.read_roles.is_empty() {
        facts.push(("May read", detail.read_roles.join(", ")));
    }
    if detail.own_certificates {
        facts.push(("Root certificates", "of its own".to_owned()));
    }
    facts
}

/// What is asked before an action, and at its address.
fn question(action: &str, path: &str) -> Asked {
    let (label, question, consequence, dangerous) = match action {
        "resync" => (
            "Resync",
            "Compare everything again?",
            "Every row is compared with its source, and what differs is mended. Readers never see an empty table; rows \
             that agree are not touched. It costs one read of the tenant’s rows.",
            false,
        ),
        _ => (
            "Pause",
            "Pause this target?",
            "Nothing is sent until it is resumed. Nothing is lost: what changes meanwhile arrives afterwards.",
            false,
        ),
    };
    Asked {
        id: action.to_owned(),
        label: label.to_owned(),
        spoken: label.to_owned(),
        question: question.to_owned(),
        consequence: consequence.to_owned(),
        href: format!("{path}/{action}"),
        back: path.to_owned(),
        dangerous,
    }
}

async fn show(
    State(console): State<Console>,
    shell: Shell,
    path: PathParameters,
    query: Query,
) -> Result<Response, Trouble> {
    let key = key_of(&path)?;
    let did = query.read(|q| Ok(q.text("did").map(str::to_owned)))?;
    let loaded = load(&console, &key).await?;
    let shell = shell.with(did.as_deref().and_then(notice));
    let title = format!("{} / {}", loaded.page.tenant, loaded.page.id);
    let live = format!("/live{}", path_of(key.tenancy_id, &key.database_id));
    let content = view::content(&loaded.page, &loaded.history);
    Ok(shell.page(Section::Targets, &title, Some(&live), &content))
}

async fn stream(
    State(console): State<Console>,
    _: Operator,
    path: PathParameters,
) -> Result<Response, Problem> {
    let key = key_of(&path)?;
    Ok(live::stream(&console, EVERY, move |console| {
        let key = key.clone();
        async move { regions(&console, &key).await }
    }))
}

async fn regions(console: &Console, key: &TargetKey) -> Result<Regions, Problem> {
    let loaded = load(console, key).await?;
    let mut regions = view::regions(&loaded.page);
    regions.push(("actions", view::actions(&loaded.page)));
    regions.push(("history", chart::lines(&loaded.history)));
    Ok(regions)
}

async fn ask(shell: Shell, path: PathParameters, query: Query) -> Result<Response, Trouble> {
    query.none()?;
    let key = key_of(&path)?;
    let action = path.text("action")?;
    if !["pause", "resync"].contains(&action) {
        return Err(no_such_action().into());
    }
    let asked = question(action, &path_of(key.tenancy_id, &key.database_id));
    Ok(shell.page(Section::Targets, &asked.question, None, &login::question(&asked)))
}

async fn act(
    State(console): State<Console>,
    shell: Shell,
    path: PathParameters,
) -> Result<Response, Trouble> {
    let key = key_of(&path)?;
    let action = Action::of_name(path.text("action")?).ok_or_else(no_such_action)?;
    actions::act(&console, &shell.operator, &action, key.tenancy_id, Some(&key.database_id)).await?;
    let page = path_of(key.tenancy_id, &key.database_id);
    Ok(Redirect::to(&format!("{page}?did={}", action.name())).into_response())
}

fn no_such_action() -> Problem {
    Problem::not_found("a target can be synced, paused, resumed and resynced")
}

/// What is said after an action; `did` comes from the address.
fn notice(did: &str) -> Option<Notice> {
    let (level, text) = match did {
        "sync" => (Level::Good, "Asked for a sync: a worker takes it up within a second."),
        "pause" => (Level::Off, "Paused. A turn that is running ends within seconds."),
        "resume" => (Level::Good, "Resumed: what waits is sent now."),
        "resync" => (Level::Good, "Asked for a resync: its progress is shown below."),
        _ => return None,
    };
    Some(Notice { level, text: text.to_owned() })
}
