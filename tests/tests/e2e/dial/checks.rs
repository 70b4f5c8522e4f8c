//! What a check says about real databases, and that its advice helps.

use tenant_sync_core::config::TlsFloor;
use tenant_sync_core::target::check::{CheckReport, CheckRequest, SchemaState, Severity, check};
use tenant_sync_core::target::dial::Session;
use tenant_sync_core::target::grants::grants_sql;
use uuid::Uuid;

use super::cluster::Cluster;
use super::{connect, dialer};

const IDENTITY: &str = "create table app._sync_identity \
    (deployment text not null, tenancy_id uuid not null, target_id text not null, epoch bigint not null default 1);
    create table app.users (id uuid primary key)";

fn request() -> CheckRequest {
    CheckRequest {
        schema: "app".into(),
        deployment: "main".into(),
        tenancy_id: Uuid::from_u128(7),
        target_id: "main".into(),
        read_roles: Vec::new(),
        tables: vec!["users".into(), "contact_channels".into()],
        columns: Vec::new(),
    }
}

fn codes(report: &CheckReport, severity: Severity) -> Vec<&'static str> {
    report.findings.iter().filter(|f| f.severity == severity).map(|f| f.code).collect()
}

async fn log_in(cluster: &Cluster, user: &str, password: &str) -> Session {
    let url = format!("postgres://{user}:{password}@127.0.0.1:{}/postgres", cluster.port);
    connect(&dialer(TlsFloor::Disable), &url, None).await.unwrap()
}

#[tokio::test]
async fn the_printed_role_is_enough_and_no_more() {
    let cluster = Cluster::start(None);
    let admin = cluster.admin().await;
    admin.client().batch_execute("create role bi").await.unwrap();
    let readers = vec!["bi".to_owned()];
    let sql = grants_sql("sync role", Some("postgres"), "app", &readers);
    admin.client().batch_execute(&sql).await.unwrap();
    let session = log_in(&cluster, "sync%20role", "CHANGE-ME").await;
    let report = check(&session, &CheckRequest { read_roles: readers, ..request() }).await;
    assert!(report.ok && report.reachable && !report.pooler, "{report:?}");
    assert_eq!(
        (report.schema_state, report.server_version.unwrap() / 10_000 >= 13),
        (SchemaState::Free, true)
    );
    assert_eq!(codes(&report, Severity::Warning), ["notEncrypted"], "{report:?}");

    // Tables and temporary tables work; another schema does not.
    session.client().batch_execute("create temp table t (a int); create table app.t (a int)").await.unwrap();
    session.client().batch_execute("grant select on app.t to bi").await.unwrap();
    assert!(session.client().batch_execute("create schema other").await.is_err());
}

#[tokio::test]
async fn a_poor_role_is_told_what_to_paste() {
    let cluster = Cluster::start(None);
    let admin = cluster.admin().await;
    let poor = "create role poor login password 'x'; revoke temporary on database postgres from public";
    admin.client().batch_execute(poor).await.unwrap();
    let session = log_in(&cluster, "poor", "x").await;
    let wanted = CheckRequest { read_roles: vec!["bi".into()], ..request() };
    let report = check(&session, &wanted).await;
    assert!(!report.ok);
    assert_eq!(codes(&report, Severity::Error), ["permissionDenied", "readRoleMissing"]);
    assert_eq!(codes(&report, Severity::Warning), ["notEncrypted", "noTemporaryTables"]);
    for finding in &report.findings {
        if let Some(sql) = &finding.sql {
            admin.client().batch_execute(sql).await.unwrap();
        }
    }
    // The schema exists now and is the administrator's, who must let the reader in.
    let report = check(&session, &wanted).await;
    assert!(report.ok, "{report:?}");
    assert_eq!(codes(&report, Severity::Warning), ["notEncrypted", "readRoleWithoutUsage"]);
    for sql in report.findings.iter().filter_map(|f| f.sql.as_ref()) {
        admin.client().batch_execute(sql).await.unwrap();
    }
    let report = check(&session, &wanted).await;
    assert_eq!(codes(&report, Severity::Warning), ["notEncrypted"], "{report:?}");
}

#[tokio::test]
async fn a_schema_with_an_owner_or_foreign_tables_is_refused() {
    let cluster = Cluster::start(None);
    let session = cluster.admin().await;
    let run = async |sql: &str| session.client().batch_execute(sql).await.unwrap();
    run("create schema app; create table app.users (name text)").await;
    let report = check(&session, &request()).await;
    assert_eq!(
        (codes(&report, Severity::Error), report.schema_state),
        (vec!["foreignTable"], SchemaState::Taken)
    );
    assert!(report.findings[0].summary.contains("users"), "{report:?}");
    assert!(codes(&report, Severity::Warning).contains(&"superuser"));
    run("drop table app.users; create view app._sync_identity as select 1 as a").await;
    assert_eq!(codes(&check(&session, &request()).await, Severity::Error), ["foreignTable"]);
    run("drop view app._sync_identity; create table app._sync_identity (a int)").await;
    assert_eq!(codes(&check(&session, &request()).await, Severity::Error), ["foreignTable"]);

    run("drop table app._sync_identity").await;
    run(IDENTITY).await;
    let empty = check(&session, &request()).await;
    assert!(empty.ok && empty.schema_state == SchemaState::Ours, "{empty:?}");
    let tenancy = Uuid::from_u128(7);
    run(&format!("insert into app._sync_identity values ('main', '{tenancy}', 'main')")).await;
    let ours = check(&session, &request()).await;
    assert!(ours.ok && ours.schema_state == SchemaState::Ours, "{ours:?}");
    for other in [
        CheckRequest { deployment: "staging".into(), ..request() },
        CheckRequest { tenancy_id: Uuid::from_u128(8), ..request() },
        CheckRequest { target_id: "second".into(), ..request() },
    ] {
        let report = check(&session, &other).await;
        let found = (codes(&report, Severity::Error), report.schema_state);
        assert_eq!(found, (vec!["ownedByAnother"], SchemaState::Taken));
    }
    let elsewhere = CheckRequest { schema: "free".into(), tenancy_id: Uuid::from_u128(8), ..request() };
    assert_eq!(check(&session, &elsewhere).await.schema_state, SchemaState::Free);
}
