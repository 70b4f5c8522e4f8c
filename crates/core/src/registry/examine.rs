//! Looking at a target before it is stored, and later whenever somebody asks.

use crate::target::check::{CheckReport, CheckRequest, check};
use crate::target::dial::Dialer;
use crate::target::url::TargetUrl;

/// What the customer sees of a session that only looks.
const APPLICATION_NAME: &str = "tenant-sync check";

/// Connects to a target and checks it; changes nothing there. `own_root` is its own root certificate (PEM).
pub async fn examine(
    dialer: &Dialer,
    url: &TargetUrl,
    own_root: Option<&str>,
    request: &CheckRequest,
) -> CheckReport {
    match dialer.connect(url, own_root, APPLICATION_NAME).await {
        Ok(session) => {
            let report = check(&session, request).await;
            session.close().await;
            report
        }
        Err(error) => CheckReport::unreachable(&error.fault()),
    }
}
