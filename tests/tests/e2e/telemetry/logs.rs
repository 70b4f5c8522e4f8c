//! What workers log: one line for each thing that an operator would want to know, with names; never the same line for
//! days, and never a secret.

use serde_json::Value;
use tenant_sync_tests::logs::Logs;
use tenant_sync_tests::proxy::Proxy;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::{SOON, Tenant};
use tenant_sync_tests::wait::eventually;

fn lines(logs: &Logs, text: &str) -> Vec<Value> {
    logs.matching(text).iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test]
async fn a_target_that_is_away_for_long_is_two_lines_and_one_when_it_is_back() {
    let stack = Stack::start().await;
    let _sequencer = stack.sequencer().start().await;
    let _poller = stack.poller().start().await;
    let worker = stack.sync_worker().set("sync.breaker_failures", 4).set("sync.retry_max", "100ms");
    let worker = worker.allow("the target failed").start().await;
    let tenant = Tenant::create(&stack).await;
    let proxy = Proxy::for_url(stack.external(0).url()).await;
    let target = tenant.target(stack.external(0)).through(&proxy.url(stack.external(0).url())).add().await;
    target.caught_up().await;

    proxy.cut();
    proxy.refuse();
    tenant.user("Ada").await;
    let failures = r#"select "consecutiveFailures" from "ExternalDatabase""#;
    eventually(SOON, "many failures", async || {
        let count = stack.internal().value(failures).await;
        if count.parse::<u32>().unwrap_or(0) >= 12 { Ok(()) } else { Err(count) }
    })
    .await;
    let failed = lines(worker.logs(), "the target failed");
    assert_eq!(failed.len(), 1, "{failed:#?}");
    let broken = lines(worker.logs(), "counts as broken");
    assert_eq!(broken.len(), 1, "{broken:#?}");
    for line in failed.iter().chain(&broken) {
        assert_eq!(line["tenancy"], tenant.id().to_string());
        for field in ["request", "class", "reason"] {
            assert!(line[field].as_str().is_some_and(|value| !value.is_empty()), "{field}: {line}");
        }
        assert_eq!(line["target"], "main", "{line}");
    }

    proxy.pass();
    target.caught_up().await;
    eventually(SOON, "the line that says so", async || {
        if worker.logs().matching("the target works again").is_empty() { Err("not yet") } else { Ok(()) }
    })
    .await;
    let back = lines(worker.logs(), "the target works again");
    assert!(back.len() == 1 && back[0]["tenancy"] == tenant.id().to_string(), "{back:#?}");
    let password =
        stack.external(0).url().split('@').next().and_then(|url| url.rsplit(':').next()).expect("a password");
    assert!(worker.logs().matching(password).is_empty(), "a password in the log");
}

#[tokio::test]
async fn many_refused_rows_are_a_line_for_each_reason() {
    let stack = Stack::start().await;
    let mut workers = stack.start_workers().await;
    workers.sync_worker.allow("the target refuses a row");
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    target.caught_up().await;
    target
        .sql("alter table tenant_sync.users add constraint no_more check (display_name not like 'refused%')")
        .await;
    stack
        .internal()
        .sql(&format!(
            r#"insert into "ProjectUser" ("tenancyId", "projectUserId", "displayName")
               select '{}', gen_random_uuid(), 'refused ' || n from generate_series(1, 300) n"#,
            tenant.id()
        ))
        .await;
    eventually(SOON, "all of them to be set aside", async || {
        let count = stack.internal().value(r#"select max("refusedRows") from "SyncState""#).await;
        if count == "300" { Ok(()) } else { Err(count) }
    })
    .await;
    let told = lines(workers.sync_worker.logs(), "the target refuses a row");
    // One reason, one line; the rest is counted.
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0]["rows"].as_u64().is_some_and(|rows| (1..=300).contains(&rows)), "{told:#?}");
    assert_eq!((&told[0]["sqlstate"], &told[0]["mapping"]), (&"23514".into(), &"users".into()));
    // Tried again, they are not told again.
    target.try_now().await;
    stack.settled().await;
    assert_eq!(lines(workers.sync_worker.logs(), "the target refuses a row").len(), told.len());
}
