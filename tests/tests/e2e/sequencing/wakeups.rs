//! No wake-up is lost, and nobody who holds a request's row stops the passes.

use std::time::Duration;

use tenant_sync_core::outbox::{self, Finished, Held, TargetKey};
use tenant_sync_tests::wait::eventually;
use uuid::Uuid;

use super::source::{BATCH, Source, pass, run, value};

const HOUR: Duration = Duration::from_secs(3600);

/// A tenancy with a target whose request waits already, and which has something new.
async fn waiting(source: &Source) -> (Uuid, Uuid) {
    let tenancy = source.tenancy_with_target().await;
    source.user(tenancy).await;
    source.settle().await;
    (tenancy, source.user(tenancy).await)
}

async fn counter(source: &Source, tenancy: Uuid) -> String {
    let query = format!(
        r#"select "counter" from "OutgoingRequest" where "tenancyId" = '{tenancy}' and "kind" = 'sync'"#
    );
    source.value(&query).await
}

/// An application's or a poller's open transaction on a request makes its tenant wait, and nobody else.
#[tokio::test]
async fn a_request_that_somebody_holds_makes_only_its_tenant_wait() {
    for holds in [
        r#"select from "OutgoingRequest" where "tenancyId" = '$T' for update"#,
        r#"update "OutgoingRequest" set "claim" = "claim" + 1, "startedFulfillingAt" = now(), "dueAt" = now() + interval '30 s' where "tenancyId" = '$T'"#,
        r#"delete from "OutgoingRequest" where "tenancyId" = '$T'"#,
    ] {
        let source = Source::new().await;
        let (held, free) = (source.tenancy_with_target().await, source.tenancy_with_target().await);
        for tenancy in [held, free] {
            source.user(tenancy).await;
        }
        source.settle().await;
        let (waits, goes_on) = (source.user(held).await, source.user(free).await);
        let mut other = source.session().await;
        let open = other.transaction().await.expect("begin");
        run(open.client(), &holds.replace("$T", &held.to_string())).await;
        let done = source.pass().await;
        assert_eq!((done.rows, done.asked), (1, 1), "{holds}");
        assert!(source.user_id(goes_on).await.is_some() && source.user_id(waits).await.is_none());
        assert_eq!(counter(&source, free).await, "1");

        open.commit().await.expect("commit");
        let done = source.pass().await;
        assert_eq!((done.rows, done.asked), (1, 1), "{holds}");
        let expected = if holds.starts_with("delete") { "0" } else { "1" };
        assert_eq!(counter(&source, held).await, expected, "asked again, or anew");
    }
}

