//! `GET /healthz` (alive), `GET /readyz` (its dependencies answer) and `GET /metrics`.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::metrics;
use crate::db::Internal;

/// Longest wait for one probe. Orchestrators give up on the whole request after a second or a few.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

type Answer = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

#[derive(Clone)]
struct Probe {
    name: &'static str,
    ask: Arc<dyn Fn() -> Answer + Send + Sync>,
}

/// The probes of one worker's dependencies. Cheap to clone.
#[derive(Clone, Default)]
pub struct Health {
    probes: Arc<Mutex<Vec<Probe>>>,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.snapshot().iter().map(|p| p.name)).finish()
    }
}

impl Health {
    /// Adds a dependency: `/readyz` is 200 only while every probe says `Ok` within 2 s. The text of an error
    /// is shown to whoever asks, so it must not hold secrets.
    pub fn add<F, A>(&self, name: &'static str, probe: F)
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<(), String>> + Send + 'static,
    {
        let ask = Arc::new(move || Box::pin(probe()) as Answer);
        self.probes.lock().unwrap_or_else(PoisonError::into_inner).push(Probe { name, ask });
    }

    /// Adds the internal Postgres: a session of the pool answers `select 1`.
    pub fn add_postgres(&self, internal: &Internal) {
        let internal = internal.clone();
        self.add("postgres", move || {
            let internal = internal.clone();
            async move {
                let client = internal.get().await.map_err(|e| e.to_string())?;
                client.simple_query("select 1").await.map_err(|e| crate::db::describe(&e))?;
                Ok(())
            }
        });
    }

    /// Asks all dependencies at once. Takes at most 2 s.
    pub async fn check(&self) -> Readiness {
        self.check_within(PROBE_TIMEOUT).await
    }

    async fn check_within(&self, timeout: Duration) -> Readiness {
        let asked = self.snapshot().into_iter().map(|probe| async move {
            let answer = tokio::time::timeout(timeout, (probe.ask)()).await;
            (probe.name, answer.unwrap_or_else(|_| Err("no answer".to_owned())))
        });
        Readiness { checks: futures_util::future::join_all(asked).await }
    }

    fn snapshot(&self) -> Vec<Probe> {
        self.probes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the dependencies said.
#[derive(Debug)]
pub struct Readiness {
    checks: Vec<(&'static str, Result<(), String>)>,
}

impl Readiness {
    /// Whether every dependency answered.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.checks.iter().all(|(_, answer)| answer.is_ok())
    }

    fn to_json(&self) -> serde_json::Value {
        let says =
            |answer: &Result<(), String>| answer.as_ref().err().cloned().unwrap_or_else(|| "ok".into());
        let checks: serde_json::Map<_, _> =
            self.checks.iter().map(|(name, answer)| ((*name).to_owned(), says(answer).into())).collect();
        serde_json::json!({ "ready": self.is_ready(), "checks": checks })
    }
}

#[derive(Clone)]
struct Shared {
    health: Health,
    stopping: CancellationToken,
}

/// Serves the three pages on `listener` until `stopping`; from then on `/readyz` is no longer 200.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    health: Health,
    stopping: CancellationToken,
) -> std::io::Result<()> {
    let pages = Router::new()
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_page))
        .with_state(Shared { health, stopping: stopping.clone() });
    let serving = axum::serve(listener, pages).with_graceful_shutdown(stopping.clone().cancelled_owned());
    tokio::select! {
        served = async { serving.await } => served,
        // A scraper that keeps its connection open holds up nobody.
        () = async { stopping.cancelled().await; tokio::time::sleep(Duration::from_secs(1)).await } => Ok(()),
    }
}

async fn readyz(State(shared): State<Shared>) -> impl IntoResponse {
    let readiness = shared.health.check().await;
    let ready = readiness.is_ready() && !shared.stopping.is_cancelled();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{}\n", readiness.to_json()))
}

async fn metrics_page() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics::render())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn page(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("connect");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("send");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("read");
        text
    }

    #[tokio::test]
    async fn ready_only_while_every_probe_answers() {
        let (health, stopping) = (Health::default(), CancellationToken::new());
        let up = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let probe = Arc::clone(&up);
        health.add("always", || async { Ok(()) });
        health.add("sometimes", move || {
            let up = probe.load(std::sync::atomic::Ordering::SeqCst);
            async move { if up { Ok(()) } else { Err("is away".to_owned()) } }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let server = tokio::spawn(serve(listener, health, stopping.clone()));

        assert!(page(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        assert!(page(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        assert!(page(address, "/metrics").await.starts_with("HTTP/1.1 200"));
        up.store(false, std::sync::atomic::Ordering::SeqCst);
        let text = page(address, "/readyz").await;
        assert!(text.starts_with("HTTP/1.1 503") && text.contains("\"sometimes\":\"is away\""), "{text}");
        assert!(page(address, "/healthz").await.starts_with("HTTP/1.1 200"));

        stopping.cancel();
        server.await.expect("task").expect("served");
    }

    #[tokio::test]
    async fn a_probe_that_hangs_is_not_waited_for() {
        let health = Health::default();
        health.add("hangs", std::future::pending);
        assert!(!health.check_within(Duration::from_millis(10)).await.is_ready());
    }
}
