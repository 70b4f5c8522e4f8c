//! Status and history, while rows flow.

use serde_json::{Value, json};
use tenant_sync_tests::console::Console;
use tenant_sync_tests::receiver::Receiver;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::Tenant;
use tenant_sync_tests::wait::eventually;
use uuid::Uuid;

use super::SOON;

#[tokio::test]
async fn it_shows_the_whole_road_and_each_target() {
    let stack = Stack::start().await;
    let _workers = stack.start_workers().await;
    let _request_worker = stack.request_worker().start().await;
    let console = Console::start(&stack).await;
    let receiver = Receiver::start().await;
    plain_http_is_allowed(&stack).await;
    stack.internal().sql(&format!("select enqueue_http_request('{}')", receiver.url())).await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    tenant.users(1, 50).await;
    target.caught_up().await;
    stack.settled().await;

    let status = eventually(SOON, "all of them to have told what they did", async || {
        let status = console.get("…/status?scope=all").await;
        let workers = status["workers"].as_array().cloned().unwrap_or_default();
        let told = |kind: &str| {
            workers
                .iter()
                .any(|w| w["kind"] == kind && w["alive"] == true && w["processed"].as_i64() > Some(0))
        };
        // What a node has just declared has no counts yet, and it counts every few seconds: a job that is done may still be told.
        let is_empty = |queue: &Value| queue["depth"] == 0;
        let known =
            status["queues"]["queues"].as_array().is_some_and(|q| q.len() == 4 && q.iter().all(is_empty));
        if known && ["sequencer", "poller", "sync-worker", "request-worker"].iter().all(|kind| told(kind)) {
            Ok(status)
        } else {
            Err(status.to_string())
        }
    })
    .await;
    let queues = status["queues"]["queues"].as_array().expect("a list");
    let live = queues.iter().find(|queue| queue["name"] == "tenant-sync.live").expect("the queue");
    assert_eq!((&live["exists"], &live["depth"]), (&json!(true), &json!(0)), "{live}");
    assert!(!status.to_string().contains("guest:"), "a password");
    let users = status["syncEngine"].as_array().and_then(|m| m.iter().find(|m| m["mapping"] == "users"));
    let users = users.expect("the mapping");
    let relations = status["sequencer"]["relations"].as_array().expect("a list");
    let highest = relations.iter().find(|r| r["relation"] == "ProjectUser").expect("users");
    let known = r#"select max("sequenceId") from "ProjectUser""#;
    assert_eq!(highest["highestSequenceId"].to_string(), stack.internal().value(known).await);
    assert_eq!(status["requests"]["waiting"], json!({ "count": 0, "atLeast": false }));
    assert_eq!(users["rowsBehind"], json!({ "count": 0, "atLeast": false }));
    assert!(users["highestSequenceId"].as_i64() >= Some(50), "{users}");
    let line = &status["externalDatabases"][0];
    assert_eq!((&line["state"], &line["lagMillis"]), (&json!("ok"), &json!(0)), "{line}");
    assert_eq!(status["targets"]["total"], json!({ "count": 1, "atLeast": false }));

    let one = console.get(&format!("…/status?scope=tenancy&tenancy_id={}", tenant.id())).await;
    let relations = one["sequencer"]["relations"].as_array().expect("a list");
    let highest = relations.iter().find(|r| r["relation"] == "ProjectUser").expect("users");
    let known = r#"select max("sequenceId") from "ProjectUser""#;
    assert_eq!(highest["highestSequenceId"].to_string(), stack.internal().value(known).await);
    assert_eq!(one["externalDatabases"][0]["id"], "main");
    assert_eq!(
        console.get(&format!("/api/v1/tenancies/{}/status", tenant.id())).await["tenancyId"],
        one["tenancyId"]
    );

    tenant.sql(r#"delete from "ProjectUser" where "displayName" = '000007'"#).await;
    stack.settled().await;
    let one = console.get(&format!("…/status?scope=tenancy&tenancy_id={}", tenant.id())).await;
    let relations = one["sequencer"]["relations"].as_array().expect("a list");
    let deleted = relations.iter().find(|r| r["relation"] == "DeletedRow").expect("tombstones");
    let known = r#"select max("sequenceId") from "DeletedRow""#;
    assert_eq!(deleted["highestSequenceId"].to_string(), stack.internal().value(known).await);
}

async fn plain_http_is_allowed(stack: &Stack) {
    eventually(SOON, "the poller to say what is accepted", async || {
        let says = stack.internal().value(r#"select "allowHttp" from "HttpSettings""#).await;
        if says == "t" { Ok(()) } else { Err(says) }
    })
    .await;
}

#[tokio::test]
async fn requests_are_counted_by_what_they_wait_for() {
    let stack = Stack::start().await;
    let console = Console::start(&stack).await;
    let count = |n: i64| json!({ "count": n, "atLeast": false });
    let requests = console.get("…/status").await["requests"].clone();
    assert_eq!((&requests["waiting"], &requests["oldestWaitingAt"]), (&count(0), &json!(null)), "{requests}");
    let post = r#"select enqueue_http_request('https://example.com/hook', body => '{}'::text)"#;
    let oldest = stack.internal().value(post).await;
    stack.internal().sql(&format!("{post}; {post};")).await;
    stack
        .internal()
        .sql(&format!(
            r#"
update "OutgoingRequest" set "createdAt" = '2020-01-02 03:04:05Z' where id = '{oldest}';
update "OutgoingRequest" set state = 'dead', "diedAt" = now() where kind = 'http' and id = (
    select id from "OutgoingRequest" where kind = 'http' and id <> '{oldest}' limit 1);
insert into "OutgoingRequest" (kind, "destinationId")
select 'delivery', "destinationId" from "OutgoingRequest" where id = '{oldest}';"#
        ))
        .await;
    let requests = console.get("…/status").await["requests"].clone();
    assert_eq!((&requests["waiting"], &requests["dead"]), (&count(2), &count(1)), "{requests}");
    assert_eq!(requests["dueDestinations"], count(1), "{requests}");
    let at = requests["oldestWaitingAt"].as_str().unwrap_or_default();
    assert!(at.starts_with("2020-01-02T03:04:05"), "{requests}");
    let started = r#"update "OutgoingRequest" set "startedFulfillingAt" = now(), "dueAt" = now() + interval '1 hour'
                     where kind = 'delivery'"#;
    stack.internal().sql(started).await;
    let requests = console.get("…/status").await["requests"].clone();
    assert_eq!(
        (&requests["dueDestinations"], &requests["queuedDestinations"]),
        (&count(0), &count(1)),
        "{requests}"
    );
    assert!(requests["queuedSince"].is_string(), "{requests}");
}

#[tokio::test]
async fn what_it_does_not_know_it_says() {
    let mut stack = Stack::start().await;
    stack.set("rabbitmq.management_url", "http://127.0.0.1:9");
    let console = Console::start(&stack).await;
    let queues = console.get("…/status").await["queues"].clone();
    assert_eq!((&queues["known"], &queues["queues"]), (&json!(false), &json!([])), "{queues}");
    assert!(queues["reason"].as_str().is_some_and(|r| r.contains("cannot be reached")), "{queues}");
    drop(console);
    stack.set("rabbitmq.management_url", "");
    let console = Console::start(&stack).await;
    let queues = console.get("…/status").await["queues"].clone();
    assert!(queues["reason"].as_str().is_some_and(|r| r.contains("is not set")), "{queues}");
}

#[tokio::test]
async fn bad_questions_are_refused_by_the_parameter_that_is_meant() {
    let stack = Stack::start().await;
    let console = Console::start(&stack).await;
    let nobody = format!("…/status?scope=tenancy&tenancy_id={}", Uuid::nil());
    for (path, status, field) in [
        ("…/status?scope=some", 400, Some("scope")),
        ("…/status?scope=tenancy", 400, Some("tenancy_id")),
        ("…/status?tenancy_id=00000000-0000-0000-0000-000000000000", 400, Some("scope")),
        ("…/status?scope=tenancy&tenancy_id=x", 400, Some("tenancy_id")),
        ("…/status?limit=201", 400, Some("limit")),
        ("…/status?cursor=zzz", 400, Some("cursor")),
        ("…/history?span=year", 400, Some("span")),
        (nobody.as_str(), 404, None),
    ] {
        console.refused(("GET", path), None, status, field, "").await;
    }
}

#[tokio::test]
async fn samples_are_taken_once_and_make_a_history() {
    let stack = Stack::start().await;
    let _workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    tenant.users(1, 20).await;
    target.caught_up().await;
    stack
        .internal()
        .sql(
            r#"insert into "SyncSample" ("at", "name", "value") values (now() - interval '8 days', 'pendingRows', 1);
               insert into "AuditEntry" ("at", "operator", "action") values (now() - interval '400 days', 'x', 'old')"#,
        )
        .await;
    let faster = |setup: tenant_sync_tests::worker::Setup| setup.set("console.sample_interval", "500ms");
    let console = Console::start_with(&stack, faster).await;
    let second = Console::start_with(&stack, faster).await;
    let history = eventually(SOON, "samples", async || {
        let history = console.get("…/history").await;
        let points = history["points"].as_array().cloned().unwrap_or_default();
        let known = |p: &Value| p["pendingRows"].is_number() && p["lagP99Millis"].is_number();
        if points.iter().any(known) { Ok(history) } else { Err(history.to_string()) }
    })
    .await;
    assert_eq!((&history["span"], &history["bucketSeconds"]), (&json!("hour"), &json!(60)));
    assert_eq!(console.get("…/history?span=day").await["bucketSeconds"], 600);
    let path = format!("/api/v1/tenancies/{}/targets/main/history", tenant.id());
    eventually(SOON, "the target's own samples", async || {
        let history = second.get(&path).await;
        if history["points"].as_array().is_some_and(|p| !p.is_empty()) {
            Ok(())
        } else {
            Err(history.to_string())
        }
    })
    .await;
    let old = r#"select (select count(*) from "SyncSample" where "at" < now() - interval '7 days')
                      + (select count(*) from "AuditEntry" where "action" = 'old')"#;
    eventually(SOON, "what is too old to be gone", async || {
        let left = stack.internal().value(old).await;
        if left == "0" { Ok(()) } else { Err(left) }
    })
    .await;
    assert_eq!(stack.internal().value(DOUBLED).await, "0");
}

/// Two consoles take turns: no two samples are closer than nine tenths of the interval.
const DOUBLED: &str = r#"select count(*) from (
    select "at" - lag("at") over (order by "at") as gap from "SyncSample" where "name" = 'pendingRows') g
    where gap < interval '400 milliseconds'"#;

/// Both are held up in their turn and go on at once.
#[tokio::test]
async fn a_sample_is_of_the_instant_of_its_turn_however_long_looking_takes() {
    let stack = Stack::start().await;
    let faster = |setup: tenant_sync_tests::worker::Setup| setup.set("console.sample_interval", "500ms");
    let _first = Console::start_with(&stack, faster).await;
    let _second = Console::start_with(&stack, faster).await;
    let holder = stack.internal().connect().await;
    holder
        .batch_execute(r#"begin; lock table "ExternalDatabase" in access exclusive mode"#)
        .await
        .expect("a lock");
    let held_up =
        r#"select count(*) from pg_locks where relation = '"ExternalDatabase"'::regclass and not granted"#;
    eventually(SOON, "both consoles to be held up", async || {
        let held_up = stack.internal().value(held_up).await;
        if held_up == "2" { Ok(()) } else { Err(held_up) }
    })
    .await;
    let samples = r#"select count(*) from "SyncSample" where "name" = 'pendingRows'"#;
    let before: i64 = stack.internal().value(samples).await.parse().expect("a number");
    holder.batch_execute("commit").await.expect("committed");
    eventually(SOON, "a sample of each", async || {
        let now: i64 = stack.internal().value(samples).await.parse().expect("a number");
        if now >= before + 2 { Ok(()) } else { Err(now) }
    })
    .await;
    assert_eq!(stack.internal().value(DOUBLED).await, "0");
}
