//! `…/status`

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use tenant_sync_core::registry::browse::TargetFilter;
use uuid::Uuid;

use super::model::{Status, TenancyStatus};
use super::read::{lines, overview, tenancy};
use crate::api::sync;
use crate::http::{Json, Problem, Query};
use crate::routes::{Routes, endpoint};
use crate::state::Console;
use crate::targets::{cursor, page_of};

/// Targets that a status shows at once.
const TARGETS_MAX: i64 = 200;
const TARGETS_DEFAULT: i64 = 50;
/// Rows behind are counted up to here for each of them.
const ROWS_MAX: i64 = 1_000;

pub(crate) fn routes() -> Routes {
    let scope = json!({ "type": "string", "enum": ["all", "tenancy"], "default": "all" });
    let limit =
        json!({ "type": "integer", "minimum": 1, "maximum": TARGETS_MAX, "default": TARGETS_DEFAULT });
    Routes::default()
        .get(
            sync!("/status"),
            show,
            endpoint("How everything is, or one tenancy, with its targets")
                .parameter("scope", "All, or one tenancy", scope)
                .parameter("tenancy_id", "Which tenancy", json!({ "type": "string", "format": "uuid" }))
                .parameter("limit", "How many targets", limit)
                .parameter("cursor", "`nextCursor` of the page before", json!({ "type": "string" }))
                .answers::<EitherStatus>(),
        )
        .get(
            "/api/v1/tenancies/{tenancy_id}/status",
            show_tenancy,
            endpoint("How a tenancy is, with its targets").answers::<TenancyStatus>(),
        )
}

/// Of all, or of one tenancy, as `scope` asks.
#[derive(schemars::JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes the answer, which is one or the other")]
enum EitherStatus {
    All(Box<Status>),
    Tenancy(Box<TenancyStatus>),
}

enum Scope {
    All { limit: i64, cursor: Option<String> },
    Tenancy(Uuid),
}

async fn show(State(console): State<Console>, query: Query) -> Result<Response, Problem> {
    let scope = query.read(|q| {
        let scope = q.one_of("scope", &["all", "tenancy"])?;
        let tenancy_id = q.uuid("tenancy_id")?;
        let limit = q.number("limit", 1..=TARGETS_MAX)?;
        let cursor = q.text("cursor").map(str::to_owned);
        match (scope, tenancy_id) {
            (Some("tenancy"), Some(id)) if limit.is_none() && cursor.is_none() => Ok(Scope::Tenancy(id)),
            (Some("tenancy"), Some(_)) => Err(Problem::invalid("limit", "goes with scope=all only")),
            (Some("tenancy"), None) => Err(Problem::invalid("tenancy_id", "is needed with scope=tenancy")),
            (_, Some(_)) => Err(Problem::invalid("scope", "must be tenancy where a tenancy_id is given")),
            (_, None) => Ok(Scope::All { limit: limit.unwrap_or(TARGETS_DEFAULT), cursor }),
        }
    })?;
    let (limit, after) = match scope {
        Scope::Tenancy(id) => return Ok(Json(tenancy(&console, id).await?).into_response()),
        Scope::All { limit, cursor } => (limit, cursor.as_deref().map(cursor::read_target).transpose()?),
    };
    let filter = TargetFilter::default();
    let listed = async {
        let page = page_of(&console, &filter, after.as_ref(), limit).await?;
        Ok((lines(&console, page.entries, ROWS_MAX).await?, page.next))
    };
    let (overview, (external_databases, next)) = tokio::try_join!(overview(&console), listed)?;
    let status =
        Status { overview, external_databases, next_cursor: next.as_ref().map(cursor::write_target) };
    Ok(Json(status).into_response())
}

async fn show_tenancy(
    State(console): State<Console>,
    path: crate::http::PathParameters,
    query: Query,
) -> Result<Json<TenancyStatus>, Problem> {
    query.none()?;
    Ok(Json(tenancy(&console, path.tenancy_id()?).await?))
}
