//! `/api/v1/session`: a login for browsers.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::access::{Access, Client, is_same_origin};
use crate::http::{Body, Problem, Query};
use crate::routes::{Routes, endpoint};
use crate::state::Console;

/// A login.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignIn {
    /// An admin key.
    key: String,
}

pub(super) fn routes() -> Routes {
    let path = "/api/v1/session";
    Routes::default()
        .post(path, sign_in, endpoint("Begin a session: sets a cookie").takes::<SignIn>().open())
        .delete(path, sign_out, endpoint("End the session in this browser").open())
}

async fn sign_in(
    State(console): State<Console>,
    client: Client,
    headers: HeaderMap,
    query: Query,
    Body(body): Body<SignIn>,
) -> Result<impl IntoResponse, Problem> {
    query.none()?;
    refuse_other_sites(&headers)?;
    let (operator, cookie) = console.access.sign_in(&body.key, &client)?;
    tracing::info!(name = operator.name, address = %client.address, "logged in");
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]))
}

async fn sign_out(client: Client, headers: HeaderMap, query: Query) -> Result<impl IntoResponse, Problem> {
    query.none()?;
    refuse_other_sites(&headers)?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, Access::sign_out(&client))]))
}

/// Programs say neither; a browser says where the page came from.
fn refuse_other_sites(headers: &HeaderMap) -> Result<(), Problem> {
    let from_browser = headers.contains_key("sec-fetch-site") || headers.contains_key(header::ORIGIN);
    if from_browser && !is_same_origin(headers) {
        return Err(Problem::forbidden("another site's page cannot log in or out here"));
    }
    Ok(())
}
