//! `…/fusebox`: the switches that workers honour within a second.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenant_sync_core::worker::{self, SwitchChange};

use super::sync;
use crate::access::Operator;
use crate::audit::{self, Change};
use crate::http::{At, Body, Json, Problem, Query};
use crate::routes::{Routes, endpoint};
use crate::state::Console;

/// The switches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Switches {
    /// Ids are given to changes.
    pub(crate) sequencer_enabled: bool,
    /// Requests are handed to RabbitMQ.
    pub(crate) poller_enabled: bool,
    /// Targets are written.
    pub(crate) sync_engine_enabled: bool,
    /// HTTP requests are sent.
    pub(crate) requests_enabled: bool,
    /// When one was last thrown.
    pub(crate) updated_at: Option<At>,
    /// By whom.
    pub(crate) updated_by: Option<String>,
}

/// Switches to be thrown; those that are left out stay.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Throw {
    #[serde(default)]
    sequencer_enabled: Option<bool>,
    #[serde(default)]
    poller_enabled: Option<bool>,
    #[serde(default)]
    sync_engine_enabled: Option<bool>,
    #[serde(default)]
    requests_enabled: Option<bool>,
}

pub(super) fn routes() -> Routes {
    let path = sync!("/fusebox");
    Routes::default().get(path, show, endpoint("The switches").answers::<Switches>()).post(
        path,
        throw,
        endpoint("Throw switches; workers follow within a second").takes::<Throw>().answers::<Switches>(),
    )
}

/// The switches as they are.
pub(crate) async fn read(console: &Console) -> Result<Switches, Problem> {
    let client = console.internal.get().await?;
    Ok(shown(worker::switches(&client).await?))
}

async fn show(State(console): State<Console>, query: Query) -> Result<Json<Switches>, Problem> {
    query.none()?;
    Ok(Json(read(&console).await?))
}

async fn throw(
    State(console): State<Console>,
    operator: Operator,
    query: Query,
    Body(body): Body<Throw>,
) -> Result<Json<Switches>, Problem> {
    query.none()?;
    let change = SwitchChange {
        sequencer: body.sequencer_enabled,
        poller: body.poller_enabled,
        sync_engine: body.sync_engine_enabled,
        requests: body.requests_enabled,
    };
    Ok(Json(set(&console, &operator, change).await?))
}

/// Throws switches; at least one.
pub(crate) async fn set(
    console: &Console,
    operator: &Operator,
    change: SwitchChange,
) -> Result<Switches, Problem> {
    if change.is_empty() {
        return Err(Problem::invalid("body", "name at least one switch"));
    }
    let named = [
        ("sequencerEnabled", change.sequencer),
        ("pollerEnabled", change.poller),
        ("syncEngineEnabled", change.sync_engine),
        ("requestsEnabled", change.requests),
    ];
    let details = named.iter().filter_map(|(name, on)| Some(((*name).to_owned(), json!((*on)?))));
    let entry = Change::of("fusebox.set").with(serde_json::Value::Object(details.collect()));
    let mut client = console.internal.get().await?;
    let transaction = client.transaction().await?;
    worker::throw_switches(&transaction, change, Some(&operator.name)).await?;
    audit::record(&transaction, operator, &entry).await?;
    let switches = worker::switches(&transaction).await?;
    transaction.commit().await?;
    tracing::info!(operator = operator.name, change = %entry.details, "switches were thrown");
    Ok(shown(switches))
}

pub(crate) fn shown(switches: worker::Switches) -> Switches {
    Switches {
        sequencer_enabled: switches.sequencer,
        poller_enabled: switches.poller,
        sync_engine_enabled: switches.sync_engine,
        requests_enabled: switches.requests,
        updated_at: switches.updated_at.map(At),
        updated_by: switches.updated_by,
    }
}
