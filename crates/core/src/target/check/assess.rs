//! What the facts mean: findings, and whose the schema is. Needs no server.

use super::facts::{Database, Facts, Identity};
use super::{CheckRequest, Finding, SchemaState, Severity};
use crate::target::class::{ErrorClass, clean};
use crate::target::dial::Encryption;
use crate::target::grants::{create_sql, quoted, schema_sql, usage_sql};

/// Oldest and newest major version that a target may have.
const VERSIONS: std::ops::RangeInclusive<i32> = 13..=18;
const NAME_CHARS_MAX: usize = 63;

pub(super) struct Assessed {
    pub(super) schema_state: SchemaState,
    pub(super) findings: Vec<Finding>,
}

pub(super) fn assess(facts: &Facts, request: &CheckRequest) -> Assessed {
    let mut findings = Vec::new();
    let major = facts.server.version / 10_000;
    if !facts.server.is_postgres || !VERSIONS.contains(&major) {
        let what = if facts.server.is_postgres {
            "PostgreSQL"
        } else {
            "another product, compatible with PostgreSQL"
        };
        let class = ErrorClass::UnsupportedVersion;
        findings.push(error(
            class.code(),
            format!("The server is {what} {major}."),
            class.advice().into(),
            None,
        ));
    }
    encryption(facts.encryption, &mut findings);
    if facts.pooler {
        findings.push(Finding {
            severity: Severity::Info,
            code: "pooler",
            summary: "A connection pooler stands in front of the server.".into(),
            advice: Some("It works; the server's direct address is faster for large copies.".into()),
            sql: None,
        });
    }
    let Some(database) = &facts.database else {
        return Assessed { schema_state: SchemaState::Unknown, findings };
    };
    server_state(database, &mut findings);
    types(facts, request, &mut findings);
    privileges(database, request, &mut findings);
    readers(database, request, &mut findings);
    let schema_state = ownership(facts, request, &mut findings);
    Assessed { schema_state, findings }
}

fn encryption(encryption: Encryption, findings: &mut Vec<Finding>) {
    let (code, summary, advice) = match encryption {
        Encryption::VerifiedHost => return,
        Encryption::None => (
            "notEncrypted",
            "The connection is not encrypted: whoever is on the way can read the data and the password.",
            "Switch TLS on at the server, and use sslmode=verify-full.",
        ),
        Encryption::Unverified | Encryption::VerifiedRoot => (
            "notVerified",
            "The connection is encrypted, but it is not verified that the server is the right one.",
            "Use sslmode=verify-full, with the root certificate of the server if it is not a public one.",
        ),
    };
    findings.push(warning(code, summary.into(), advice.into(), None));
}

fn server_state(database: &Database, findings: &mut Vec<Finding>) {
    let class = ErrorClass::ReadOnly;
    if database.standby {
        let summary = "The server is a standby and accepts no writes.";
        findings.push(error(
            class.code(),
            summary.into(),
            "Give the address of the primary server.".into(),
            None,
        ));
    } else if database.read_only {
        findings.push(error(class.code(), class.sentence().into(), class.advice().into(), None));
    }
    if database.encoding != "UTF8" && database.encoding != "SQL_ASCII" {
        findings.push(warning(
            "encoding",
            format!("The database has the encoding {}, not UTF8.", shown(&database.encoding)),
            "Use a database with the encoding UTF8: rows with characters that this one lacks will be refused.".into(),
            None,
        ));
    }
}

/// One finding a type: a table that cannot be made is no surprise of the first sync.
fn types(facts: &Facts, request: &CheckRequest, findings: &mut Vec<Finding>) {
    let class = ErrorClass::TypeMissing;
    for missing in &facts.missing_types {
        let columns = request.columns.iter().filter(|column| column.type_text == *missing);
        let columns: Vec<String> =
            columns.map(|column| format!("{}.{}", column.table, column.name)).collect();
        findings.push(error(
            class.code(),
            format!(
                "PostgreSQL {} does not know the type {missing} ({}).",
                facts.server.version / 10_000,
                columns.join(", ")
            ),
            class.advice().into(),
            None,
        ));
    }
}

