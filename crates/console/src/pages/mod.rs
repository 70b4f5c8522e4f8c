//! The dashboard: pages for people, made by the server from what the API's functions return.
//!
//! ```text
//! GET  /page          Shell (whose session?) ─▶ load (bounded queries) ─▶ view (plain structs to HTML)
//! GET  /live/page     the same regions of the page, again and again, as server-sent events
//! POST /page/action   the API's function, then back to the page with a notice
//! ```
//!
//! Everything can be done without JavaScript. With it numbers move by themselves and questions are asked in place.

mod address;
mod assets;
mod changes;
mod history;
mod kept;
mod live;
mod login;
mod metrics;
mod missing;
mod overview;
mod queues;
mod requests;
mod shell;
mod switches;
mod targets;
mod tenants;
mod triggers;
mod users;
mod view;

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use crate::state::Console;

pub(crate) use kept::Looks;
pub(crate) use missing::missing;

/// Everything outside of `/api/`.
pub(crate) fn router() -> Router<Console> {
    Router::new()
        .route("/assets/{name}", get(asset))
        .merge(login::router())
        .merge(overview::router())
        .merge(switches::router())
        .merge(targets::router())
        .merge(queues::router())
        .merge(requests::router())
        .merge(triggers::router())
        .merge(tenants::router())
        .merge(users::router())
        .merge(metrics::router())
}

/// Addresses of assets change with their content.
async fn asset(Path(name): Path<String>) -> Response {
    match assets::find(&name) {
        Some(asset) => {
            let kept = (header::CACHE_CONTROL, "public, max-age=31536000, immutable");
            ([(header::CONTENT_TYPE, asset.media_type), kept], asset.content).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
