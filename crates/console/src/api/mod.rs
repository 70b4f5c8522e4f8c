//! The admin API: `/api/v1/…`.

pub(crate) mod fusebox;
mod mappings;
mod passes;
pub(crate) mod requests;
mod session;
pub(crate) mod tenancies;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Router, middleware};
use serde_json::Value;

use crate::http::{Json, Problem, Query};
use crate::routes::{Routes, endpoint};
use crate::state::Console;
use crate::{access, audit, events, samples, status, targets};

/// Everything about syncing.
macro_rules! sync {
    ($path:literal) => {
        concat!("/api/v1/internal/external-db-sync", $path)
    };
}
pub(crate) use sync;

/// What needs a key. A module of the API adds its table here.
fn guarded() -> Routes {
    Routes::default()
        .and(status::routes())
        .and(fusebox::routes())
        .and(targets::routes())
        .and(passes::routes())
        .and(requests::routes())
        .and(crate::triggers::routes())
        .and(mappings::routes())
        .and(tenancies::routes())
        .and(audit::routes())
        .and(events::routes())
        .and(samples::routes())
        .and(crate::users::routes())
        .and(crate::metrics::routes())
}

/// What needs none.
fn open() -> Routes {
    Routes::default().and(session::routes()).get(
        "/api/v1/openapi.json",
        openapi,
        endpoint("This document").answers::<std::collections::BTreeMap<String, Value>>().open(),
    )
}

/// The routes of the API.
pub(crate) fn router(console: &Console) -> Router<Console> {
    let (open_router, _) = open().finish();
    let (guarded_router, _) = guarded().finish();
    let guard = middleware::from_fn_with_state(console.clone(), access::require);
    open_router.merge(guarded_router.route_layer(guard))
}

/// What all of it is, for programs.
pub(crate) fn document() -> Arc<Value> {
    guarded().and(open()).finish().1
}

async fn openapi(State(console): State<Console>, query: Query) -> Result<Response, Problem> {
    query.none()?;
    Ok(Json(&*console.openapi).into_response())
}
