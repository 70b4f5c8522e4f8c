//! The call that settles what was tried, by itself.

use std::time::{Duration, Instant};

use deadpool_postgres::Object;
use tenant_sync_core::db::Internal;
use tenant_sync_core::outbox::Held;
use tenant_sync_core::outbox::requests::{self, Attempted, Fate, Settled, Standing};
use tenant_sync_tests::endpoint::Endpoint;
use tenant_sync_tests::stack::Stack;
use tokio_postgres::Client;
use uuid::Uuid;

use super::own_range::{Pages, believed_to_be_empty};
use super::stack;

pub(super) const WELL: Standing = Standing { state: "ok", failures: 0, rests_for: None };
pub(super) const AGAIN: Fate = Fate::Again { after: Duration::from_secs(60), counts: true };

pub(super) fn attempt(id: Uuid, fate: Fate) -> Attempted {
    let well = fate == Fate::Delivered;
    Attempted {
        id,
        fate,
        began: Instant::now(),
        took: Duration::from_millis(3),
        status: Some(if well { 200 } else { 500 }),
        error_class: (!well).then_some("serverError"),
        error: (!well).then(|| "it failed".to_owned()),
        excerpt: None,
    }
}

/// A session, and the destination's delivery row, taken.
pub(super) async fn taken(stack: &Stack, endpoint: &Endpoint<'_>) -> (Object, requests::Delivery) {
    let internal = Internal::new(&stack.config().database, "test").expect("internal");
    let session = internal.get().await.expect("a session");
    let row = format!(
        r#"insert into "OutgoingRequest" (kind, "destinationId", claim, "startedFulfillingAt", "dueAt")
           values ('delivery', '{}', 1, now(), now() + interval '1 hour') returning id"#,
        endpoint.id
    );
    let request_id = stack.internal().value(&row).await.parse().expect("an id");
    let held = Held { request_id, claim: 1 };
    let delivery = requests::take_delivery(&session, held, "w", Duration::from_secs(3600)).await;
    (session, delivery.expect("taken").expect("it is queued"))
}

async fn ids(sql: &Client, limit: i64) -> Vec<Uuid> {
    let text = r#"select id from "OutgoingRequest" where kind = 'http' order by position limit $1"#;
    sql.query(text, &[&limit]).await.expect("ids").iter().map(|row| row.get(0)).collect()
}

/// Delivered, failed, dead and gone meanwhile, all in one settlement: each is what it is, and each is logged.
#[tokio::test(flavor = "multi_thread")]
async fn each_request_of_a_settlement_has_its_own_fate() {
    let stack = stack(&[]).await;
    let endpoint = Endpoint::register(&stack, "https://receiver.test/", "").await;
    let (session, delivery) = taken(&stack, &endpoint).await;
    endpoint.send(0, 4, 0).await;
    let sql = stack.internal().connect().await;
    let ids = ids(&sql, 4).await;
    let attempts: Vec<_> = [(0, Fate::Delivered), (1, AGAIN), (2, Fate::Dead)]
        .into_iter()
        .map(|(n, fate)| attempt(ids[n], fate))
        .chain([attempt(Uuid::from_u128(1), Fate::Delivered), attempt(Uuid::from_u128(2), AGAIN)])
        .collect();
    let settled = requests::settle(&session, &delivery, "w", &attempts, WELL).await.expect("settles");
    assert_eq!(settled, Settled::Ours);
    let left = r#"select position - (select min(position) from "OutgoingRequest"), state, attempts, "lastStatus", "dueAt" > now()
                  from "OutgoingRequest" where kind = 'http' order by position"#;
    assert_eq!(
        stack.internal().rows(left).await,
        ["0|pending|1|500|t", "1|dead|1|500|f", "2|pending|0|∅|f"],
        "the last one was not tried"
    );
    let logged = r#"select outcome, number, status, error, body is not null, "workerId" from "HttpAttempt" order by 1, 5"#;
    assert_eq!(
        stack.internal().rows(logged).await,
        [
            "dead|1|500|it failed|f|w",
            "delivered|1|200|∅|f|w",
            "delivered|1|200|∅|t|w",
            "failed|1|500|it failed|f|w",
            "failed|1|500|it failed|f|w"
        ],
        "also those that were gone, without what they were"
    );
}