/// A worker removes the row just while a pass that asks again is open. Returns whether anybody is asked afterwards.
async fn asked_after_a_finish_during_the_pass(source: &Source) -> (Finished, bool) {
    let (tenancy, user) = waiting(source).await;
    source
        .run(r#"update "OutgoingRequest" set "claim" = 1, "startedFulfillingAt" = now(), "dueAt" = now() + interval '1 hour'"#)
        .await;
    let worker = source.internal().get().await.expect("a session");
    let id = source.value(r#"select "id" from "OutgoingRequest""#).await.parse().expect("an id");
    let held = Held { request_id: id, claim: 1 };
    let taken = outbox::take(&worker, held, "w", HOUR).await.expect("takes").expect("it is ours");

    let mut sequencer = source.session().await;
    let open = sequencer.transaction().await.expect("begin");
    assert_eq!(pass(open.client(), BATCH).await.rows, 1);
    assert_eq!(source.user_id(user).await, None, "the worker cannot see the id yet");
    let finishing = tokio::spawn(async move { outbox::finish(&worker, held, taken.counter).await });
    blocked(source).await;
    open.commit().await.expect("commit");
    let finished = finishing.await.expect("the worker").expect("finishes");
    let query = format!(
        r#"select count(*) from "OutgoingRequest" where "tenancyId" = '{tenancy}' and "dueAt" <= now()"#
    );
    (finished, source.value(&query).await == "1")
}

/// Waits until a session of this database waits for a lock.
async fn blocked(source: &Source) {
    let query = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    eventually(Duration::from_secs(20), "a session to wait for a lock", async || {
        if source.value(query).await == "0" { Err("nobody waits") } else { Ok(()) }
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_finishes_while_a_pass_asks_again_loses_nothing() {
    let source = Source::new().await;
    assert_eq!(asked_after_a_finish_during_the_pass(&source).await, (Finished::AskedAgain, true));

    let source = Source::new().await;
    let guard = r#"do update set "counter" = "OutgoingRequest"."counter" + 1, "traceparent" = excluded."traceparent""#;
    source.without("build_sequencer", guard, "do nothing").await;
    assert_eq!(
        asked_after_a_finish_during_the_pass(&source).await,
        (Finished::Gone, false),
        "without the counter the wake-up would be lost"
    );
}

/// Somebody has inserted a request of the same deduplication key and does not commit.
#[tokio::test]
async fn an_uncommitted_request_of_the_same_key_stops_nobody_else() {
    let source = Source::new().await;
    let (held, free) = (source.tenancy_with_target().await, source.tenancy_with_target().await);
    let mut other = source.session().await;
    let open = other.transaction().await.expect("begin");
    run(
        open.client(),
        &format!(
            r#"insert into "OutgoingRequest" ("deduplicationKey", "tenancyId", "databaseId") values ('sync:{held}:main', '{held}', 'main')"#
        ),
    )
    .await;
    let (waits, goes_on) = (source.user(held).await, source.user(free).await);
    let done = source.pass().await;
    assert_eq!((done.rows, done.parked), (1, 0), "{done:?}");
    assert!(source.user_id(goes_on).await.is_some() && source.user_id(waits).await.is_none());
    // Later passes do not even try while it waits.
    let late = source.user(free).await;
    assert_eq!(source.pass().await.rows, 1);
    assert!(source.user_id(late).await.is_some());

    open.commit().await.expect("commit");
    eventually(Duration::from_secs(20), "the tenant to be tried again", async || {
        source.pass().await;
        source.user_id(waits).await.ok_or("no id yet")
    })
    .await;
    assert_eq!(counter(&source, held).await, "1");
}

#[tokio::test]
async fn what_an_application_asks_for_in_an_open_transaction_stops_nobody() {
    let source = Source::new().await;
    let (tenancy, user) = waiting(&source).await;
    let mut application = source.session().await;
    let open = application.transaction().await.expect("begin");
    assert_eq!(value(open.client(), &format!("select enqueue_tenant_sync('{tenancy}')")).await, "1");
    assert_eq!(source.pass().await.rows, 1);
    assert!(source.user_id(user).await.is_some());
    assert_eq!(counter(&source, tenancy).await, "1");
    open.commit().await.expect("commit");
    let client = source.internal().get().await.expect("a session");
    let folded = outbox::fold_asks(&client, 100, None).await.expect("folds");
    assert_eq!((folded.asks, folded.targets), (1, 1));
    assert_eq!(counter(&source, tenancy).await, "2");
}

/// A tenancy without a target, or with a paused one only, is never enqueued.
#[tokio::test]
async fn without_a_target_nobody_is_asked() {
    let source = Source::new().await;
    let (none, paused) = (source.tenancy().await, source.tenancy_with_target().await);
    source.run(r#"update "ExternalDatabase" set "state" = 'paused'"#).await;
    source.user(none).await;
    source.user(paused).await;
    let done = source.pass().await;
    assert_eq!((done.rows, done.asked), (2, 0));
    for tenancy in [none, paused] {
        assert_eq!(source.value(&format!("select enqueue_tenant_sync('{tenancy}')")).await, "0");
    }
    assert_eq!(source.value(r#"select count(*) from "OutgoingRequest""#).await, "0");
}

/// Everybody who writes many requests does so in the order of their keys; else two of them deadlock.
#[tokio::test]
async fn many_requests_are_written_in_the_order_of_their_keys() {
    let source = Source::new().await;
    let mut tenancies = Vec::new();
    for _ in 0..40 {
        tenancies.push(source.tenancy_with_target().await);
    }
    source
        .run(
            r#"create table arrivals (n bigint generated always as identity, key text);
               create function arrive() returns trigger language plpgsql as
                 $$ begin insert into arrivals (key) values (new."deduplicationKey"); return null; end $$;
               create trigger arrive after insert or update on "OutgoingRequest" for each row
                 when (new."kind" = 'sync') execute function arrive()"#,
        )
        .await;
    let client = source.internal().get().await.expect("a session");
    let targets: Vec<TargetKey> =
        tenancies.iter().map(|id| TargetKey { tenancy_id: *id, database_id: "main".into() }).collect();
    let change = async || {
        for tenancy in &tenancies {
            source.user(*tenancy).await;
        }
        assert_eq!(source.pass().await.asked, 40);
    };
    let in_order = async |who: &str| {
        let arrived = source.rows("select key from arrivals order by n").await;
        let mut sorted = arrived.clone();
        sorted.sort();
        assert_eq!((arrived.len(), &arrived), (40, &sorted), "{who}");
        source.run("truncate arrivals").await;
    };
    change().await;
    in_order("a pass that inserts").await;
    change().await;
    in_order("a pass that asks again").await;
    outbox::enqueue(&client, &targets, None).await.expect("enqueues");
    in_order("asking again").await;
    for tenancy in &tenancies {
        source.value(&format!("select enqueue_tenant_sync('{tenancy}')")).await;
    }
    outbox::fold_asks(&client, 100, None).await.expect("folds");
    in_order("folding").await;
    source.run(r#"delete from "OutgoingRequest"; update "ExternalDatabase" set "nextVisitAt" = now() - random() * interval '1 h'"#).await;
    outbox::enqueue_due_visits(&client, HOUR, 100, None).await.expect("visits");
    in_order("the sweep").await;
    source.run(r#"delete from "OutgoingRequest""#).await;
    outbox::enqueue(&client, &targets, None).await.expect("enqueues");
    in_order("asking").await;
}
