//! Whatever is done for one destination reads that destination's requests, whatever others have and whatever the planner
//! believes.

use std::time::{Duration, SystemTime};

use deadpool_postgres::Object;
use tenant_sync_core::db::Internal;
use tenant_sync_core::outbox::requests::{self, Delivery, Fate, Next};
use tenant_sync_core::outbox::{
    Finished, Held, Replay, RequestFilter, RequestState, delete_orphans, replay_requests, sweep_destinations,
};
use tenant_sync_tests::endpoint::Endpoint;
use tokio_postgres::Client;
use uuid::Uuid;

use super::settling::{AGAIN, WELL, attempt, taken};
use super::{stack, until};

/// Pages of the outbox and its indexes that a session touches, by the server's statistics.
pub(super) struct Pages<'a> {
    session: &'a Object,
    observer: &'a Client,
}

impl<'a> Pages<'a> {
    /// Waits until no session but these two is there: what others have read is counted when they end.
    pub(super) async fn of(session: &'a Object, observer: &'a Client) -> Self {
        until("the other sessions to end", async || {
            let sessions = "select count(*) from pg_stat_activity
                            where datname = current_database() and backend_type = 'client backend'";
            observer.query_one(sessions, &[]).await.expect("activity").get::<_, i64>(0) == 2
        })
        .await;
        observer.batch_execute("select pg_stat_force_next_flush()").await.expect("flush");
        Self { session, observer }
    }

    /// All so far.
    pub(super) async fn touched(&self) -> i64 {
        self.session.batch_execute("select pg_stat_force_next_flush()").await.expect("flush");
        let blocks = r#"select heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit
                        from pg_statio_user_tables where relname = 'OutgoingRequest'"#;
        self.observer.query_one(blocks, &[]).await.expect("statistics").get(0)
    }

    /// What a step touches.
    async fn during<T>(&self, step: impl Future<Output = T>) -> (T, i64) {
        let before = self.touched().await;
        let done = step.await;
        (done, self.touched().await - before)
    }
}

