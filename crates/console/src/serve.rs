//! The listener, and what every request goes through.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::http::{Fault, Problem, headers};
use crate::state::Console;
use crate::{api, pages};

/// Connections that are still open this long after the console was asked to stop are closed.
const STOP_WITHIN: Duration = Duration::from_secs(3);

/// Longest time to an answer. Checking a target that does not answer takes the longest, about half of this.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Serves until `stopping`.
///
/// # Errors
/// The listener fails.
pub(crate) async fn serve(
    listener: TcpListener,
    console: Console,
    stopping: CancellationToken,
) -> anyhow::Result<()> {
    let service = router(&console).into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(stopping.clone().cancelled_owned());
    tokio::select! {
        served = async { serving.await } => Ok(served?),
        () = async { stopping.cancelled().await; tokio::time::sleep(STOP_WITHIN).await } => Ok(()),
    }
}

/// Everything that is served.
pub(crate) fn router(console: &Console) -> Router {
    let room = Arc::new(Semaphore::new(console.config.console.max_requests));
    Router::new()
        .merge(api::router(console))
        .merge(pages::router())
        .fallback(pages::missing)
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(DefaultBodyLimit::max(console.config.console.max_body_bytes))
        .layer(middleware::from_fn_with_state(console.clone(), with_its_fault_told))
        .layer(middleware::from_fn_with_state(room, with_room))
        .layer(middleware::from_fn(headers::add))
        .with_state(console.clone())
}

/// A request has its room until its answer begins; streams of events are counted apart.
async fn with_room(State(room): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let Ok(_place) = room.try_acquire() else {
        return Problem::busy("too many requests are in progress; try again in a moment").into_response();
    };
    match tokio::time::timeout(ANSWER_WITHIN, next.run(request)).await {
        Ok(answer) => answer,
        Err(_) => Problem::busy("this took too long and was given up").into_response(),
    }
}

/// What a handler could not do, and does not show, is told in the log.
async fn with_its_fault_told(State(console): State<Console>, request: Request, next: Next) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let mut answer = next.run(request).await;
    if let Some(Fault(reason)) = answer.extensions_mut().remove::<Fault>() {
        console.told.fault(method.as_str(), uri.path(), &reason);
    }
    answer
}
