//! The road itself: what is committed arrives once, is logged, and leaves nothing behind.

use std::collections::HashSet;

use tenant_sync_tests::endpoint::Endpoint;
use tenant_sync_tests::receiver::Receiver;

use super::{SOON, road, stack, until};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_arrives_once_and_what_is_rolled_back_never() {
    let stack = stack(&[]).await;
    let receiver = Receiver::start().await;
    let endpoint = Endpoint::register(&stack, &receiver.url(), "").await;
    let road = road(&stack, &[]).await;
    let rolled_back = format!("begin; {}; rollback", endpoint.events(1_000, 5, 0));
    stack.internal().sql(&rolled_back).await;
    endpoint.send(0, 1_200, 0).await;
    endpoint.drained(SOON).await;

    assert_eq!(endpoint.counts().await, "0|0|1200|0");
    let received = receiver.received();
    let ids: HashSet<&str> = received.iter().map(|r| r.id()).collect();
    assert_eq!((received.len(), ids.len()), (1_200, 1_200));
    assert!(received.iter().all(|r| r.method == "POST" && r.path == "/hook"));
    assert!(received.iter().all(|r| r.header("content-type") == "application/json"));
    assert!(received[0].header("user-agent").starts_with("tenant-sync/"));
    until("the delivery row to be gone", async || {
        stack.internal().value(r#"select count(*) from "OutgoingRequest""#).await == "0"
    })
    .await;
    assert_eq!(
        endpoint.standing(r#"state, "consecutiveFailures", "lastSuccessAt" is not null"#).await,
        "ok|0|t"
    );
    let kept = r#"select count(*) from "HttpAttempt" where body::json -> 'data' ->> 'n' is not null
                  and "eventType" = 'test.event' and status = 200 and number = 1 and "workerId" is not null"#;
    assert_eq!(stack.internal().value(kept).await, "1200", "delivered requests can be sent again");
    assert!(road.worker.metrics().await.contains("tenant_sync_requests_total{class=\"delivered\"} 1200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_requests_are_sent_as_they_were_asked_for() {
    let stack = stack(&[]).await;
    let receiver = Receiver::start().await;
    let _road = road(&stack, &[]).await;
    let url = receiver.url();
    until("the poller to say what is accepted", async || {
        stack.internal().value(r#"select "allowHttp" from "HttpSettings""#).await == "t"
    })
    .await;
    let id = stack
        .internal()
        .value(&format!(
            r#"select enqueue_http_request('{url}?a=b', 'PUT', '{{"X-Key": "abc", "Content-Type": "text/plain"}}', 'hello')"#
        ))
        .await;
    let get = stack.internal().value(&format!("select enqueue_http_request('{url}', 'GET')")).await;
    until("both to arrive", async || receiver.count() == 2).await;
    let received = receiver.received();
    let [put, got] = [&id, &get].map(|id| received.iter().find(|r| r.id() == id).expect("by its id"));
    assert_eq!((put.method.as_str(), put.path.as_str(), put.body.as_str()), ("PUT", "/hook?a=b", "hello"));
    assert_eq!((put.header("x-key"), put.header("content-type")), ("abc", "text/plain"));
    assert!(put.header("webhook-signature").is_empty(), "there is no secret to sign with");
    assert_eq!((got.method.as_str(), got.body.as_str(), got.header("content-type")), ("GET", "", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_keeps_everything_back_and_lets_it_go() {
    let stack = stack(&[]).await;
    let receiver = Receiver::start().await;
    let endpoint = Endpoint::register(&stack, &receiver.url(), "").await;
    stack.internal().sql(r#"insert into "Fusebox" ("requestsEnabled") select false where not exists (select from "Fusebox");
                            update "Fusebox" set "requestsEnabled" = false"#).await;
    let _road = road(&stack, &[]).await;
    endpoint.send(0, 3, 0).await;
    let beats = r#"select "lastSeenAt" - "startedAt" > interval '4 s' from "WorkerHeartbeat" where kind = 'request-worker'"#;
    until("the worker to have had its chance", async || stack.internal().value(beats).await == "t").await;
    assert_eq!(receiver.count(), 0);
    stack.internal().sql(r#"update "Fusebox" set "requestsEnabled" = true"#).await;
    endpoint.drained(SOON).await;
    assert_eq!(receiver.count(), 3);
}

/// What is to be sent later is not sent before, and keeps nothing else back.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_its_time() {
    let stack = stack(&[]).await;
    let receiver = Receiver::start().await;
    let _road = road(&stack, &[]).await;
    let url = receiver.url();
    until("the poller to say what is accepted", async || {
        stack.internal().value(r#"select "allowHttp" from "HttpSettings""#).await == "t"
    })
    .await;
    let later = stack
        .internal()
        .value(&format!(
            r#"select enqueue_http_request('{url}', options => jsonb_build_object('not_before', now() + interval '4 seconds'))"#
        ))
        .await;
    let now = stack.internal().value(&format!("select enqueue_http_request('{url}')")).await;
    until("both to arrive", async || receiver.count() == 2).await;
    let received = receiver.received();
    assert_eq!([received[0].id(), received[1].id()], [now.as_str(), later.as_str()]);
    let early = r#"select count(*) from "HttpAttempt" where at < "createdAt" + interval '4 seconds'"#;
    assert_eq!(stack.internal().value(early).await, "1", "the one that was not to wait");
}