/// Statistics are those of an empty outbox, and stay so.
pub(super) async fn believed_to_be_empty(sql: &Client) {
    let quiet = r#"alter table "OutgoingRequest" set (autovacuum_enabled = off)"#;
    sql.batch_execute(quiet).await.expect("nobody else reads it");
    sql.batch_execute(r#"vacuum analyze "OutgoingRequest""#).await.expect("vacuum");
}

/// A delivery row that is not there.
fn nobodys(delivery: &Delivery) -> Delivery {
    let held = Held { request_id: Uuid::nil(), claim: 1 };
    Delivery { held, tenancy_id: None, destination: None, ..*delivery }
}

/// Pages that a step for one destination may touch.
const LIMIT: i64 = 100;

/// Twenty thousand requests of a destination wait, and as many were given up.
async fn crowd(endpoint: &Endpoint<'_>, sql: &Client) {
    endpoint.send(0, 40_000, 0).await;
    let dead = r#"update "OutgoingRequest" set state = 'dead', "diedAt" = now() where kind = 'http' and position % 2 = 0"#;
    sql.batch_execute(dead).await.expect("the dead");
}

fn assert_within_limit(all: &[(&str, i64)]) {
    let too_many: Vec<_> = all.iter().filter(|(_, touched)| *touched > LIMIT).collect();
    assert!(too_many.is_empty(), "pages of the outbox for 3 requests of 40,003: {too_many:?} of {all:?}");
}

/// A turn of a destination with three requests touches what is its own beside a crowd of another's, from the first step
/// to the last.
#[tokio::test(flavor = "multi_thread")]
async fn a_turn_reads_its_own_requests_and_nobody_elses() {
    let stack = stack(&[]).await;
    let other = Endpoint::register(&stack, "https://crowd.test/", "").await;
    let endpoint = Endpoint::register(&stack, "https://receiver.test/", "").await;
    let (session, delivery) = taken(&stack, &endpoint).await;
    let sql = stack.internal().connect().await;
    believed_to_be_empty(&sql).await;
    // A turn was begun (above) and is ended once: the plans of both are made now, and the session keeps them.
    assert!(!requests::end_if_nothing_waits(&session, &nobodys(&delivery)).await.expect("ends nothing"));
    crowd(&other, &sql).await;
    endpoint.send(0, 3, 1).await;
    let pages = Pages::of(&session, &sql).await;
    let mut all = Vec::new();

    let (due, touched) = pages.during(requests::due(&session, endpoint.id, None, 1_000)).await;
    let due = due.expect("reads");
    all.push(("read", touched));
    assert_eq!(due.len(), 3);

    let (in_order, touched) = pages.during(requests::due_in_order(&session, endpoint.id, 500)).await;
    all.push(("read in order", touched));
    assert_eq!(in_order.expect("reads").len(), 3);

    let attempts: Vec<_> = [Fate::Delivered, AGAIN, Fate::Dead]
        .into_iter()
        .zip(&due)
        .map(|(fate, due)| attempt(due.id, fate))
        .collect();
    let (settled, touched) = pages.during(requests::settle(&session, &delivery, "w", &attempts, WELL)).await;
    settled.expect("settles");
    all.push(("settle", touched));

    let behind = [("0".to_owned(), SystemTime::now() + Duration::from_secs(60))];
    let (moved, touched) = pages.during(requests::wait_behind(&session, endpoint.id, &behind)).await;
    moved.expect("moves");
    all.push(("wait behind", touched));

    let (ended, touched) =
        pages.during(requests::end_delivery(&session, &delivery, Next::NotBefore(Duration::ZERO))).await;
    assert_eq!(ended.expect("ends"), Finished::AskedAgain, "one of the three waits");
    all.push(("end", touched));

    let claimed = format!(
        r#"update "OutgoingRequest" set claim = 2, "startedFulfillingAt" = now(), "dueAt" = now() + interval '1 hour'
           where id = '{}'"#,
        delivery.held.request_id
    );
    sql.batch_execute(&claimed).await.expect("claimed");
    let held = Held { claim: 2, ..delivery.held };
    let pages = Pages::of(&session, &sql).await;
    let (again, touched) =
        pages.during(requests::take_delivery(&session, held, "w", Duration::from_secs(60))).await;
    assert!(again.expect("takes").is_some(), "it is queued");
    all.push(("take", touched));
    assert_within_limit(&all);
}

/// The sweep, the look for requests of triggers that are gone, and sending one destination's requests again touch no crowd
/// of another's either.
#[tokio::test(flavor = "multi_thread")]
async fn what_looks_after_destinations_reads_no_crowd() {
    let stack = stack(&[]).await;
    let other = Endpoint::register(&stack, "https://crowd.test/", "").await;
    let endpoint = Endpoint::register(&stack, "https://receiver.test/", "").await;
    let internal = Internal::new(&stack.config().database, "test").expect("internal");
    let session = internal.get().await.expect("a session");
    let sql = stack.internal().connect().await;
    believed_to_be_empty(&sql).await;
    crowd(&other, &sql).await;
    endpoint.send(0, 3, 1).await;
    let failed = format!(
        r#"delete from "OutgoingRequest" where kind <> 'http';
           update "OutgoingRequest" set attempts = 1, "dueAt" = now() + interval '1 hour' where "destinationId" = '{0}';
           update "OutgoingRequest" set state = 'dead', "diedAt" = now() where id = (
             select id from "OutgoingRequest" where "destinationId" = '{0}' limit 1)"#,
        endpoint.id
    );
    sql.batch_execute(&failed).await.expect("one is dead, two wait");
    let pages = Pages::of(&session, &sql).await;
    let mut all = Vec::new();

    let (swept, touched) = pages.during(sweep_destinations(&session, Uuid::nil(), 1_000)).await;
    assert_eq!(swept.expect("sweeps").woken, 2);
    all.push(("sweep", touched));

    let (orphans, touched) = pages.during(delete_orphans(&session, 1_000)).await;
    assert_eq!(orphans.expect("looks"), 0);
    all.push(("orphans", touched));

    let filter = RequestFilter { trigger_id: Some(endpoint.id), ..RequestFilter::default() };
    let states = [RequestState::Pending, RequestState::Dead];
    let replay = Replay::of(None, filter, &states).expect("says which");
    let (again, touched) = pages.during(replay_requests(&session, &replay)).await;
    assert_eq!(again.expect("sends again"), 3);
    all.push(("send again", touched));
    assert_within_limit(&all);
}
