//! `…/tenancies/{id}/metrics`: how many users a tenant has, where they are, and how many come back.

mod load;
mod sql;

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderName, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::cache::{CacheError, Key};
use crate::http::{At, Json, PathParameters, Problem, Query};
use crate::routes::{Routes, endpoint};
use crate::state::Console;
use crate::users::User;

/// Days that are shown, today included.
pub(crate) const DAYS: i64 = 31;

/// A tenant's users in numbers. Days are those of UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// All users.
    pub(crate) total_users: i64,
    /// Users who signed up, for each of the last 31 days, today last.
    pub(crate) daily_sign_ups: Vec<DayCount>,
    /// Users with activity, for each of the last 31 days, today last. Who was deleted since still counts.
    pub(crate) daily_active_users: Vec<DayCount>,
    /// By the latest known country, most users first.
    pub(crate) users_by_country: Vec<CountryCount>,
    /// Users of whom no country is known.
    pub(crate) users_without_country: i64,
    /// The ten who signed up last.
    pub(crate) recently_registered: Vec<User>,
    /// The ten who were active last.
    pub(crate) recently_active: Vec<User>,
    /// Users by the ways in which they can sign in; a user may have several.
    pub(crate) sign_in_methods: Vec<MethodCount>,
    /// Whether all activity was counted; false for a while after an import of events.
    pub(crate) activity_complete: bool,
    /// When this was worked out.
    pub(crate) computed_at: At,
}

/// Users of a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DayCount {
    /// `2026-01-31`
    #[schemars(extend("format" = "date"))]
    pub(crate) day: String,
    pub(crate) users: i64,
}

/// Users of a country.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CountryCount {
    /// As the application has it, usually ISO 3166-1: `DE`
    pub(crate) country_code: String,
    pub(crate) users: i64,
}

/// Users of a way to sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MethodCount {
    /// `password`, `otp`, `passkey` or `oauth`
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    /// Of `oauth`: whose.
    pub(crate) provider: Option<String>,
    pub(crate) users: i64,
}

/// Metrics from the cache, with their age.
#[derive(Debug, Clone)]
pub struct Aged {
    /// What was worked out.
    pub(crate) metrics: Metrics,
    /// Since then.
    pub(crate) age: Duration,
}

impl Aged {
    /// Since the metrics were worked out.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.age
    }
}

pub(crate) fn routes() -> Routes {
    let description = endpoint(
        "A tenant's users in numbers; worked out at most once in console.metrics_ttl, the header Age says how long ago",
    )
    .parameter("include_anonymous", "Anonymous users, too", json!({ "type": "boolean", "default": false }))
    .answers::<Metrics>();
    Routes::default().get("/api/v1/tenancies/{tenancy_id}/metrics", show, description)
}

async fn show(
    State(console): State<Console>,
    path: PathParameters,
    query: Query,
) -> Result<([(HeaderName, String); 1], Json<Metrics>), Problem> {
    let tenancy_id = path.tenancy_id()?;
    let include_anonymous = query.read(|q| q.flag("include_anonymous"))?;
    let aged = of(&console, tenancy_id, include_anonymous).await?;
    Ok(([(header::AGE, aged.age.as_secs().to_string())], Json(aged.metrics)))
}

/// The metrics of a tenancy, from the cache or worked out.
///
/// # Errors
/// The tenancy is unknown, or the internal Postgres does not answer.
pub async fn of(console: &Console, tenancy_id: Uuid, include_anonymous: bool) -> Result<Aged, Problem> {
    if !console.config.database.user_tables {
        crate::users::require_tenancy(console, tenancy_id).await?;
    }
    let key = Key {
        namespace: "metrics-1",
        tenancy_id,
        detail: if include_anonymous { "all" } else { "known" }.to_owned(),
    };
    let loader = console.clone();
    let load = async move || load::metrics(&loader, tenancy_id, include_anonymous).await.and_then(as_json);
    let cached =
        console.cache.get_or_load(key, console.config.console.metrics_ttl, load).await.map_err(problem)?;
    let metrics = Metrics::deserialize(&*cached.value).map_err(|error| Problem::internal(&error))?;
    Ok(Aged { metrics, age: cached.age })
}

fn as_json(metrics: Metrics) -> Result<serde_json::Value, Problem> {
    serde_json::to_value(metrics).map_err(|error| Problem::internal(&error))
}

fn problem(error: CacheError<Problem>) -> Problem {
    match error {
        CacheError::Load(problem) => problem,
        CacheError::Waited => Problem::busy("the metrics are still being worked out; ask again in a moment"),
        CacheError::Ttl(error) => Problem::internal(&error),
        CacheError::Database(error) => match std::sync::Arc::try_unwrap(error) {
            Ok(error) => error.into(),
            Err(_) => Problem::busy("the internal Postgres does not answer"),
        },
    }
}
