//! Sync now, pause, resume, resync. What was asked for is in the audit log before it is done.

use axum::extract::State;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenant_sync_core::outbox::{TargetKey, is_running};
use tenant_sync_core::registry::targets::{self, Filter, Target};
use tenant_sync_core::registry::tenancies::{self, TenancyRef};
use uuid::Uuid;

use crate::access::Operator;
use crate::api::sync;
use crate::audit::{self, Change};
use crate::http::{Body, Json, Problem, Query};
use crate::routes::{Routes, endpoint};
use crate::state::Console;

/// Which targets are meant.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Which {
    tenancy_id: Uuid,
    /// Only the target of this id; all of the tenancy unless given.
    #[serde(default)]
    target_id: Option<String>,
}

/// What is to be compared and mended.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WhichMappings {
    tenancy_id: Uuid,
    /// Only the target of this id; all of the tenancy unless given.
    #[serde(default)]
    target_id: Option<String>,
    /// Only these mappings; all of the target unless given.
    #[serde(default)]
    mappings: Vec<String>,
}

/// What was asked for.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Asked {
    targets: Vec<AskedTarget>,
}

/// A target that something was asked of.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AskedTarget {
    tenancy_id: Uuid,
    id: String,
    /// It is paused, so nothing happens until it is resumed.
    paused: bool,
    /// A worker was writing to it at that moment.
    running: bool,
    /// Mappings that are compared and mended.
    #[serde(skip_serializing_if = "Option::is_none")]
    mappings: Option<Vec<String>>,
}

/// What can be done with targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Sync at once, also those that wait after a failure.
    Sync,
    /// Send nothing until they are resumed; nothing is lost.
    Pause,
    /// End a pause, or try failing ones at once.
    Resume,
    /// Compare everything with the source again and mend it: these mappings, or all where none is named.
    Resync(Vec<String>),
}

impl Action {
    /// The action of this name, over all mappings.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        [Self::Sync, Self::Pause, Self::Resume, Self::Resync(Vec::new())]
            .into_iter()
            .find(|action| action.name() == name)
    }

    /// As in addresses.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Resync(_) => "resync",
        }
    }

    /// As in the audit log.
    fn entry_name(&self) -> &'static str {
        match self {
            Self::Sync => "target.sync",
            Self::Pause => "target.pause",
            Self::Resume => "target.resume",
            Self::Resync(_) => "target.resync",
        }
    }

    /// As in traces.
    fn wish(&self) -> &'static str {
        match self {
            Self::Sync => "sync now",
            other => other.name(),
        }
    }

    /// Names of the mappings that were chosen.
    fn mappings(&self) -> &[String] {
        match self {
            Self::Resync(mappings) => mappings,
            Self::Sync | Self::Pause | Self::Resume => &[],
        }
    }
}

pub(super) fn routes() -> Routes {
    let asks = |summary| endpoint(summary).takes::<Which>().answers::<Asked>();
    Routes::default()
        .post(
            sync!("/sync"),
            handler(|Which { tenancy_id, target_id }| (tenancy_id, target_id, Action::Sync)),
            asks("Sync at once, also targets that wait after a failure"),
        )
        .post(
            sync!("/pause"),
            handler(|Which { tenancy_id, target_id }| (tenancy_id, target_id, Action::Pause)),
            asks("Send nothing until it is resumed; nothing is lost"),
        )
        .post(
            sync!("/resume"),
            handler(|Which { tenancy_id, target_id }| (tenancy_id, target_id, Action::Resume)),
            asks("End a pause, or try failing targets at once"),
        )
        .post(
            sync!("/resync"),
            handler(|WhichMappings { tenancy_id, target_id, mappings }| {
                (tenancy_id, target_id, Action::Resync(mappings))
            }),
            endpoint(
                "Compare everything with the source again and mend it; readers never see an empty table",
            )
            .takes::<WhichMappings>()
            .answers::<Asked>(),
        )
}

type Answer = BoxFuture<'static, Result<Json<Asked>, Problem>>;

/// A route that acts upon what `read` makes of its body.
fn handler<B: DeserializeOwned + Send + 'static>(
    read: fn(B) -> (Uuid, Option<String>, Action),
) -> impl Fn(State<Console>, Operator, Query, Body<B>) -> Answer + Clone + Send + Sync + 'static {
    move |State(console), operator, query, Body(body)| {
        Box::pin(async move {
            query.none()?;
            let (tenancy_id, target_id, action) = read(body);
            Ok(Json(act(&console, &operator, &action, tenancy_id, target_id.as_deref()).await?))
        })
    }
}

