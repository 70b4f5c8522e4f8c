//! Whether a database can be a target, and what its owner has to do if not.
//!
//! Facts are read from the server in `facts`; what they mean is decided without it in `assess`.

mod assess;
mod facts;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;
use uuid::Uuid;

use super::class::{ErrorClass, TargetFault};
use super::dial::{Encryption, Session};

const CHECK_TIMEOUT: Duration = Duration::from_secs(20);

/// What a target shall be.
#[derive(Debug, Clone)]
pub struct CheckRequest {
    /// Schema that will hold everything of ours.
    pub schema: String,
    /// `deployment.name`
    pub deployment: String,
    /// Whose target it is.
    pub tenancy_id: Uuid,
    /// Its id within the tenancy.
    pub target_id: String,
    /// Roles that may read.
    pub read_roles: Vec<String>,
    /// Tables of the mappings; the tables that every target has need not be listed.
    pub tables: Vec<String>,
    /// Columns of these tables.
    pub columns: Vec<TypedColumn>,
}

/// A column that a target shall have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedColumn {
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Its type as the mapping writes it.
    pub type_text: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// It works, but something should be better.
    Warning,
    /// It cannot work.
    Error,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A stable name.
    pub code: &'static str,
    /// One sentence.
    pub summary: String,
    /// What to do, in words that can be sent to the customer.
    pub advice: Option<String>,
    /// SQL to paste, if there is some that helps.
    pub sql: Option<String>,
}

/// Whose the schema is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SchemaState {
    /// It could not be looked at.
    Unknown,
    /// Nothing of ours is there, nor anything in our way.
    Free,
    /// It is this target's.
    Ours,
    /// Somebody else's.
    Taken,
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckReport {
    /// Whether the target can be used.
    pub ok: bool,
    /// Whether a session could be opened.
    pub reachable: bool,
    /// `server_version_num`, such as 150004.
    pub server_version: Option<i32>,
    /// Whether the session is encrypted.
    pub encrypted: bool,
    /// Whether the server's certificate was verified for its name.
    pub verified: bool,
    /// Whether a pooler stands in front.
    pub pooler: bool,
    /// Whose the schema is.
    pub schema_state: SchemaState,
    /// Worst first.
    pub findings: Vec<Finding>,
}

impl CheckReport {
    /// The report on a target that gave no session.
    #[must_use]
    pub fn unreachable(fault: &TargetFault) -> Self {
        Self { reachable: false, ..Self::assemble(None, vec![Finding::of_fault(fault)]) }
    }

    fn assemble(session: Option<&Session>, mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let encryption = session.map_or(Encryption::None, Session::encryption);
        Self {
            ok: findings.iter().all(|f| f.severity < Severity::Error),
            reachable: true,
            server_version: None,
            encrypted: encryption != Encryption::None,
            verified: encryption == Encryption::VerifiedHost,
            pooler: false,
            schema_state: SchemaState::Unknown,
            findings,
        }
    }
}

impl Finding {
    fn of_fault(fault: &TargetFault) -> Self {
        Self {
            severity: Severity::Error,
            code: fault.class.code(),
            summary: fault.to_string(),
            advice: Some(fault.class.advice().into()),
            sql: None,
        }
    }
}

/// Looks at a target; changes nothing there and takes at most 20 s.
pub async fn check(session: &Session, request: &CheckRequest) -> CheckReport {
    let found = match timeout(CHECK_TIMEOUT, facts::gather(session, request)).await {
        Ok(found) => found,
        Err(_) => {
            // Best effort: the session is of no more use to us.
            let _ = session.cancel().await;
            Err(TargetFault::new(ErrorClass::StatementTimeout))
        }
    };
    match found {
        Ok(facts) => {
            let assessed = assess::assess(&facts, request);
            CheckReport {
                server_version: Some(facts.server.version),
                pooler: facts.pooler,
                schema_state: assessed.schema_state,
                ..CheckReport::assemble(Some(session), assessed.findings)
            }
        }
        Err(fault) => CheckReport::assemble(Some(session), vec![Finding::of_fault(&fault)]),
    }
}
