//! What an answer means for a request: tried again, held back, paused, dead.

use std::time::Duration;

use tenant_sync_tests::endpoint::Endpoint;
use tenant_sync_tests::receiver::{Behaviour, Receiver};

use super::{DEAD, FAILS, SOON, road, stack, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_tried_again_until_it_is_dead_and_the_dead_can_be_sent_again() {
    let stack =
        stack(&[("requests.retry_schedule", "100ms,200ms"), ("requests.breaker_samples", "50")]).await;
    let receiver = Receiver::start().await;
    receiver.behave(Behaviour::Answer(500, String::new(), "out of order".into()));
    let endpoint = Endpoint::register(&stack, &receiver.url(), "").await;
    let _road = road(&stack, &[FAILS, DEAD]).await;
    endpoint.send(0, 2, 0).await;
    until("both to be dead", async || endpoint.counts().await == "0|2|0|6").await;

    let received = receiver.received();
    for id in [received[0].id(), received[1].id()] {
        assert_eq!(received.iter().filter(|r| r.id() == id).count(), 3, "the id is the same each time");
    }
    let log = r#"select string_agg(outcome || number || "errorClass" || status || "responseExcerpt", ' ' order by at)
                 from "HttpAttempt" group by "requestId" limit 1"#;
    assert_eq!(
        stack.internal().value(log).await,
        "failed1serverError500out of order failed2serverError500out of order dead3serverError500out of order"
    );
    let row = r#"select distinct state, attempts, "lastErrorClass", "lastStatus", "diedAt" is not null
                 from "OutgoingRequest" where kind = 'http'"#;
    assert_eq!(stack.internal().value(row).await, "dead|3|serverError|500|t");
    assert_eq!(endpoint.standing("state").await, "retrying");

    receiver.behave(Behaviour::Status(200));
    endpoint.replay_dead().await;
    endpoint.drained(SOON).await;
    assert_eq!(endpoint.counts().await, "0|0|2|6");
    assert_eq!(endpoint.standing(r#"state, "failingSince" is null"#).await, "ok|t");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_after_holds_the_whole_destination_and_counts_no_attempt() {
    let stack = stack(&[("requests.retry_schedule", "1h")]).await;
    for status in [429, 503] {
        let receiver = Receiver::start().await;
        let endpoint = Endpoint::register(&stack, &receiver.url(), r#""parallelism" = 1"#).await;
        let wait = if status == 429 {
            "2".to_owned()
        } else {
            let date = r#"select to_char(now() at time zone 'UTC' + interval '4 s', 'Dy, DD Mon YYYY HH24:MI:SS "GMT"')"#;
            stack.internal().value(date).await
        };
        receiver.next([Behaviour::Answer(status, format!("Retry-After: {wait}"), String::new())]);
        let _road = road(&stack, &[FAILS]).await;
        endpoint.send(0, 3, 0).await;
        endpoint.drained(SOON).await;
        let received = receiver.received();
        assert_eq!(received.len(), 4, "{status}");
        let pause = received[1].at.duration_since(received[0].at);
        assert!(pause >= Duration::from_millis(1_500), "{status}: {pause:?}");
        assert_eq!(endpoint.counts().await, "0|0|3|1");
        let counted = format!(
            r#"select max(number) from "HttpAttempt" where outcome = 'delivered' and "destinationId" = '{}'"#,
            endpoint.id
        );
        assert_eq!(stack.internal().value(&counted).await, "1", "{status}: no attempt was counted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gone_pauses_the_trigger_and_says_so() {
    let stack = stack(&[]).await;
    let (receiver, operator) = (Receiver::start().await, Receiver::start().await);
    receiver.behave(Behaviour::Status(410));
    let endpoint = Endpoint::register(&stack, &receiver.url(), r#""parallelism" = 1"#).await;
    let _listening = Endpoint::listen(&stack, &operator.url(), "trigger.paused").await;
    let _road = road(&stack, &[FAILS, "a trigger was paused"]).await;
    endpoint.send(0, 5, 0).await;
    until("the operator to be told", async || operator.count() == 1).await;
    assert!(operator.received()[0].body.contains("trigger.paused"), "{}", operator.received()[0].body);
    let state =
        r#"select state, "stateReason" like '%410%' from "HttpTrigger" where '{test.event}' = events"#;
    assert_eq!(stack.internal().value(state).await, "paused|t");
    until("nothing to be under way", async || {
        stack.internal().value(r#"select count(*) from "OutgoingRequest" where kind = 'delivery'"#).await
            == "0"
    })
    .await;
    assert_eq!(endpoint.counts().await, "5|0|0|1", "what waits is kept");
    assert_eq!(receiver.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_with_nothing_but_failures_for_too_long_is_paused() {
    let schedule = ["200ms"; 60].join(",");
    let stack = stack(&[
        ("requests.pause_after", "2s"),
        ("requests.retry_schedule", &schedule),
        ("requests.breaker_samples", "1000"),
    ])
    .await;
    let receiver = Receiver::start().await;
    receiver.behave(Behaviour::Status(404));
    let endpoint = Endpoint::register(&stack, &receiver.url(), "").await;
    let _road = road(&stack, &[FAILS, "a trigger was paused"]).await;
    endpoint.send(0, 1, 0).await;
    let state = r#"select state, "stateReason" from "HttpTrigger""#;
    until("the trigger to be paused", async || {
        stack.internal().value(state).await.starts_with("paused|There were only failures for ")
    })
    .await;
    assert!(endpoint.counts().await.starts_with("1|0|0|"), "{}", endpoint.counts().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_attempts_and_old_dead_requests_go() {
    let stack = stack(&[]).await;
    let receiver = Receiver::start().await;
    let endpoint = Endpoint::register(&stack, &receiver.url(), "").await;
    let id = endpoint.id;
    let old = format!(
        r#"insert into "HttpAttempt" ("requestId", at, "destinationId", number, outcome, "durationMillis")
             select gen_random_uuid(), now() - d * interval '1 day', '{id}', 1, 'failed', 5 from unnest('{{6, 8}}'::int[]) d,
               generate_series(1, 6000);
           insert into "OutgoingRequest" (kind, "destinationId", position, state, "diedAt")
             select 'http', '{id}', nextval('outgoing_request_seq'), 'dead', now() - d * interval '1 day'
             from unnest('{{29, 31}}'::int[]) d"#
    );
    stack.internal().sql(&old).await;
    let _road = road(&stack, &[]).await;
    until("what is too old to be gone", async || endpoint.counts().await == "0|1|0|6000").await;
}