/// All delivered, which needs no outcomes: what was removed meanwhile is logged among the others, without what it was.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_when_it_was_delivered_is_logged_all_the_same() {
    let stack = stack(&[]).await;
    let endpoint = Endpoint::register(&stack, "https://receiver.test/", "").await;
    let (session, delivery) = taken(&stack, &endpoint).await;
    endpoint.send(0, 3, 0).await;
    let sql = stack.internal().connect().await;
    let ids = ids(&sql, 2).await;
    let removed = r#"delete from "OutgoingRequest" where id = $1"#;
    assert_eq!(sql.execute(removed, &[&ids[0]]).await.expect("removed"), 1);
    let attempts = [attempt(ids[0], Fate::Delivered), attempt(ids[1], Fate::Delivered)];
    let settled = requests::settle(&session, &delivery, "w", &attempts, WELL).await.expect("settles");
    assert_eq!(settled, Settled::Ours);
    assert_eq!(endpoint.counts().await, "1|0|2|0", "the third was not tried");
    let logged = format!(
        r#"select "requestId" = '{}', outcome, number, status, body is not null, "workerId" from "HttpAttempt" order by 1"#,
        ids[0]
    );
    assert_eq!(stack.internal().rows(&logged).await, ["f|delivered|1|200|t|w", "t|delivered|1|200|f|w"]);
}

/// Nothing is written for a worker whose delivery row another one has taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_lost_its_delivery_row_settles_nothing() {
    let stack = stack(&[]).await;
    let endpoint = Endpoint::register(&stack, "https://receiver.test/", "").await;
    let (session, delivery) = taken(&stack, &endpoint).await;
    endpoint.send(0, 2, 0).await;
    let sql = stack.internal().connect().await;
    let ids = ids(&sql, 2).await;
    sql.batch_execute(r#"update "OutgoingRequest" set claim = claim + 1 where kind = 'delivery'"#)
        .await
        .expect("taken");
    let attempts = [attempt(ids[0], Fate::Delivered), attempt(ids[1], Fate::Dead)];
    for attempts in [&attempts[..], &attempts[..1]] {
        let settled = requests::settle(&session, &delivery, "w", attempts, WELL).await.expect("asks");
        assert_eq!(settled, Settled::Lost);
    }
    assert_eq!(endpoint.counts().await, "2|0|0|0");
    let untouched = r#"select "lastSuccessAt" is null, "lastError" is null from "HttpDestination""#;
    assert_eq!(stack.internal().rows(untouched).await, ["t|t"]);
}

/// The outbox is empty most of the time; whatever a session settled then, it finds requests by their keys in a full one.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_settled_in_an_empty_outbox_reads_only_its_requests_of_a_full_one() {
    let stack = stack(&[]).await;
    let endpoint = Endpoint::register(&stack, "https://receiver.test/", "").await;
    let (session, delivery) = taken(&stack, &endpoint).await;
    let sql = stack.internal().connect().await;
    believed_to_be_empty(&sql).await;
    for n in 0..6 {
        for fate in [Fate::Delivered, AGAIN] {
            let gone = [attempt(Uuid::from_u128(n), fate)];
            requests::settle(&session, &delivery, "w", &gone, WELL).await.expect("settles");
        }
    }
    endpoint.send(0, 20_000, 0).await;
    let ids = ids(&sql, 20).await;
    let pages = Pages::of(&session, &sql).await;
    for (ids, fate) in [(&ids[..10], Fate::Delivered), (&ids[10..], AGAIN)] {
        let attempts: Vec<_> = ids.iter().map(|id| attempt(*id, fate)).collect();
        let before = pages.touched().await;
        requests::settle(&session, &delivery, "w", &attempts, WELL).await.expect("settles");
        let pages = pages.touched().await - before;
        assert!(pages <= 150, "{pages} pages of the outbox for 10 requests of 20,000, {fate:?}");
    }
    assert_eq!(endpoint.counts().await, "19990|0|16|16");
}
