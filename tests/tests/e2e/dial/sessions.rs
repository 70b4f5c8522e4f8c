//! Logging in, cancelling, ending, and the choice between several hosts.

use std::time::Duration;

use secrecy::ExposeSecret;
use tenant_sync_core::config::TlsFloor;
use tenant_sync_core::target::bounded::Limits;
use tenant_sync_core::target::class::ErrorClass;
use tenant_sync_core::target::dial::{DialError, Session};
use tenant_sync_core::target::url::TargetUrl;

use super::certificates::Authority;
use super::cluster::{Cluster, PASSWORD, free_port};
use super::{STEP, connect, dialer, refused, text};

#[tokio::test]
async fn each_refused_login_has_its_class() {
    let cluster = Cluster::start(None);
    let dialer = dialer(TlsFloor::Disable);
    let port = cluster.port;
    let good = cluster.url("127.0.0.1", "");
    assert_eq!(TargetUrl::parse(&good).unwrap().password.unwrap().expose_secret(), PASSWORD);
    let session = connect(&dialer, &good, None).await.unwrap();
    assert_eq!(text(&session, "select current_setting('application_name')").await, "tenant-sync test");
    let named = connect(&dialer, &cluster.url("127.0.0.1", "application_name=mine"), None).await.unwrap();
    assert_eq!(text(&named, "select current_setting('application_name')").await, "mine");

    let wrong = refused(&dialer, &format!("postgres://postgres:wrong@127.0.0.1:{port}/postgres"), None).await;
    assert_eq!(wrong.class(), ErrorClass::PasswordRefused);
    assert_eq!(wrong.fault().sqlstate.as_deref(), Some("28P01"));
    let none = refused(&dialer, &format!("postgres://postgres@127.0.0.1:{port}/postgres"), None).await;
    assert_eq!(none.class(), ErrorClass::PasswordRefused);
    assert!(none.to_string().contains("the connection string has none"), "{none}");
    let missing = good.replace("/postgres?", "/nowhere?");
    assert_eq!(refused(&dialer, &missing, None).await.class(), ErrorClass::DatabaseMissing);
    let closed = format!("postgres://u:p@127.0.0.1:{}/d", free_port());
    assert_eq!(refused(&dialer, &closed, None).await.class(), ErrorClass::Unreachable);
    let unknown = refused(&dialer, "postgres://u:p@no-such-host.invalid/d", None).await;
    assert_eq!(unknown.class(), ErrorClass::NameNotFound);
}

#[tokio::test]
async fn the_first_host_that_accepts_writes_is_taken() {
    let cluster = Cluster::start(None);
    let dialer = dialer(TlsFloor::Disable);
    let admin = cluster.admin().await;
    admin.client().batch_execute("create database frozen").await.unwrap();
    admin
        .client()
        .batch_execute("alter database frozen set default_transaction_read_only = on")
        .await
        .unwrap();

    let here = format!("127.0.0.1:{}", cluster.port);
    let two = cluster.url("127.0.0.1", "").replace(&here, &format!("127.0.0.1:{},{here}", free_port()));
    assert_eq!(text(&connect(&dialer, &two, None).await.unwrap(), "select 'here'").await, "here");

    let frozen =
        cluster.url("127.0.0.1", "target_session_attrs=read-write").replace("/postgres?", "/frozen?");
    let error = refused(&dialer, &frozen, None).await;
    assert!(matches!(error, DialError::ReadOnly { .. }), "{error}");
    let primary = frozen.replace("read-write", "primary");
    assert!(connect(&dialer, &primary, None).await.is_ok(), "read-only by its setting, but no standby");
    let twice =
        frozen.replace(&here, &format!("{here},{here}")).replace("target_session_attrs=read-write", "");
    assert_eq!(refused(&dialer, &twice, None).await.class(), ErrorClass::ReadOnly);
}