/// Does it, and says how the targets are afterwards. No `target_id` = all of the tenancy.
pub(crate) async fn act(
    console: &Console,
    operator: &Operator,
    action: &Action,
    tenancy_id: Uuid,
    target_id: Option<&str>,
) -> Result<Asked, Problem> {
    let (desk, mappings) = (&console.desk, action.mappings());
    require_mappings(console, mappings)
        .map_err(|unknown| Problem::invalid("mappings", format!("there is no mapping {unknown:?}")))?;
    let found = found(console, tenancy_id, target_id).await?;
    let gets_none = |target: &&Target| desk.mappings_of(target, mappings).is_empty();
    if matches!(action, Action::Resync(_))
        && let Some(target) = found.iter().find(gets_none)
    {
        let reason = format!("none of them goes to the target {:?}", target.key.database_id);
        return Err(Problem::invalid("mappings", reason));
    }
    let mut client = console.internal.get().await?;
    let transaction = client.transaction().await?;
    for target in &found {
        let mut names = Vec::new();
        match action {
            Action::Sync => {}
            Action::Pause => drop(targets::pause(&transaction, &target.key).await?),
            Action::Resume => drop(targets::resume(&transaction, &target.key).await?),
            Action::Resync(_) => {
                names = desk.mappings_of(target, mappings);
                targets::request_fill(&transaction, &target.key, &names).await?;
            }
        }
        audit::record(&transaction, operator, &entry(action.entry_name(), target, &names)).await?;
    }
    transaction.commit().await?;
    drop(client);
    if *action != Action::Pause {
        desk.ask(action.wish(), &keys(&found)).await?;
    }
    asked(console, tenancy_id, target_id, mappings).await
}

/// That there are mappings of these names; else which is none.
pub(super) fn require_mappings<'a>(console: &Console, names: &'a [String]) -> Result<(), &'a str> {
    let unknown = names.iter().find(|name| !console.desk.mappings.iter().any(|m| m.name == **name));
    unknown.map_or(Ok(()), |name| Err(name.as_str()))
}

/// The targets that are meant; at least one.
async fn found(console: &Console, tenancy_id: Uuid, id: Option<&str>) -> Result<Vec<Target>, Problem> {
    let client = console.internal.get().await?;
    let filter = Filter {
        tenancy_id: Some(tenancy_id),
        ids: id.map(str::to_owned).into_iter().collect(),
        state: None,
    };
    let found = targets::list(&client, &filter).await?;
    if !found.is_empty() {
        return Ok(found);
    }
    let tenancy = tenancies::find(&client, &TenancyRef::Id(tenancy_id)).await?;
    Err(match (tenancy, id) {
        (None, _) => Problem::not_found("there is no such tenancy"),
        (Some(_), Some(id)) => Problem::not_found(format!("the tenancy has no target {id:?}")),
        (Some(_), None) => Problem::not_found("the tenancy has no targets"),
    })
}

fn keys(found: &[Target]) -> Vec<TargetKey> {
    found.iter().map(|target| target.key.clone()).collect()
}

fn entry<'a>(action: &'static str, target: &'a Target, mappings: &[String]) -> Change<'a> {
    let entry = Change::of(action).in_tenancy(target.key.tenancy_id).to(&target.key.database_id);
    if mappings.is_empty() { entry } else { entry.with(json!({ "mappings": mappings })) }
}

/// How they are afterwards.
async fn asked(
    console: &Console,
    tenancy_id: Uuid,
    id: Option<&str>,
    mappings: &[String],
) -> Result<Asked, Problem> {
    let resynced = |target: &Target| {
        let names = console.desk.mappings_of(target, mappings);
        (!mappings.is_empty()).then_some(names)
    };
    let mut targets = Vec::new();
    for target in found(console, tenancy_id, id).await? {
        let running = is_running(&console.internal.get().await?, &target.key).await?;
        targets.push(AskedTarget {
            tenancy_id,
            paused: target.state == "paused",
            running,
            mappings: resynced(&target),
            id: target.key.database_id,
        });
    }
    Ok(Asked { targets })
}
