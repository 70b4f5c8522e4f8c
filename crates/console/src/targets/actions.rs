//! Sync now, pause, resume, resync. What was asked for is in the audit log before it is done.

use axum::extract::State;
use schemars::JsonSchema;
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

pub(super) fn routes() -> Routes {
    Routes::default()
        .post(
            sync!("/sync"),
            now,
            endpoint("Sync at once, also targets that wait after a failure")
                .takes::<Which>()
                .answers::<Asked>(),
        )
        .post(
            sync!("/pause"),
            pause_which,
            endpoint("Send nothing until it is resumed; nothing is lost").takes::<Which>().answers::<Asked>(),
        )
        .post(
            sync!("/resume"),
            resume_which,
            endpoint("End a pause, or try failing targets at once").takes::<Which>().answers::<Asked>(),
        )
        .post(
            sync!("/resync"),
            resync_which,
            endpoint(
                "Compare everything with the source again and mend it; readers never see an empty table",
            )
            .takes::<WhichMappings>()
            .answers::<Asked>(),
        )
}

async fn now(
    State(console): State<Console>,
    operator: Operator,
    query: Query,
    Body(which): Body<Which>,
) -> Result<Json<Asked>, Problem> {
    query.none()?;
    Ok(Json(sync_now(&console, &operator, which.tenancy_id, which.target_id.as_deref()).await?))
}

async fn pause_which(
    State(console): State<Console>,
    operator: Operator,
    query: Query,
    Body(which): Body<Which>,
) -> Result<Json<Asked>, Problem> {
    query.none()?;
    Ok(Json(pause(&console, &operator, which.tenancy_id, which.target_id.as_deref()).await?))
}

async fn resume_which(
    State(console): State<Console>,
    operator: Operator,
    query: Query,
    Body(which): Body<Which>,
) -> Result<Json<Asked>, Problem> {
    query.none()?;
    Ok(Json(resume(&console, &operator, which.tenancy_id, which.target_id.as_deref()).await?))
}

async fn resync_which(
    State(console): State<Console>,
    operator: Operator,
    query: Query,
    Body(which): Body<WhichMappings>,
) -> Result<Json<Asked>, Problem> {
    query.none()?;
    let WhichMappings { tenancy_id, target_id, mappings } = which;
    Ok(Json(resync(&console, &operator, tenancy_id, target_id.as_deref(), &mappings).await?))
}

/// Syncs at once, also targets that wait after a failure. No `target_id` = all of the tenancy.
pub(crate) async fn sync_now(
    console: &Console,
    operator: &Operator,
    tenancy_id: Uuid,
    target_id: Option<&str>,
) -> Result<Asked, Problem> {
    let found = found(console, tenancy_id, target_id).await?;
    let mut client = console.internal.get().await?;
    let transaction = client.transaction().await?;
    for target in &found {
        audit::record(&transaction, operator, &entry("target.sync", target, &[])).await?;
    }
    transaction.commit().await?;
    drop(client);
    console.desk.ask("sync now", &keys(&found)).await?;
    asked(console, tenancy_id, target_id, &[]).await
}

/// Sends nothing until it is resumed; nothing is lost.
pub(crate) async fn pause(
    console: &Console,
    operator: &Operator,
    tenancy_id: Uuid,
    target_id: Option<&str>,
) -> Result<Asked, Problem> {
    let found = found(console, tenancy_id, target_id).await?;
    let mut client = console.internal.get().await?;
    let transaction = client.transaction().await?;
    for target in &found {
        targets::pause(&transaction, &target.key).await?;
        audit::record(&transaction, operator, &entry("target.pause", target, &[])).await?;
    }
    transaction.commit().await?;
    drop(client);
    asked(console, tenancy_id, target_id, &[]).await
}

/// Ends a pause, or tries failing targets at once.
pub(crate) async fn resume(
    console: &Console,
    operator: &Operator,
    tenancy_id: Uuid,
    target_id: Option<&str>,
) -> Result<Asked, Problem> {
    let found = found(console, tenancy_id, target_id).await?;
    let mut client = console.internal.get().await?;
    let transaction = client.transaction().await?;
    for target in &found {
        targets::resume(&transaction, &target.key).await?;
        audit::record(&transaction, operator, &entry("target.resume", target, &[])).await?;
    }
    transaction.commit().await?;
    drop(client);
    console.desk.ask("resume", &keys(&found)).await?;
    asked(console, tenancy_id, target_id, &[]).await
}

/// Compares everything with the source again and mends it. No `mappings` = all.
pub(crate) async fn resync(
    console: &Console,
    operator: &Operator,
    tenancy_id: Uuid,
    target_id: Option<&str>,
    mappings: &[String],
) -> Result<Asked, Problem> {
    let desk = &console.desk;
    if let Some(unknown) = mappings.iter().find(|name| !desk.mappings.iter().any(|m| m.name == **name)) {
        return Err(Problem::invalid("mappings", format!("there is no mapping {unknown:?}")));
    }
    let found = found(console, tenancy_id, target_id).await?;
    if let Some(target) = found.iter().find(|target| desk.mappings_of(target, mappings).is_empty()) {
        let reason = format!("none of them goes to the target {:?}", target.key.database_id);
        return Err(Problem::invalid("mappings", reason));
    }
    let mut client = console.internal.get().await?;
    let transaction = client.transaction().await?;
    for target in &found {
        let names = desk.mappings_of(target, mappings);
        targets::request_fill(&transaction, &target.key, &names).await?;
        audit::record(&transaction, operator, &entry("target.resync", target, &names)).await?;
    }
    transaction.commit().await?;
    drop(client);
    desk.ask("resync", &keys(&found)).await?;
    asked(console, tenancy_id, target_id, mappings).await
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
