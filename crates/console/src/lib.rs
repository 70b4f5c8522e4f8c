//! The console: an admin API and a dashboard on one listener.
//!
//! ```text
//! request ─▶ room? ─▶ security headers ─▶ /api/v1/…: whose key or session? ─▶ handler ─▶ JSON, or a problem
//! ```
//!
//! It holds no state that another console does not have: any number may run, behind any balancer. It answers while
//! the internal Postgres is away, saying so, and never connects to a target but to check one.

mod access;
pub mod activity;
mod api;
mod audit;
pub mod cache;
mod events;
mod http;
pub mod metrics;
mod pages;
mod routes;
mod samples;
mod serve;
mod state;
mod status;
mod targets;
mod told;
mod triggers;
pub mod users;

use std::sync::Arc;

use anyhow::Context as _;
use tenant_sync_core::config::Config;
use tenant_sync_core::worker::{Kind, Worker};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use http::Problem;
pub use state::Console;

/// Runs a console until `shutdown`.
///
/// # Errors
/// `console.admin_keys` is empty or malformed, `console.listen` is taken, or one of its tasks failed.
pub async fn run(config: Arc<Config>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let stopping = shutdown.child_token();
    let console = Console::new(Arc::clone(&config), stopping.clone())?;
    let address = config.console.listen;
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("console.listen {address} cannot be used"))?;
    // It answers from the beginning, if only that the database is away.
    let server = tokio::spawn(serve::serve(listener, console.clone(), stopping.clone()));
    let started = Worker::start(Kind::Console, config, &stopping).await;
    let mut worker = match started {
        Ok(Some(worker)) => worker,
        unable => {
            stopping.cancel();
            server.await??;
            unable?;
            return Ok(());
        }
    };
    tracing::info!(address = format!("http://{address}"), "serving");
    if console.config.database.user_tables {
        worker.spawn("activity", activity::run(console.clone(), worker.stopping()));
        worker.spawn("search", users::search::run(console.internal.clone(), worker.stopping()));
    }
    worker.spawn("cache", cache::run(console.internal.clone(), worker.stopping()));
    worker.spawn("events", events::run(console.clone(), worker.stopping()));
    worker.spawn("samples", samples::run(console, worker.stopping()));
    let ending = worker.stopping();
    worker.spawn("http", async move {
        tokio::pin!(server);
        tokio::select! {
            ended = &mut server => return ended?,
            () = ending.cancelled() => stopping.cancel(),
        }
        server.await?
    });
    Ok(worker.run().await?)
}
