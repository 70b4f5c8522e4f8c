//! `dev` and `demo`: all workers in one process.

use std::time::Duration;

use tenant_sync_tests::http;
use tenant_sync_tests::pids::{self, Signal};
use tenant_sync_tests::ports::free_port;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::wait::eventually;

use super::{SOON, caught_up};

#[tokio::test]
async fn dev_runs_everything_and_stops_when_asked() {
    let stack = Stack::start().await;
    let tenancy = stack.tenancy("acme").await;
    let mut dev = stack.worker("tenant-sync").argument("dev").start().await;
    // One health endpoint for all, with the metrics of all.
    let answer = http::get(dev.health_address(), "/readyz").await.expect("an answer");
    assert!(answer.body.contains("rabbitmq") && answer.body.contains("postgres"), "{}", answer.body);
    eventually(SOON, "four workers to announce themselves", async || {
        let kinds = stack.internal().rows(r#"select kind from "WorkerHeartbeat" order by 1"#).await;
        if kinds == ["poller", "request-worker", "sequencer", "sync-worker"] {
            Ok(())
        } else {
            Err(kinds.join(" "))
        }
    })
    .await;
    stack.target(tenancy, "main", stack.external(0).url(), &[]).await;
    stack
        .internal()
        .sql(&format!(r#"insert into "ProjectUser" ("tenancyId", "displayName") values ('{tenancy}', 'A')"#))
        .await;
    caught_up(&stack).await;
    assert_eq!(stack.external(0).value("select display_name from tenant_sync.users").await, "A");

    pids::send(Signal::Int, &[dev.pid()]);
    let status = dev.wait_exit(Duration::from_secs(10)).await;
    assert!(status.success(), "{status}");
    assert_eq!(stack.internal().value(r#"select count(*) from "WorkerHeartbeat""#).await, "0");
}

#[tokio::test]
async fn dev_migrates_a_database_that_is_empty() {
    let stack = Stack::plan().template(tenant_sync_tests::template::Template::Empty).start().await;
    let mut dev = stack.worker("tenant-sync").argument("dev").set("database.user_tables", true).start().await;
    assert_eq!(stack.internal().value(r#"select to_regclass('"ProjectUser"') is not null"#).await, "t");
    dev.terminate().await;
}

#[tokio::test]
async fn dev_runs_a_console_where_there_is_a_key() {
    let stack = Stack::start().await;
    let address = format!("127.0.0.1:{}", free_port());
    let dev = stack.worker("tenant-sync").argument("dev").set("console.listen", &address);
    let mut dev = dev.set("console.admin_keys", "ann:0123456789abcdef").start().await;
    let key = vec!["Authorization: Bearer 0123456789abcdef".to_owned()];
    let path = "/api/v1/internal/external-db-sync/status";
    eventually(SOON, "the console to know the others", async || {
        let answer = http::request(&address, "GET", path, &key, "").await?;
        let kinds = ["sequencer", "poller", "sync-worker", "console"];
        let knows = |kind: &&str| answer.body.contains(&format!(r#""kind":"{kind}""#));
        if answer.status == 200 && kinds.iter().all(knows) { Ok(()) } else { Err(answer.body) }
    })
    .await;
    dev.terminate().await;
}
