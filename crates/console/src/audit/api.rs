//! `…/audit`: what operators did, newest first.

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::sync;
use crate::http::{At, Json, Problem, Query};
use crate::routes::{Routes, endpoint};
use crate::state::Console;
use crate::targets::cursor;

/// An entry of the audit log.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    pub(crate) id: i64,
    pub(crate) at: At,
    /// Name of the key that was used.
    pub(crate) operator: String,
    /// Where the request came from.
    pub(crate) address: Option<String>,
    /// Such as `target.pause`.
    pub(crate) action: String,
    pub(crate) tenancy_id: Option<Uuid>,
    /// What of the tenancy it was done to.
    pub(crate) subject: Option<String>,
    /// What was asked for.
    pub(crate) details: Value,
}

/// A page of the audit log.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditPage {
    pub(crate) entries: Vec<Entry>,
    /// Where the next page begins.
    pub(crate) next_cursor: Option<String>,
}

pub(crate) fn routes() -> Routes {
    Routes::default().get(
        sync!("/audit"),
        list,
        endpoint("What operators did, the newest first")
            .pages()
            .parameter("tenancy_id", "Only of this tenancy", json!({ "type": "string", "format": "uuid" }))
            .answers::<AuditPage>(),
    )
}

async fn list(State(console): State<Console>, query: Query) -> Result<Json<AuditPage>, Problem> {
    let (limit, before, tenancy_id) = query.read(|q| {
        let before = q.text("cursor").map(cursor::read_number).transpose()?;
        Ok((q.limit()?, before, q.uuid("tenancy_id")?))
    })?;
    Ok(Json(page(&console, tenancy_id, before, limit).await?))
}

/// A page of the audit log; `before` is the id where the page before ended.
pub(crate) async fn page(
    console: &Console,
    tenancy_id: Option<Uuid>,
    before: Option<i64>,
    limit: i64,
) -> Result<AuditPage, Problem> {
    let condition = if tenancy_id.is_some() { r#""tenancyId" = $1"# } else { "$1::uuid is null" };
    let sql = format!(
        r#"select "id", "at", "operator", "address", "action", "tenancyId", "subject", "details" from "AuditEntry"
           where {condition} and ($2::int8 is null or "id" < $2) order by "id" desc limit $3"#
    );
    let client = console.internal.get().await?;
    let rows = client.query(&sql, &[&tenancy_id, &before, &(limit + 1)]).await?;
    let kept = usize::try_from(limit).unwrap_or(usize::MAX).min(rows.len());
    let entries = rows.iter().take(kept).map(|row| {
        Ok(Entry {
            id: row.try_get(0)?,
            at: At(row.try_get(1)?),
            operator: row.try_get(2)?,
            address: row.try_get(3)?,
            action: row.try_get(4)?,
            tenancy_id: row.try_get(5)?,
            subject: row.try_get(6)?,
            details: row.try_get(7)?,
        })
    });
    let entries: Vec<Entry> = entries.collect::<Result<_, tokio_postgres::Error>>()?;
    let next_cursor = entries.last().filter(|_| rows.len() > kept).map(|last| cursor::write_number(last.id));
    Ok(AuditPage { entries, next_cursor })
}
