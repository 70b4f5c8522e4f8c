use super::assess::assess;
use super::facts::{Database, Facts, Identity, Relation, Server};
use super::*;

fn request() -> CheckRequest {
    CheckRequest {
        schema: "tenant_sync".into(),
        deployment: "main".into(),
        tenancy_id: Uuid::from_u128(7),
        target_id: "main".into(),
        read_roles: vec!["bi".into()],
        tables: vec!["users".into(), "contact_channels".into()],
        columns: vec![TypedColumn {
            table: "users".into(),
            name: "shifts".into(),
            type_text: "tstzmultirange".into(),
        }],
    }
}

fn good_database() -> Database {
    Database {
        name: "app".into(),
        role: "sync".into(),
        encoding: "UTF8".into(),
        may_create_schemas: true,
        may_create_temporary: true,
        ..Database::default()
    }
}

fn good() -> Facts {
    Facts {
        server: Server { version: 150_004, is_postgres: true },
        encryption: Encryption::VerifiedHost,
        pooler: false,
        database: Some(good_database()),
        relations: Vec::new(),
        identity: Identity::Absent,
        missing_types: std::collections::BTreeSet::new(),
    }
}

fn with_database(change: impl FnOnce(&mut Database)) -> Facts {
    let mut database = good_database();
    change(&mut database);
    Facts { database: Some(database), ..good() }
}

fn relation(name: &str, is_owned: bool) -> Relation {
    Relation { name: name.into(), is_owned }
}

fn owner(deployment: &str, tenancy: u128, target: &str) -> Identity {
    Identity::Owner {
        deployment: deployment.into(),
        tenancy_id: Uuid::from_u128(tenancy).to_string(),
        target_id: target.into(),
    }
}

