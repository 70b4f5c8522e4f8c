//! What a target looks like when it is printed, and what a check found, in words for its owner.

use std::fmt::Write as _;

use serde::Serialize;
use tenant_sync_core::registry::targets::Target;
use tenant_sync_core::target::check::{CheckReport, Finding, Severity};
use tenant_sync_core::target::class::ErrorClass;
use uuid::Uuid;

use crate::output::instant;

/// A target without its secrets.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TargetLine {
    pub(super) tenancy_id: Uuid,
    pub(super) id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    pub(super) display_url: Option<String>,
    /// The schema in use.
    pub(super) schema: String,
    /// Null = all.
    pub(super) mappings: Option<Vec<String>>,
    pub(super) read_roles: Vec<String>,
    pub(super) own_certificates: bool,
    pub(super) state: String,
    pub(super) last_error: Option<String>,
    last_error_class: Option<String>,
    /// What to do about the last error.
    pub(super) advice: Option<&'static str>,
    pub(super) consecutive_failures: i32,
    pub(super) next_attempt_at: Option<String>,
    pub(super) last_success_at: Option<String>,
    pub(super) created_at: String,
    updated_at: String,
}

impl TargetLine {
    pub(super) fn new(target: &Target, default_schema: &str) -> Self {
        let class = target.last_error_class.as_deref().and_then(ErrorClass::from_code);
        Self {
            tenancy_id: target.key.tenancy_id,
            id: target.key.database_id.clone(),
            kind: "postgres",
            display_url: target.settings.display_url.clone(),
            schema: target.settings.schema.clone().unwrap_or_else(|| default_schema.to_owned()),
            mappings: target.settings.mappings.clone(),
            read_roles: target.settings.read_roles.clone(),
            own_certificates: target.settings.ca_certificates.is_some(),
            state: target.state.clone(),
            last_error: target.last_error.clone(),
            last_error_class: target.last_error_class.clone(),
            advice: class.map(ErrorClass::advice),
            consecutive_failures: target.consecutive_failures,
            next_attempt_at: target.next_attempt_at.map(instant),
            last_success_at: target.last_success_at.map(instant),
            created_at: instant(target.created_at),
            updated_at: instant(target.updated_at),
        }
    }
}

/// The findings of a check, worst first, in words that can be sent to the customer.
pub(crate) fn explain(report: &CheckReport) -> String {
    report.findings.iter().map(finding).collect::<Vec<_>>().join("\n")
}

fn finding(finding: &Finding) -> String {
    let severity = match finding.severity {
        Severity::Error => "problem",
        Severity::Warning => "warning",
        Severity::Info => "note",
    };
    let mut text = format!("  {severity}: {}", finding.summary);
    if let Some(advice) = &finding.advice {
        let _ = write!(text, "\n    {advice}");
    }
    for line in finding.sql.iter().flat_map(|sql| sql.lines()) {
        let _ = write!(text, "\n      {line}");
    }
    text
}

/// One line on what a good target is.
pub(super) fn summary(report: &CheckReport) -> String {
    let version = report
        .server_version
        .map_or("an unknown version".into(), |v| format!("{}.{}", v / 10_000, v % 10_000));
    let protection = match (report.encrypted, report.verified) {
        (true, true) => "encrypted and verified",
        (true, false) => "encrypted, not verified",
        (false, _) => "not encrypted",
    };
    format!("PostgreSQL {version}, {protection}{}", if report.pooler { ", behind a pooler" } else { "" })
}