fn privileges(database: &Database, request: &CheckRequest, findings: &mut Vec<Finding>) {
    let (role, schema) = (shown(&database.role), shown(&request.schema));
    let class = ErrorClass::PermissionDenied;
    let ask = "Ask an administrator of the database to run this.";
    if database.schema_exists && !database.may_create_in_schema {
        findings.push(error(
            class.code(),
            format!("The role {role} may not create tables in the schema {schema}."),
            ask.into(),
            Some(create_sql(&request.schema, &database.role)),
        ));
    } else if !database.schema_exists && !database.may_create_schemas {
        findings.push(error(
            class.code(),
            format!("The schema {schema} does not exist, and the role {role} may not create it."),
            ask.into(),
            Some(schema_sql(&request.schema, &database.role)),
        ));
    }
    if !database.may_create_temporary {
        findings.push(warning(
            "noTemporaryTables",
            format!("The role {role} may not create temporary tables, so that large copies are slower."),
            ask.into(),
            Some(format!(
                "GRANT TEMPORARY ON DATABASE {} TO {};",
                quoted(&database.name),
                quoted(&database.role)
            )),
        ));
    }
    if database.superuser {
        findings.push(warning(
            "superuser",
            format!("The role {role} is a superuser."),
            "Use a role that can do nothing but fill its own schema; `target sql` prints one.".into(),
            None,
        ));
    }
}

fn readers(database: &Database, request: &CheckRequest, findings: &mut Vec<Finding>) {
    for reader in &database.missing_readers {
        findings.push(error(
            "readRoleMissing",
            format!("The role {}, which shall be able to read, does not exist.", shown(reader)),
            "Create the role, or correct its name.".into(),
            Some(format!("CREATE ROLE {} NOLOGIN;", quoted(reader))),
        ));
    }
    // Who owns the schema can let others in; else its owner must.
    if !database.schema_exists || database.owns_schema {
        return;
    }
    for reader in &database.readers_without_usage {
        findings.push(warning(
            "readRoleWithoutUsage",
            format!("The role {} cannot look into the schema {}.", shown(reader), shown(&request.schema)),
            "Ask the owner of the schema to run this.".into(),
            Some(usage_sql(&request.schema, reader)),
        ));
    }
}

fn ownership(facts: &Facts, request: &CheckRequest, findings: &mut Vec<Finding>) -> SchemaState {
    let names = |owned_only: bool| {
        let relations = facts.relations.iter().filter(|r| !owned_only || !r.is_owned);
        relations.map(|r| shown(&r.name)).collect::<Vec<_>>().join(", ")
    };
    match &facts.identity {
        Identity::Absent if facts.relations.is_empty() => SchemaState::Free,
        Identity::Absent | Identity::Unreadable => {
            let class = ErrorClass::ForeignTable;
            findings.push(error(
                class.code(),
                format!(
                    "The schema {} contains tables with our names that we did not create: {}.",
                    shown(&request.schema),
                    names(false)
                ),
                class.advice().into(),
                None,
            ));
            SchemaState::Taken
        }
        Identity::Owner { deployment, tenancy_id, target_id }
            if !is_ours(request, deployment, tenancy_id, target_id) =>
        {
            let class = ErrorClass::OwnedByAnother;
            findings.push(error(
                class.code(),
                owner_sentence(request, deployment, tenancy_id),
                class.advice().into(),
                None,
            ));
            SchemaState::Taken
        }
        Identity::Empty | Identity::Owner { .. } => {
            if facts.relations.iter().any(|r| !r.is_owned) {
                let class = ErrorClass::PermissionDenied;
                findings.push(error(
                    class.code(),
                    format!("Tables of the synchronisation belong to another role now: {}.", names(true)),
                    "Log in with the role that owns them, or give them to this role (ALTER TABLE … OWNER TO …).".into(),
                    None,
                ));
            }
            SchemaState::Ours
        }
    }
}

fn is_ours(request: &CheckRequest, deployment: &str, tenancy_id: &str, target_id: &str) -> bool {
    deployment == request.deployment
        && tenancy_id == request.tenancy_id.to_string()
        && target_id == request.target_id
}

/// Says what differs, and nothing about a stranger that this customer could not read there anyway.
fn owner_sentence(request: &CheckRequest, deployment: &str, tenancy_id: &str) -> String {
    let schema = shown(&request.schema);
    if deployment != request.deployment {
        format!("The schema {schema} already belongs to another deployment ({}).", shown(deployment))
    } else if tenancy_id != request.tenancy_id.to_string() {
        format!("The schema {schema} already belongs to another tenancy ({}).", shown(tenancy_id))
    } else {
        format!("The schema {schema} already belongs to another target of this tenancy.")
    }
}

fn error(code: &'static str, summary: String, advice: String, sql: Option<String>) -> Finding {
    Finding { severity: Severity::Error, code, summary, advice: Some(advice), sql }
}

fn warning(code: &'static str, summary: String, advice: String, sql: Option<String>) -> Finding {
    Finding { severity: Severity::Warning, code, summary, advice: Some(advice), sql }
}

/// A name from a stranger's database, on one line.
fn shown(name: &str) -> String {
    clean(name, NAME_CHARS_MAX).unwrap_or_else(|| "\"\"".into())
}
