//! Adding, checking and removing a target.

use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use tenant_sync_core::registry::tenancies::{self, TenancyRef};
use tenant_sync_core::registry::{Addition, Desk, Settings, SettingsError, target_key, targets};
use tenant_sync_core::target::check::{CheckReport, Severity};

use super::list::{detail, key_of, no_such};
use super::model::{CheckAnswer, TargetDetail};
use crate::access::Operator;
use crate::audit::{self, Change};
use crate::http::{Body, Json, PathParameters, Problem, Query};
use crate::routes::{Routes, endpoint};
use crate::state::Console;

/// A target to be added.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewTarget {
    /// 1 to 63 letters, digits, - or _.
    id: String,
    /// `postgres://user:password@host/database`
    #[schemars(with = "String")]
    connection_string: SecretString,
    /// Schema in the target; `sync.schema` unless given.
    #[serde(default)]
    schema: Option<String>,
    /// Names of the mappings that go there; all unless given.
    #[serde(default)]
    mappings: Option<Vec<String>>,
    /// Roles there that may read.
    #[serde(default)]
    read_roles: Vec<String>,
    /// Root certificates of its own, PEM.
    #[serde(default)]
    ca_certificates: Option<String>,
    /// Whether it is checked first, and not stored if it cannot be used.
    #[serde(default = "yes")]
    check: bool,
}

fn yes() -> bool {
    true
}

pub(super) fn routes() -> Routes {
    let one = "/api/v1/tenancies/{tenancy_id}/targets/{target_id}";
    Routes::default()
        .post(
            "/api/v1/tenancies/{tenancy_id}/targets",
            add,
            endpoint("Add a target, after checking it, and begin to fill it")
                .takes::<NewTarget>()
                .answers::<TargetDetail>(),
        )
        .post(
            "/api/v1/tenancies/{tenancy_id}/targets/{target_id}/check",
            check,
            endpoint("Look at a target; changes nothing there").answers::<CheckAnswer>(),
        )
        .delete(one, remove, endpoint("Forget a target; the customer's tables stay"))
}

async fn add(
    State(console): State<Console>,
    operator: Operator,
    path: PathParameters,
    query: Query,
    Body(body): Body<NewTarget>,
) -> Result<Json<TargetDetail>, Problem> {
    query.none()?;
    let tenancy_id = path.tenancy_id()?;
    let key = target_key(tenancy_id, &body.id).map_err(|error| Problem::invalid("id", error))?;
    let known = tenancies::find(&console.internal.get().await?, &TenancyRef::Id(tenancy_id)).await?;
    known.ok_or_else(|| Problem::not_found("there is no such tenancy"))?;
    let settings = Settings {
        url: body.connection_string,
        schema: body.schema,
        mappings: body.mappings,
        read_roles: body.read_roles,
        ca_certificates: body.ca_certificates,
    };
    let checked = console.desk.check(&key, &settings, body.check).await.map_err(|error| refused(&error))?;
    if let Some(report) = checked.report.as_ref().filter(|report| !report.ok) {
        return Err(Problem::check_failed(findings(report)));
    }
    let entry = Change::of("target.add").in_tenancy(tenancy_id).to(&key.database_id);
    let entry = entry.with(json!({ "connection": checked.stored.display_url, "checked": body.check }));
    let mut client = console.internal.get().await?;
    let transaction = client.transaction().await?;
    match Desk::insert(&transaction, &key, None, &checked.stored).await? {
        Addition::Added => {}
        Addition::IdTaken | Addition::BranchTaken(_) | Addition::KeyTaken(_) => {
            return Err(Problem::conflict("the tenancy has a target of this id already"));
        }
    }
    audit::record(&transaction, &operator, &entry).await?;
    transaction.commit().await?;
    drop(client);
    console.desk.ask("target add", std::slice::from_ref(&key)).await?;
    Ok(Json(detail(&console, &key).await?))
}

async fn check(
    State(console): State<Console>,
    path: PathParameters,
    query: Query,
) -> Result<Json<CheckAnswer>, Problem> {
    query.none()?;
    let key = key_of(&path)?;
    let target = targets::find(&console.internal.get().await?, &key).await?.ok_or_else(|| no_such(&key))?;
    let report = console.desk.check_stored(&target).await.map_err(|error| refused(&error))?;
    Ok(Json(report.into()))
}

async fn remove(
    State(console): State<Console>,
    operator: Operator,
    path: PathParameters,
    query: Query,
) -> Result<StatusCode, Problem> {
    query.none()?;
    let key = key_of(&path)?;
    let mut client = console.internal.get().await?;
    let transaction = client.transaction().await?;
    if !targets::remove(&transaction, &key).await? {
        return Err(no_such(&key));
    }
    let entry = Change::of("target.remove").in_tenancy(key.tenancy_id).to(&key.database_id);
    audit::record(&transaction, &operator, &entry).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Settings that cannot be used, by the field that is meant.
pub(super) fn refused(error: &SettingsError) -> Problem {
    let field = match error {
        SettingsError::Url(_) | SettingsError::NoUrl => "connectionString",
        SettingsError::Id => "id",
        SettingsError::Mapping { .. } => "mappings",
        SettingsError::Certificates => "caCertificates",
        SettingsError::TooMany { .. } => "readRoles",
        SettingsError::Name { what, .. } if what.contains("schema") => "schema",
        SettingsError::Name { .. } => "readRoles",
        SettingsError::Secrets(_) => return Problem::conflict(error.to_string()),
    };
    Problem::invalid(field, error)
}

/// Why a target cannot be used, in words that can be sent to the customer.
pub(super) fn findings(report: &CheckReport) -> String {
    let bad = report.findings.iter().filter(|finding| finding.severity == Severity::Error);
    let sentences = bad.map(|finding| match &finding.advice {
        Some(advice) => format!("{} {advice}", finding.summary),
        None => finding.summary.clone(),
    });
    sentences.collect::<Vec<_>>().join(" ")
}
