//! Rows that a target refuses, from the copy in the internal database.

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tenant_sync_core::outbox::TargetKey;
use tenant_sync_core::registry::quarantine::{self, RefusedRow};
use tenant_sync_core::registry::targets;

use super::list::{key_of, no_such};
use super::{actions, cursor};
use crate::http::{At, Json, PathParameters, Problem, Query};
use crate::routes::{Routes, endpoint};
use crate::state::Console;

/// A row that the target refuses.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefusedLine {
    pub(crate) mapping: String,
    /// The columns of the target's key; nothing else of the row is known here.
    pub(crate) key: Map<String, Value>,
    /// What the server said; null where the row was not even tried.
    #[serde(rename = "sqlState")]
    pub(crate) sqlstate: Option<String>,
    /// Why, in our words, with the names of table, column and constraint.
    pub(crate) reason: String,
    /// Since when it is set aside.
    pub(crate) refused_at: At,
    /// How often it was tried.
    pub(crate) attempts: i32,
    /// When it is tried again.
    pub(crate) next_attempt_at: At,
}

/// A page of them.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefusedPage {
    /// By mapping, and then those that wait longest first. A copy from the last turn; the truth is `_sync_refused` in the
    /// target.
    pub(crate) refused_rows: Vec<RefusedLine>,
    /// Where the next page begins.
    pub(crate) next_cursor: Option<String>,
}

pub(super) fn routes() -> Routes {
    Routes::default().get(
        "/api/v1/tenancies/{tenancy_id}/targets/{target_id}/refused-rows",
        show,
        endpoint("Rows that the target refuses: key, reason, since when")
            .pages()
            .parameter("mapping", "Only those of it", json!({ "type": "string" }))
            .answers::<RefusedPage>(),
    )
}

async fn show(
    State(console): State<Console>,
    path: PathParameters,
    query: Query,
) -> Result<Json<RefusedPage>, Problem> {
    let key = key_of(&path)?;
    let (limit, cursor, mapping) = query.read(|q| {
        Ok((q.limit()?, q.text("cursor").map(str::to_owned), q.text("mapping").map(str::to_owned)))
    })?;
    Ok(Json(page(&console, &key, mapping, cursor.as_deref(), limit).await?))
}

/// A page of what the target refuses, of one of its mappings or of all.
pub(crate) async fn page(
    console: &Console,
    key: &TargetKey,
    mapping: Option<String>,
    cursor: Option<&str>,
    limit: i64,
) -> Result<RefusedPage, Problem> {
    let named: Vec<String> = mapping.into_iter().collect();
    actions::require_mappings(console, &named).map_err(|name| {
        Problem::invalid(
            "mapping",
            format!("there is no mapping {name:?}; `mapping show` lists those there are"),
        )
    })?;
    let after = cursor.map(cursor::read_refused).transpose()?;
    let client = console.internal.get().await?;
    let target = targets::find(&client, key).await?.ok_or_else(|| no_such(key))?;
    // What a mapping left behind that does not go there any more is nobody's concern.
    let mappings = console.desk.mappings_of(&target, &named);
    let (rows, next) = quarantine::list(&client, key, Some(&mappings), after.as_ref(), limit).await?;
    Ok(RefusedPage {
        refused_rows: rows.into_iter().map(RefusedLine::from).collect(),
        next_cursor: next.as_ref().map(cursor::write_refused),
    })
}

impl From<RefusedRow> for RefusedLine {
    fn from(row: RefusedRow) -> Self {
        Self {
            mapping: row.mapping,
            key: serde_json::from_str(&row.key).unwrap_or_default(),
            sqlstate: Some(row.sqlstate).filter(|state| !state.is_empty()),
            reason: row.reason,
            refused_at: At(row.refused_at),
            attempts: row.attempts,
            next_attempt_at: At(row.retry_at),
        }
    }
}
