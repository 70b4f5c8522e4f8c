//! `…/tenancies/{id}/users`: a tenant's users, one row each, with how to reach them, how they sign in and when they were last here.

mod cursor;
mod list;
mod query;
mod rows;
pub mod search;
mod sql;

use axum::extract::State;
use serde_json::json;
use uuid::Uuid;

pub(crate) use list::latest;
pub use list::{Channel, SignInMethod, User, UsersPage, list, plan};
pub use query::{Anonymous, OrderBy, UsersQuery};

use crate::http::{Json, PathParameters, Problem, Query};
use crate::routes::{Routes, endpoint};
use crate::state::Console;

pub(crate) fn routes() -> Routes {
    let flag = || json!({ "type": "boolean", "default": false });
    let description = endpoint("A tenant's users, one row each")
        .pages()
        .parameter(
            "order_by",
            "What they are ordered by, and then by id",
            json!({ "type": "string", "enum": OrderBy::NAMES, "default": OrderBy::NAMES[0] }),
        )
        .parameter("desc", "Latest first", flag())
        .parameter(
            "query",
            "Only users of whom the name or an address contains this, in capitals or not; `search` in the answer says whether it has to begin with it",
            json!({ "type": "string", "maxLength": query::SEARCH_CHARS_MAX }),
        )
        .parameter("include_anonymous", "Anonymous users, too", flag())
        .parameter("only_anonymous", "Anonymous users only", flag())
        .answers::<UsersPage>();
    Routes::default().get("/api/v1/tenancies/{tenancy_id}/users", show, description)
}

async fn show(
    State(console): State<Console>,
    path: PathParameters,
    query: Query,
) -> Result<Json<UsersPage>, Problem> {
    let query = UsersQuery::read(path.tenancy_id()?, query)?;
    Ok(Json(list(&console, &query).await?))
}

/// That the tenancy is known, and that there are users at all.
pub(crate) async fn require_tenancy(console: &Console, tenancy_id: Uuid) -> Result<(), Problem> {
    if !console.config.database.user_tables {
        return Err(Problem::not_found("there are no users here: database.user_tables is false"));
    }
    let client = console.internal.get().await?;
    if sql::is_tenancy(&client, tenancy_id).await? {
        return Ok(());
    }
    Err(Problem::not_found("there is no such tenancy; `tenancy list` shows them"))
}
