//! Samples as charts.

use std::time::Duration;

use tenant_sync_core::outbox::TargetKey;
use time::OffsetDateTime;

use super::overview::facts::Lag;
use super::view::chart::{Lines, Series, Unit};
use crate::http::Problem;
use crate::samples::api::{self as samples, History, Point, Span};
use crate::state::Console;

const NOTHING_YET: &str = "No samples yet: the first points come within a minute or two.";

/// The last hour.
pub(super) async fn read(console: &Console) -> Result<History, Problem> {
    samples::history(console, Span::Hour).await
}

/// A name, and what it is of a point.
type Part = (&'static str, fn(&Point) -> Option<f64>);

/// The charts of the first page.
pub(super) fn charts(history: &History) -> Vec<Lines> {
    let lines = |title, unit, parts: &[Part]| {
        hour(title, unit, parts.iter().map(|part| series(history, part)).collect())
    };
    vec![
        lines(
            "Throughput",
            Unit::Of("a second"),
            &[("changes in", |p| p.changes_per_second), ("rows written", |p| p.rows_per_second)],
        ),
        lines(
            "Lag of the targets",
            Unit::Seconds,
            &[
                ("p50", |p| p.lag_p50_millis.map(|ms| ms / 1000.0)),
                ("p99", |p| p.lag_p99_millis.map(|ms| ms / 1000.0)),
            ],
        ),
        lines("Rows that wait for an id", Unit::Of("rows"), &[("waiting", |p| p.pending_rows)]),
        lines(
            "Jobs on their way",
            Unit::Of("jobs"),
            &[("due in the outbox", |p| p.pending_requests), ("in RabbitMQ", |p| p.queue_depth)],
        ),
    ]
}

fn hour(title: &'static str, unit: Unit, series: Vec<Series>) -> Lines {
    let to = OffsetDateTime::now_utc();
    Lines {
        title,
        unit,
        series,
        from: to - time::Duration::HOUR,
        to,
        gap: time::Duration::minutes(3),
        empty: NOTHING_YET,
    }
}

fn series(history: &History, (name, value): &Part) -> Series {
    let points = history.points.iter();
    Series { name, points: points.filter_map(|point| Some((point.at?.0, value(point)?))).collect() }
}

/// What the lag was when it was last looked at; `None` = not within three minutes.
pub(super) fn latest_lag(history: &History) -> Option<Lag> {
    let fresh = OffsetDateTime::now_utc() - time::Duration::minutes(3);
    let point = history.points.iter().rev().find(|point| point.lag_p50_millis.is_some())?;
    let millis = |value: Option<f64>| value.map(|ms| Duration::from_secs_f64(ms.max(0.0) / 1000.0));
    let lag = Lag { p50: millis(point.lag_p50_millis)?, p99: millis(point.lag_p99_millis)? };
    point.at.is_some_and(|at| at.0 > fresh).then_some(lag)
}

/// A target's lag in the last hour.
pub(super) async fn of_target(console: &Console, key: &TargetKey) -> Result<Lines, Problem> {
    let history = samples::target_history(console, key, Span::Hour).await?;
    let points = history.points.iter().map(|point| (point.at.0, point.lag_millis / 1000.0)).collect();
    Ok(hour("Lag in the last hour", Unit::Seconds, vec![Series { name: "lag", points }]))
}
