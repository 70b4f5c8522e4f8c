//! The way to a target on real servers: TLS with real certificates, the guard, hostile servers, poolers
//! and what a check says.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

pub(crate) mod certificates;
mod checks;
mod cluster;
mod hostile;
mod pooler;
mod sessions;
mod tls;

use std::path::PathBuf;
use std::time::Duration;

use tenant_sync_core::config::{Network, TlsFloor};
use tenant_sync_core::target::dial::{DialError, Dialer, Session};
use tenant_sync_core::target::url::TargetUrl;

/// Long enough for a busy machine; no test waits for it to pass.
const STEP: Duration = Duration::from_secs(20);

/// Rules that allow servers on this machine.
fn network(floor: TlsFloor) -> Network {
    Network { allow_private: true, allow_cidrs: Vec::new(), tls: floor, ca_file: None }
}

fn dialer(floor: TlsFloor) -> Dialer {
    Dialer::new(&network(floor), STEP).unwrap()
}

fn dialer_with_ca_file(floor: TlsFloor, ca_file: PathBuf) -> Dialer {
    Dialer::new(&Network { ca_file: Some(ca_file), ..network(floor) }, STEP).unwrap()
}

async fn connect(dialer: &Dialer, url: &str, own_root: Option<&str>) -> Result<Session, DialError> {
    dialer.connect(&TargetUrl::parse(url).unwrap(), own_root, "tenant-sync test").await
}

async fn refused(dialer: &Dialer, url: &str, own_root: Option<&str>) -> DialError {
    connect(dialer, url, own_root).await.expect_err(url)
}

async fn text(session: &Session, question: &str) -> String {
    session.client().query_typed_one(question, &[]).await.unwrap().get(0)
}
