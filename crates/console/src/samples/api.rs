//! `…/history`, and that of one target.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tenant_sync_core::outbox::TargetKey;
use time::OffsetDateTime;

use super::sql;
use crate::api::sync;
use crate::http::{At, Json, PathParameters, Problem, Query};
use crate::routes::{Routes, endpoint};
use crate::state::Console;
use crate::targets::key_of;

/// How far back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    /// A minute in each point.
    Hour,
    /// Ten minutes in each point.
    Day,
}

impl Span {
    const NAMES: [&str; 2] = ["hour", "day"];

    fn named(name: Option<&str>) -> Self {
        if name == Some("day") { Self::Day } else { Self::Hour }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    fn length(self) -> Duration {
        match self {
            Self::Hour => Duration::from_secs(3_600),
            Self::Day => Duration::from_secs(86_400),
        }
    }

    fn bucket(self) -> Duration {
        match self {
            Self::Hour => Duration::from_secs(60),
            Self::Day => Duration::from_secs(600),
        }
    }
}

/// The last hour or day; a point for each stretch in which there were samples.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct History {
    /// `hour` or `day`.
    pub(crate) span: &'static str,
    /// Length of a stretch.
    pub(crate) bucket_seconds: u64,
    pub(crate) points: Vec<Point>,
}

/// Means over a stretch of time; what was not known in it is null.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Point {
    /// Its beginning.
    pub(crate) at: Option<At>,
    /// Ids given a second, since the stretch before.
    pub(crate) changes_per_second: Option<f64>,
    /// Rows that waited for an id.
    pub(crate) pending_rows: Option<f64>,
    /// Requests that waited for a worker.
    pub(crate) pending_requests: Option<f64>,
    /// Messages in RabbitMQ.
    pub(crate) queue_depth: Option<f64>,
    /// Rows written to targets a second.
    pub(crate) rows_per_second: Option<f64>,
    /// Half of the targets that were looked at lagged no more than this.
    pub(crate) lag_p50_millis: Option<f64>,
    /// 99 of 100 of them lagged no more than this.
    pub(crate) lag_p99_millis: Option<f64>,
    /// Targets whose state was not `ok`.
    pub(crate) troubled_targets: Option<f64>,
}

/// A target's lag in the last hour or day.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TargetHistory {
    /// `hour` or `day`.
    pub(crate) span: &'static str,
    /// Length of a stretch.
    pub(crate) bucket_seconds: u64,
    pub(crate) points: Vec<LagPoint>,
}

/// The highest lag in a stretch of time.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LagPoint {
    /// Its beginning.
    pub(crate) at: At,
    pub(crate) lag_millis: f64,
}

const NAMES: [&str; 8] = [
    "lastSequenceId",
    "pendingRows",
    "pendingRequests",
    "queueDepth",
    "rowsPerSecond",
    "lagP50Millis",
    "lagP99Millis",
    "troubledTargets",
];

pub(crate) fn routes() -> Routes {
    let span = json!({ "type": "string", "enum": Span::NAMES, "default": "hour" });
    Routes::default()
        .get(
            sync!("/history"),
            show,
            endpoint("The last hour or day, for charts")
                .parameter("span", "How far back", span.clone())
                .answers::<History>(),
        )
        .get(
            "/api/v1/tenancies/{tenancy_id}/targets/{target_id}/history",
            show_target,
            endpoint(
                "A target's lag in the last hour or day. A hundred targets are looked at in a minute, chosen at random \
                 where there are more",
            )
            .parameter("span", "How far back", span)
            .answers::<TargetHistory>(),
        )
}

fn span(query: Query) -> Result<Span, Problem> {
    query.read(|q| Ok(Span::named(q.one_of("span", &Span::NAMES)?)))
}

async fn show(State(console): State<Console>, query: Query) -> Result<Json<History>, Problem> {
    Ok(Json(history(&console, span(query)?).await?))
}

/// The last hour or day.
pub(crate) async fn history(console: &Console, span: Span) -> Result<History, Problem> {
    let client = console.internal.get().await?;
    // One stretch more, to know from what the first change is.
    let means = sql::means(&client, &NAMES, span.length() + span.bucket(), span.bucket()).await?;
    let mut buckets: BTreeMap<OffsetDateTime, BTreeMap<String, (f64, f64)>> = BTreeMap::new();
    for mean in means {
        buckets.entry(mean.at).or_default().insert(mean.name, (mean.mean, mean.highest));
    }
    let mut points = Vec::with_capacity(buckets.len());
    let mut before: Option<(OffsetDateTime, f64)> = None;
    for (at, values) in buckets {
        let mean = |name: &str| values.get(name).map(|(mean, _)| *mean);
        let id = values.get("lastSequenceId").map(|(_, highest)| *highest);
        let changes = id
            .zip(before)
            .map(|(id, (since, from))| (id - from).max(0.0) / (at - since).as_seconds_f64().max(1.0));
        before = id.map(|id| (at, id)).or(before);
        points.push(Point {
            at: Some(At(at)),
            changes_per_second: changes,
            pending_rows: mean("pendingRows"),
            pending_requests: mean("pendingRequests"),
            queue_depth: mean("queueDepth"),
            rows_per_second: mean("rowsPerSecond"),
            lag_p50_millis: mean("lagP50Millis"),
            lag_p99_millis: mean("lagP99Millis"),
            troubled_targets: mean("troubledTargets"),
        });
    }
    let oldest = OffsetDateTime::now_utc() - span.length() - span.bucket();
    points.retain(|point| point.at.is_some_and(|at| at.0 >= oldest));
    Ok(History { span: span.name(), bucket_seconds: span.bucket().as_secs(), points })
}

async fn show_target(
    State(console): State<Console>,
    path: PathParameters,
    query: Query,
) -> Result<Json<TargetHistory>, Problem> {
    let span = span(query)?;
    Ok(Json(target_history(&console, &key_of(&path)?, span).await?))
}

/// A target's lag in the last hour or day; empty for one that is not there.
pub(crate) async fn target_history(
    console: &Console,
    key: &TargetKey,
    span: Span,
) -> Result<TargetHistory, Problem> {
    let client = console.internal.get().await?;
    let lags = sql::lags(&client, key, span.length(), span.bucket()).await?;
    let points = lags.into_iter().map(|(at, lag_millis)| LagPoint { at: At(at), lag_millis }).collect();
    Ok(TargetHistory { span: span.name(), bucket_seconds: span.bucket().as_secs(), points })
}
