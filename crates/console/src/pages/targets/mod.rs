//! The table of targets, and a target's own page.

mod detail;
mod list;
mod progress;
mod refused;

use axum::Router;

use crate::state::Console;

pub(super) fn router() -> Router<Console> {
    list::router().merge(detail::router()).merge(refused::router())
}

/// Address of a target's page.
fn path_of(tenancy_id: uuid::Uuid, id: &str) -> String {
    format!("/targets/{tenancy_id}/{id}")
}
