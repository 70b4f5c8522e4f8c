//! Metrics in Prometheus' text format. One recorder for the process, whoever asks for it.

pub mod catalog;
mod metric;

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use self::catalog::Shape;
use super::instance::Kind;

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Bounds of all histograms whose name ends in `_seconds`.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0];

/// Those of the lag, which may be that of a target that was away.
const LAG: [f64; 16] =
    [0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0];

/// The recorder could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The bounds are wrong.
    #[error("metrics: {0}")]
    Build(#[from] metrics_exporter_prometheus::BuildError),
    /// Another recorder is there already.
    #[error("metrics: {0}")]
    Taken(String),
}

/// Installs the recorder. A second call changes nothing.
///
/// # Errors
/// Another library's recorder is installed.
pub fn install() -> Result<(), MetricsError> {
    if HANDLE.get().is_some() {
        return Ok(());
    }
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Full("tenant_sync_lag_seconds".into()), &LAG)?;
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|e| MetricsError::Taken(e.to_string()))?;
    let _ = HANDLE.set(handle);
    for metric in catalog::ALL {
        match metric.shape {
            Shape::Counter => describe_counter!(metric.name, metric.unit(), metric.help),
            Shape::Gauge => describe_gauge!(metric.name, metric.unit(), metric.help),
            Shape::Histogram => describe_histogram!(metric.name, metric.unit(), metric.help),
        }
    }
    Ok(())
}

/// Lets every counter of this kind of worker begin at zero, in all its series: what never happened is seen as that,
/// and the first time is an increase. Says which version runs.
pub(super) fn begin(kind: Kind) {
    for metric in catalog::ALL.iter().filter(|metric| metric.by.contains(&kind)) {
        if metric.shape == Shape::Counter {
            for labels in metric.series() {
                counter!(metric.name, &labels).increment(0);
            }
        }
    }
    gauge!("tenant_sync_build_info", "worker" => kind.name(), "version" => env!("CARGO_PKG_VERSION"))
        .set(1.0);
}

/// All metrics of the process as text; empty before [`install`].
#[must_use]
pub fn render() -> String {
    HANDLE.get().map(PrometheusHandle::render).unwrap_or_default()
}

/// Folds the samples of histograms every few seconds: without it they would pile up where nobody scrapes.
pub(super) async fn upkeep(shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(Duration::from_secs(5));
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        if let Some(handle) = HANDLE.get() {
            handle.run_upkeep();
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_counted_is_rendered() {
        super::install().expect("first");
        super::install().expect("second changes nothing");
        metrics::counter!("unit_test_total", "lane" => "live").increment(3);
        metrics::histogram!("unit_test_seconds").record(0.02);
        let text = super::render();
        assert!(text.contains("unit_test_total{lane=\"live\"} 3"), "{text}");
        assert!(text.contains("unit_test_seconds_bucket{le=\"0.025\"} 1"), "{text}");
    }
}