#[tokio::test]
async fn a_running_statement_is_cancelled_over_tls() {
    let authority = Authority::new("x");
    let cluster = Cluster::start(Some(&authority.sign(&["localhost"])));
    let strict = dialer(TlsFloor::VerifyFull);
    let session = connect(&strict, &cluster.url("localhost", ""), Some(&authority.root)).await.unwrap();
    assert!(!session.behind_pooler().await.unwrap());
    let canceller = session.canceller();
    let mut endless = tokio::spawn(async move {
        let error = session.client().batch_execute("select pg_sleep(3600)").await.unwrap_err();
        session.fault(&error)
    });
    // A cancel that comes before the statement runs cancels nothing, so it is repeated.
    let fault = loop {
        canceller.cancel().await.unwrap();
        if let Ok(fault) = tokio::time::timeout(Duration::from_millis(100), &mut endless).await {
            break fault.unwrap();
        }
    };
    assert_eq!((fault.class, fault.sqlstate.as_deref()), (ErrorClass::StatementTimeout, Some("57014")));
}

/// Waits until the server has no session `pid` any more.
async fn gone(admin: &Session, pid: i32) {
    let question = format!("select count(*)::text from pg_stat_activity where pid = {pid}");
    let ended = async {
        while text(admin, &question).await != "0" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(STEP, ended).await.expect("the session ends");
}

#[tokio::test]
async fn a_session_ends_with_its_handle_and_says_why_it_ended() {
    let cluster = Cluster::start(None);
    let admin = cluster.admin().await;
    let dropped = cluster.admin().await;
    let pid = dropped.backend_pid_announced();
    dropped.client().batch_execute("begin").await.unwrap();
    drop(dropped);
    gone(&admin, pid).await;

    // One that is closed is waited for: whoever opens the next never counts with it.
    for _ in 0..20 {
        let closed = cluster.admin().await;
        let there = format!(
            "select count(*)::text from pg_stat_activity where pid = {}",
            closed.backend_pid_announced()
        );
        assert_eq!(text(&admin, &there).await, "1");
        closed.close().await;
        assert_eq!(text(&admin, &there).await, "0");
    }

    let ended = cluster.admin().await;
    let pid = ended.backend_pid_announced();
    let terminate = format!("select pg_terminate_backend({pid})::text");
    assert_eq!(text(&admin, &terminate).await, "true");
    gone(&admin, pid).await;
    let error = loop {
        if let Err(error) = ended.client().batch_execute("select 1").await {
            break error;
        }
    };
    assert_eq!(ended.fault(&error).class, ErrorClass::ShuttingDown);
    assert!(ended.is_closed());
}

#[tokio::test]
async fn of_a_servers_error_only_names_are_kept() {
    let cluster = Cluster::start(None);
    let session = cluster.admin().await;
    let create = "create table person (email text constraint no_secrets check (email not like '%hunter2%'))";
    session.client().batch_execute(create).await.unwrap();
    let error = session.client().batch_execute("insert into person values ('hunter2')").await.unwrap_err();
    assert!(format!("{error:?}").contains("hunter2"), "the server does tell values");
    let fault = session.fault(&error);
    assert_eq!((fault.class, fault.sqlstate.as_deref()), (ErrorClass::RowRefused, Some("23514")));
    assert_eq!((fault.table.as_deref(), fault.constraint.as_deref()), (Some("person"), Some("no_secrets")));
    assert!(!format!("{fault} {fault:?}").contains("hunter2"), "{fault:?}");
}

#[tokio::test]
async fn a_talkative_server_passes_and_an_endless_answer_does_not() {
    let cluster = Cluster::start(None);
    let limits = Limits { answer_bytes: 8 << 20, ..Limits::default() };
    let dialer = dialer(TlsFloor::Disable).with_limits(limits);
    let session = connect(&dialer, &cluster.url("127.0.0.1", ""), None).await.unwrap();
    let notices = "do $$ begin for i in 1..10000 loop raise notice 'row % of a trigger', i; end loop; end $$";
    session.client().batch_execute(notices).await.unwrap();
    assert!(session.bytes_read() > 500_000 && session.end_reason().is_none());

    let endless = "select repeat('x', 100000) from generate_series(1, 1000)";
    let error = session.client().query_typed(endless, &[]).await.unwrap_err();
    let fault = session.fault(&error);
    assert_eq!(fault.class, ErrorClass::ProtocolAbuse);
    assert!(fault.to_string().contains("an answer larger than 8388608 bytes"), "{fault}");
    assert!(session.bytes_read() < 10 << 20, "{}", session.bytes_read());
}
