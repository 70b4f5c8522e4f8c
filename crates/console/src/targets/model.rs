//! What a target looks like from outside. No secrets.

use schemars::JsonSchema;
use serde::Serialize;
use tenant_sync_core::registry::browse::{self, Trouble};
use tenant_sync_core::registry::targets::Target;
use tenant_sync_core::status::TargetStatus;
use tenant_sync_core::target::check::{CheckReport, Severity};
use tenant_sync_core::target::class::ErrorClass;
use uuid::Uuid;

use crate::http::At;
use crate::state::Console;
use crate::status::{Count, MappingLag};

/// A target with how far it is.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TargetLine {
    pub(crate) tenancy_id: Uuid,
    /// Its id within the tenancy.
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// `ok`, `retrying`, `broken`, `paused` or `refused`.
    pub(crate) state: String,
    /// What went wrong last, in our words.
    pub(crate) last_error: Option<String>,
    /// The class of it.
    pub(crate) last_error_class: Option<String>,
    /// What to do about it.
    pub(crate) advice: Option<&'static str>,
    pub(crate) consecutive_failures: i32,
    pub(crate) next_attempt_at: Option<At>,
    pub(crate) last_success_at: Option<At>,
    /// The connection string without its password.
    pub(crate) connection: Option<String>,
    /// Schema in the target.
    pub(crate) schema: String,
    pub(crate) created_at: At,
    /// Rows written since it was added.
    pub(crate) rows_written: i64,
    /// Age of the oldest change that it lacks, over its mappings.
    pub(crate) lag_millis: u64,
    /// Rows that it lacks, over its mappings.
    pub(crate) rows_behind: Count,
    pub(crate) mappings: Vec<MappingLag>,
}

impl TargetLine {
    pub(crate) fn new(console: &Console, status: &TargetStatus) -> Self {
        let target = &status.target;
        let class = target.last_error_class.as_deref().and_then(ErrorClass::from_code);
        let mappings: Vec<MappingLag> = status.mappings.iter().map(MappingLag::from).collect();
        let default_schema = &console.config.sync.schema;
        Self {
            tenancy_id: target.key.tenancy_id,
            id: target.key.database_id.clone(),
            kind: "postgres",
            state: target.state.clone(),
            last_error: target.last_error.clone(),
            last_error_class: target.last_error_class.clone(),
            advice: class.map(ErrorClass::advice),
            consecutive_failures: target.consecutive_failures,
            next_attempt_at: target.next_attempt_at.map(At),
            last_success_at: target.last_success_at.map(At),
            connection: target.settings.display_url.clone(),
            schema: target.settings.schema.clone().unwrap_or_else(|| default_schema.clone()),
            created_at: At(target.created_at),
            rows_written: status.rows_written,
            lag_millis: mappings.iter().map(|mapping| mapping.lag_millis).max().unwrap_or(0),
            rows_behind: Count {
                count: mappings.iter().map(|mapping| mapping.rows_behind.count).sum(),
                at_least: mappings.iter().any(|mapping| mapping.rows_behind.at_least),
            },
            mappings,
        }
    }
}

/// A page of targets.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TargetPage {
    pub(crate) targets: Vec<TargetLine>,
    /// Where the next page begins.
    pub(crate) next_cursor: Option<String>,
}

/// A target with its settings.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TargetDetail {
    #[serde(flatten)]
    pub(crate) line: TargetLine,
    /// Names of the mappings that were chosen; null = all.
    pub(crate) chosen_mappings: Option<Vec<String>>,
    pub(crate) read_roles: Vec<String>,
    /// Whether it has root certificates of its own.
    pub(crate) own_certificates: bool,
    pub(crate) updated_at: At,
    /// A worker writes to it right now.
    pub(crate) running: bool,
}

impl TargetDetail {
    pub(super) fn new(line: TargetLine, target: &Target, running: bool) -> Self {
        Self {
            line,
            chosen_mappings: target.settings.mappings.clone(),
            read_roles: target.settings.read_roles.clone(),
            own_certificates: target.settings.ca_certificates.is_some(),
            updated_at: At(target.updated_at),
            running,
        }
    }
}

/// Targets with the same trouble.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cause {
    /// Their state.
    pub(crate) state: String,
    /// Class of the last error; null for those that are merely paused.
    pub(crate) class: Option<String>,
    /// The class in words.
    pub(crate) sentence: Option<&'static str>,
    /// What to do about it.
    pub(crate) advice: Option<&'static str>,
    pub(crate) targets: Count,
}

impl From<Trouble> for Cause {
    fn from(trouble: Trouble) -> Self {
        let class = trouble.class.as_deref().and_then(ErrorClass::from_code);
        Self {
            state: trouble.state,
            class: trouble.class,
            sentence: class.map(ErrorClass::sentence),
            advice: class.map(ErrorClass::advice),
            targets: Count::up_to(browse::COUNT_MAX, trouble.targets),
        }
    }
}

/// What was found in a target.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CheckAnswer {
    /// Whether it can be used.
    pub(crate) ok: bool,
    /// Whether a session could be opened.
    pub(crate) reachable: bool,
    /// Such as 150004.
    pub(crate) server_version: Option<i32>,
    pub(crate) encrypted: bool,
    /// Whether the server's certificate was verified for its name.
    pub(crate) verified: bool,
    /// Whether a pooler stands in front.
    pub(crate) pooler: bool,
    /// Worst first.
    pub(crate) findings: Vec<FindingLine>,
}

/// One thing that was found.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FindingLine {
    /// `info`, `warning` or `error`.
    pub(crate) severity: &'static str,
    /// A stable name.
    pub(crate) code: &'static str,
    pub(crate) summary: String,
    /// What to do, in words that can be sent to the customer.
    pub(crate) advice: Option<String>,
    /// SQL to paste.
    pub(crate) sql: Option<String>,
}

impl From<CheckReport> for CheckAnswer {
    fn from(report: CheckReport) -> Self {
        let findings = report.findings.into_iter().map(|finding| FindingLine {
            severity: match finding.severity {
                Severity::Info => "info",
                Severity::Warning => "warning",
                Severity::Error => "error",
            },
            code: finding.code,
            summary: finding.summary,
            advice: finding.advice,
            sql: finding.sql,
        });
        Self {
            ok: report.ok,
            reachable: report.reachable,
            server_version: report.server_version,
            encrypted: report.encrypted,
            verified: report.verified,
            pooler: report.pooler,
            findings: findings.collect(),
        }
    }
}