/// Severity and code of everything found, and whose the schema is.
fn found(facts: &Facts) -> (Vec<(Severity, &'static str)>, SchemaState) {
    let assessed = assess(facts, &request());
    (assessed.findings.iter().map(|f| (f.severity, f.code)).collect(), assessed.schema_state)
}

#[test]
fn a_good_target_has_no_findings() {
    assert_eq!(found(&good()), (Vec::new(), SchemaState::Free));
    let ours = Facts {
        relations: vec![relation("_sync_identity", true), relation("users", true)],
        identity: owner("main", 7, "main"),
        ..good()
    };
    assert_eq!(found(&ours), (Vec::new(), SchemaState::Ours));
}

#[test]
fn versions_13_to_18_of_postgres_are_good() {
    for (version, is_postgres, expected) in [
        (120_022, true, false),
        (130_000, true, true),
        (180_001, true, true),
        (190_000, true, false),
        (130_000, false, false),
        (80_002, true, false),
    ] {
        let facts = Facts { server: Server { version, is_postgres }, ..good() };
        assert_eq!(found(&facts).0.is_empty(), expected, "{version} {is_postgres}");
    }
}

#[test]
fn what_cannot_work_is_an_error_with_what_to_do() {
    let cases = [
        (with_database(|d| d.standby = true), "readOnly", None),
        (with_database(|d| d.read_only = true), "readOnly", None),
        (
            with_database(|d| d.may_create_schemas = false),
            "permissionDenied",
            Some(
                "CREATE SCHEMA IF NOT EXISTS \"tenant_sync\";\nGRANT USAGE, CREATE ON SCHEMA \"tenant_sync\" TO \"sync\";\n",
            ),
        ),
        (
            with_database(|d| d.schema_exists = true),
            "permissionDenied",
            Some("GRANT USAGE, CREATE ON SCHEMA \"tenant_sync\" TO \"sync\";"),
        ),
        (
            with_database(|d| d.missing_readers = vec!["b\"i".into()]),
            "readRoleMissing",
            Some("CREATE ROLE \"b\"\"i\" NOLOGIN;"),
        ),
    ];
    for (facts, code, sql) in cases {
        let assessed = assess(&facts, &request());
        let [finding] = assessed.findings.as_slice() else { panic!("{code}: {:?}", assessed.findings) };
        assert_eq!((finding.severity, finding.code), (Severity::Error, code));
        assert!(finding.advice.is_some(), "{code}");
        assert_eq!(finding.sql.as_deref(), sql, "{code}");
    }
}

#[test]
fn what_should_be_better_is_a_warning() {
    let in_a_schema = |d: &mut Database| {
        d.schema_exists = true;
        d.may_create_in_schema = true;
        d.readers_without_usage = vec!["bi".into()];
    };
    for (facts, code) in [
        (Facts { encryption: Encryption::None, ..good() }, "notEncrypted"),
        (Facts { encryption: Encryption::Unverified, ..good() }, "notVerified"),
        (with_database(|d| d.may_create_temporary = false), "noTemporaryTables"),
        (with_database(|d| d.superuser = true), "superuser"),
        (with_database(|d| d.encoding = "LATIN1".into()), "encoding"),
        (with_database(in_a_schema), "readRoleWithoutUsage"),
    ] {
        assert_eq!(found(&facts).0, [(Severity::Warning, code)]);
    }
    assert_eq!(found(&Facts { pooler: true, ..good() }).0, [(Severity::Info, "pooler")]);
    let owner = with_database(|d| {
        in_a_schema(d);
        d.owns_schema = true;
    });
    assert!(found(&owner).0.is_empty());
}

#[test]
fn a_schema_of_somebody_elses_is_refused() {
    let taken =
        |identity: Identity| Facts { relations: vec![relation("_sync_identity", true)], identity, ..good() };
    for identity in [owner("staging", 7, "main"), owner("main", 8, "main"), owner("main", 7, "second")] {
        let expected = (vec![(Severity::Error, "ownedByAnother")], SchemaState::Taken);
        assert_eq!(found(&taken(identity)), expected);
    }
    let expected = (vec![(Severity::Error, "foreignTable")], SchemaState::Taken);
    assert_eq!(found(&taken(Identity::Unreadable)), expected);
    let foreign =
        Facts { relations: vec![relation("contact_channels", true), relation("users", true)], ..good() };
    assert_eq!(found(&foreign), expected);
    let summary = &assess(&foreign, &request()).findings[0].summary;
    assert!(summary.contains("contact_channels, users"), "{summary}");
}

#[test]
fn tables_that_changed_hands_are_named() {
    let facts = Facts {
        relations: vec![relation("_sync_identity", true), relation("users", false)],
        identity: owner("main", 7, "main"),
        ..good()
    };
    let assessed = assess(&facts, &request());
    assert_eq!(assessed.schema_state, SchemaState::Ours);
    assert!(assessed.findings[0].summary.ends_with(": users."), "{}", assessed.findings[0].summary);
}

#[test]
fn a_report_is_camel_case_and_worst_first() {
    let report = CheckReport::unreachable(&TargetFault::new(ErrorClass::Unreachable));
    assert!(!report.ok && !report.reachable);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["schemaState"], "unknown");
    assert_eq!(json["findings"][0]["severity"], "error");
    assert_eq!(json["findings"][0]["code"], "unreachable");
    let mixed = with_database(|d| {
        d.superuser = true;
        d.standby = true;
    });
    let assembled = CheckReport::assemble(None, assess(&mixed, &request()).findings);
    assert_eq!(assembled.findings[0].severity, Severity::Error);
    assert!(!assembled.ok);
}

#[test]
fn a_type_that_the_server_lacks_is_named_with_its_columns() {
    let facts = Facts { missing_types: ["tstzmultirange".to_owned()].into(), ..good() };
    assert_eq!(found(&facts).0, [(Severity::Error, "typeMissing")]);
    let assessed = assess(&facts, &request());
    let summary = "PostgreSQL 15 does not know the type tstzmultirange (users.shifts).";
    assert_eq!(assessed.findings[0].summary, summary);
}
