//! Pause, resume, test.

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tenant_sync_core::outbox;
use tenant_sync_core::triggers::{self, Limits, Observer, TriggerError};
use uuid::Uuid;

use super::list::{detail, no_such};
use super::model::Trigger;
use crate::access::Operator;
use crate::api::sync;
use crate::audit::{self, Change};
use crate::http::{Json, PathParameters, Problem, Query};
use crate::routes::{Routes, endpoint};
use crate::state::Console;

/// Whoever waits for an answer does not wait for a table as long as a command does.
const ATTEMPTS: u32 = 3;

/// An event that is on its way.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Tested {
    /// Of the request: `…/requests/{id}` tells what becomes of it.
    request_id: Uuid,
}

pub(super) fn routes() -> Routes {
    Routes::default()
        .post(
            sync!("/triggers/{trigger_id}/pause"),
            pause_one,
            endpoint("Make no events and send none until it is resumed; what waits is kept")
                .answers::<Trigger>(),
        )
        .post(
            sync!("/triggers/{trigger_id}/resume"),
            resume_one,
            endpoint(
                "Make events again, after its definition was checked against its table; what waits goes on",
            )
            .answers::<Trigger>(),
        )
        .post(
            sync!("/triggers/{trigger_id}/test"),
            test_one,
            endpoint("Send it an event trigger.test").answers::<Tested>(),
        )
}

async fn pause_one(
    State(console): State<Console>,
    operator: Operator,
    path: PathParameters,
    query: Query,
) -> Result<Json<Trigger>, Problem> {
    query.none()?;
    Ok(Json(pause(&console, &operator, path.uuid("trigger_id")?).await?))
}

async fn resume_one(
    State(console): State<Console>,
    operator: Operator,
    path: PathParameters,
    query: Query,
) -> Result<Json<Trigger>, Problem> {
    query.none()?;
    Ok(Json(resume(&console, &operator, path.uuid("trigger_id")?).await?))
}

async fn test_one(
    State(console): State<Console>,
    operator: Operator,
    path: PathParameters,
    query: Query,
) -> Result<Json<Tested>, Problem> {
    query.none()?;
    Ok(Json(Tested { request_id: test(&console, &operator, path.uuid("trigger_id")?).await? }))
}

fn entry(action: &'static str, trigger: &Trigger) -> Change<'static> {
    let change = Change::of(action).with(json!({ "triggerId": trigger.id, "url": trigger.url }));
    match trigger.tenancy_id {
        Some(id) => change.in_tenancy(id),
        None => change,
    }
}

/// Lets it make no events and send none; what waits is kept.
pub(crate) async fn pause(console: &Console, operator: &Operator, id: Uuid) -> Result<Trigger, Problem> {
    let before = detail(console, id).await?;
    let mut client = console.internal.get().await?;
    let transaction = client.transaction().await?;
    let reason = format!("{} paused it in the console", operator.name);
    triggers::pause(&transaction, id, &reason).await?;
    audit::record(&transaction, operator, &entry("trigger.pause", &before)).await?;
    transaction.commit().await?;
    outbox::notify(&client).await?;
    drop(client);
    detail(console, id).await
}

/// Lets it make events again. What was asked for is in the audit log before it is done.
pub(crate) async fn resume(console: &Console, operator: &Operator, id: Uuid) -> Result<Trigger, Problem> {
    let before = detail(console, id).await?;
    audit::record(&console.internal.get().await?, operator, &entry("trigger.resume", &before)).await?;
    let limits = Limits { attempts: ATTEMPTS, ..Limits::default() };
    triggers::resume(&console.internal, &console.desk.mappings, id, limits, &mut Silent)
        .await
        .map_err(refused)?;
    outbox::notify(&console.internal.get().await?).await?;
    detail(console, id).await
}

/// Queues an event `trigger.test`, and says which request it is.
pub(crate) async fn test(console: &Console, operator: &Operator, id: Uuid) -> Result<Uuid, Problem> {
    let before = detail(console, id).await?;
    let mut client = console.internal.get().await?;
    let transaction = client.transaction().await?;
    let request = triggers::test(&transaction, id).await?.ok_or_else(no_such)?;
    audit::record(&transaction, operator, &entry("trigger.test", &before)).await?;
    transaction.commit().await?;
    outbox::notify(&client).await?;
    Ok(request)
}

/// The caller sees how it ended.
struct Silent;

impl Observer for Silent {
    fn waiting(&mut self, _: &str) {}
}

fn refused(error: TriggerError) -> Problem {
    match error {
        TriggerError::Db(error) => error.into(),
        TriggerError::Query(error) => error.into(),
        TriggerError::Unknown(_) => no_such(),
        other => Problem::conflict(other.to_string()),
    }
}
