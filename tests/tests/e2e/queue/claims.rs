//! Claiming and the life of a row.

use std::collections::HashSet;
use std::time::{Duration, Instant, SystemTime};

use tenant_sync_core::outbox::{self, ClaimLimits, Claimed as LaneClaims, Finished, Held, Lane, Renewed};
use tenant_sync_core::queue::names::Queue;
use tenant_sync_poller::{Handed, Tick};
use tokio_postgres::IsolationLevel;

use super::stack::{ManualPoller, Stack, eventually};

const HOUR: Duration = Duration::from_secs(3600);

fn claimed(tick: &Tick) -> usize {
    if let Tick::Claimed(handed) = tick { handed.claimed } else { 0 }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pollers_at_once_never_publish_a_claim_twice() {
    let stack = Stack::new(&[("poller.batch_size", "50")]).await;
    stack.due_rows(1_000).await;
    let (mut a, mut b) = (stack.poller().await, stack.poller().await);
    let mut by_each = [0, 0];
    loop {
        let (x, y) = tokio::join!(a.poller.tick(), b.poller.tick());
        let (x, y) = (claimed(&x.expect("tick")), claimed(&y.expect("tick")));
        by_each[0] += x;
        by_each[1] += y;
        if x + y == 0 {
            break;
        }
    }
    assert_eq!(by_each[0] + by_each[1], 1_000, "{by_each:?}");
    let messages = stack.drain(Queue::Live).await;
    let ids: HashSet<_> = messages.iter().map(|m| m.properties.message_id().clone().expect("id")).collect();
    assert_eq!((messages.len(), ids.len()), (1_000, 1_000));
    assert_eq!(stack.count("claim = 1").await, 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_max_queued_rows_are_ahead_of_the_workers_over_all_pollers() {
    let stack = Stack::new(&[("poller.batch_size", "40"), ("poller.max_queued", "100")]).await;
    stack.due_rows(300).await;
    let (mut a, mut b) = (stack.poller().await, stack.poller().await);
    for _ in 0..4 {
        let (x, y) = tokio::join!(a.poller.tick(), b.poller.tick());
        x.and(y).expect("tick");
        assert!(stack.count(r#""startedFulfillingAt" is not null"#).await <= 100);
    }
    assert_eq!(stack.ready(Queue::Live).await, 100);

    let client = stack.session().await;
    assert_eq!(outbox::queued_count(&client, 1_000).await.expect("count"), 100);
    let text = r#"select id from "OutgoingRequest" where "startedFulfillingAt" is not null limit 30"#;
    for row in stack.sql.query(text, &[]).await.expect("rows") {
        let held = Held { request_id: row.get(0), claim: 1 };
        outbox::take(&client, held, "w", HOUR).await.expect("take").expect("queued");
    }
    let tick = a.poller.tick().await.expect("tick");
    assert_eq!(tick, Tick::Claimed(Handed { claimed: 30, published: 30, given_back: 0, more: false }));
}

/// The plan of a statement that was prepared while the outbox was empty would compare each row with each.
#[tokio::test(flavor = "multi_thread")]
async fn a_poller_that_idled_is_quick_when_many_rows_come() {
    let stack = Stack::new(&[("database.pool_size", "1")]).await;
    let mut poller = stack.poller().await;
    stack.sql.batch_execute(r#"vacuum analyze "OutgoingRequest""#).await.expect("vacuum");
    for _ in 0..10 {
        assert_eq!(poller.poller.tick().await.expect("tick"), Tick::Idle);
    }
    let many = r#"insert into "OutgoingRequest" ("deduplicationKey", "tenancyId", "databaseId")
                  select 'sync:' || n, gen_random_uuid(), 't' from generate_series(1, 20000) n"#;
    stack.sql.batch_execute(many).await.expect("insert");
    let began = Instant::now();
    for _ in 0..3 {
        assert_eq!(claimed(&poller.poller.tick().await.expect("tick")), 1_000);
    }
    assert!(began.elapsed() < Duration::from_secs(6), "three claims took {:?}", began.elapsed());
}

/// While somebody holds an old snapshot, the index keeps every row that was processed since. Only a scan of
/// everything (a poller's first) walks over them.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_costs_what_is_due_and_not_what_was_processed_under_an_old_snapshot() {
    let mut stack = Stack::new(&[]).await;
    let mut other = stack.kit.internal().connect().await;
    let snapshot = other.build_transaction().isolation_level(IsolationLevel::RepeatableRead).start().await;
    let snapshot = snapshot.expect("begin");
    snapshot.query_one("select 1", &[]).await.expect("snapshot");
    let processed = r#"insert into "OutgoingRequest" ("deduplicationKey", "tenancyId", "databaseId", "dueAt")
                       select 'sync:' || n, gen_random_uuid(), 't', now() - interval '1 minute'
                       from generate_series(1, 100000) n; delete from "OutgoingRequest""#;
    let transaction = stack.sql.transaction().await.expect("begin");
    transaction.batch_execute(processed).await.expect("processed");
    transaction.commit().await.expect("commit");

    let (mut first, mut later) = (Duration::MAX, Duration::MAX);
    for _ in 0..3 {
        let mut poller = stack.poller().await;
        first = first.min(idle_tick(&mut poller).await);
        for _ in 0..5 {
            later = later.min(idle_tick(&mut poller).await);
        }
    }
    snapshot.commit().await.expect("release");
    assert!(later * 4 < first, "a later look took {later:?}, a scan of everything {first:?}");
}

async fn idle_tick(poller: &mut ManualPoller) -> Duration {
    let began = Instant::now();
    assert_eq!(poller.poller.tick().await.expect("tick"), Tick::Idle);
    began.elapsed()
}

/// One poller has claimed and not yet committed while another counts: they take turns, so that it sees them.
#[tokio::test(flavor = "multi_thread")]
async fn the_bound_holds_while_another_claim_is_not_committed_yet() {
    let stack = Stack::new(&[]).await;
    stack.due_rows(100).await;
    let hold = r#"create function hold() returns trigger language plpgsql as
                  $$ begin perform pg_advisory_xact_lock(42); return null; end $$;
                  create constraint trigger hold after update on "OutgoingRequest" deferrable initially deferred
                  for each row execute function hold()"#;
    stack.sql.batch_execute(hold).await.expect("trigger");
    let limits = ClaimLimits { batch: 30, max_queued: 50, lease: HOUR };
    let floors = LaneClaims { live: SystemTime::UNIX_EPOCH, bulk: SystemTime::UNIX_EPOCH };
    let claim = || {
        let internal = stack.internal();
        tokio::spawn(async move {
            let client = internal.get().await.expect("session");
            outbox::claim(&client, limits, floors).await.map(|claimed| claimed.live.claims.len())
        })
    };
    // A claim that waits longer than a second is given up; then the round is run again.
    loop {
        stack.sql.execute("select pg_advisory_lock(42)", &[]).await.expect("lock");
        let first = claim();
        eventually("the first is about to commit", async || stack.lock_waiters().await == 1).await;
        let second = claim();
        eventually("the second waits, too", async || stack.lock_waiters().await == 2).await;
        stack.sql.execute("select pg_advisory_unlock(42)", &[]).await.expect("unlock");
        let both = (first.await.expect("task"), second.await.expect("task"));
        assert!(stack.count(r#""startedFulfillingAt" is not null"#).await <= 50);
        if let (Ok(first), Ok(second)) = both {
            assert_eq!((first, second), (30, 20));
            break;
        }
        let again = r#"update "OutgoingRequest" set "startedFulfillingAt" = null, "dueAt" = now()"#;
        stack
            .sql
            .batch_execute(&format!("begin; set local session_replication_role = replica; {again}; commit"))
            .await
            .expect("again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_rows_leave_half_of_the_queue_to_live_ones() {
    let stack = Stack::new(&[("poller.max_queued", "20")]).await;
    stack.due_rows(50).await;
    stack.sql.execute(r#"update "OutgoingRequest" set lane = 'bulk'"#, &[]).await.expect("update");
    let mut poller = stack.poller().await;
    assert_eq!(claimed(&poller.poller.tick().await.expect("tick")), 10);
    stack.due_rows(30).await;
    assert_eq!(claimed(&poller.poller.tick().await.expect("tick")), 10);
    assert_eq!((stack.ready(Queue::Live).await, stack.ready(Queue::Bulk).await), (10, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_lapsed_is_due_again_and_its_message_is_stale() {
    let stack = Stack::new(&[("poller.claim_lease", "3s")]).await;
    let rows = stack.due_rows(1).await;
    let mut poller = stack.poller().await;
    assert_eq!(claimed(&poller.poller.tick().await.expect("tick")), 1);
    assert_eq!(claimed(&poller.poller.tick().await.expect("tick")), 0, "the lease holds");
    let client = stack.session().await;
    let request_id = stack.only_row().await;

    eventually("the claim has lapsed", async || stack.count(r#""dueAt" > now()"#).await == 0).await;
    let first = Held { request_id, claim: 1 };
    assert_eq!(outbox::take(&client, first, "w", HOUR).await.expect("take"), None, "lapsed");
    assert_eq!(claimed(&poller.poller.tick().await.expect("tick")), 1);
    assert_eq!(outbox::take(&client, first, "w", HOUR).await.expect("take"), None, "claimed again");
    eventually("only the new message is left", async || stack.ready(Queue::Live).await <= 1).await;

    let second = Held { request_id, claim: 2 };
    let taken = outbox::take(&client, second, "w", HOUR).await.expect("take").expect("ours");
    assert_eq!((taken.target, taken.attempts, taken.lane), (rows[0].clone(), 0, Lane::Live));
    assert_eq!(outbox::take(&client, second, "w", HOUR).await.expect("take"), None, "delivered twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_removed_only_if_nobody_asked_while_it_ran() {
    let stack = Stack::new(&[]).await;
    let rows = stack.due_rows(1).await;
    let mut poller = stack.poller().await;
    let client = stack.session().await;
    let request_id = stack.only_row().await;

    poller.poller.tick().await.expect("tick");
    let held = Held { request_id, claim: 1 };
    let taken = outbox::take(&client, held, "w", HOUR).await.expect("take").expect("ours");
    outbox::enqueue(&client, &rows, None).await.expect("asked again");
    assert_eq!(outbox::finish(&client, held, taken.counter).await.expect("finish"), Finished::AskedAgain);
    assert_eq!(outbox::finish(&client, held, taken.counter).await.expect("finish"), Finished::Lost);

    assert_eq!(claimed(&poller.poller.tick().await.expect("tick")), 1);
    let held = Held { request_id, claim: 2 };
    assert_eq!(outbox::renew(&client, held, HOUR).await.expect("renew"), Renewed::Lost, "not taken yet");
    let taken = outbox::take(&client, held, "w", HOUR).await.expect("take").expect("ours");
    assert_eq!(outbox::renew(&client, held, HOUR).await.expect("renew"), Renewed::Ours);
    assert_eq!(outbox::finish(&client, held, taken.counter).await.expect("finish"), Finished::Gone);
    assert_eq!(stack.count("true").await, 0);
}

/// The sequencer asks again just while the worker removes the row: whoever comes second sees the first.
#[tokio::test(flavor = "multi_thread")]
async fn asking_while_the_row_is_being_removed_is_not_lost() {
    let mut stack = Stack::new(&[]).await;
    stack.due_rows(1).await;
    stack.poller().await.poller.tick().await.expect("tick");
    let client = stack.session().await;
    let request_id = stack.only_row().await;
    let held = Held { request_id, claim: 1 };
    let taken = outbox::take(&client, held, "w", HOUR).await.expect("take").expect("ours");

    let asking = stack.sql.transaction().await.expect("begin");
    asking.execute(r#"update "OutgoingRequest" set counter = counter + 1"#, &[]).await.expect("ask");
    let finishing = tokio::spawn(async move { outbox::finish(&client, held, taken.counter).await });
    let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    eventually("the worker waits for the sequencer", async || {
        asking.query_one(waiting, &[]).await.expect("activity").get::<_, i64>(0) == 1
    })
    .await;
    asking.commit().await.expect("commit");
    assert_eq!(finishing.await.expect("task").expect("finish"), Finished::AskedAgain);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_request_does_not_shorten_a_back_off() {
    let stack = Stack::new(&[]).await;
    let rows = stack.due_rows(1).await;
    let mut poller = stack.poller().await;
    poller.poller.tick().await.expect("tick");
    let client = stack.session().await;
    let request_id = stack.only_row().await;
    let held = Held { request_id, claim: 1 };
    outbox::take(&client, held, "w", HOUR).await.expect("take").expect("ours");
    assert!(outbox::failed(&client, held, HOUR).await.expect("failed"));
    outbox::enqueue(&client, &rows, None).await.expect("asked again");
    let state = r#"counter = 1 and attempts = 1 and "dueAt" > now() + interval '59 minutes'
                   and "startedFulfillingAt" is null"#;
    assert_eq!(stack.count(state).await, 1);
    assert_eq!(poller.poller.tick().await.expect("tick"), Tick::Idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_we_give_back_costs_no_attempt_and_a_backfill_goes_on_in_bulk() {
    let stack = Stack::new(&[]).await;
    stack.due_rows(1).await;
    let mut poller = stack.poller().await;
    let client = stack.session().await;
    let request_id = stack.only_row().await;
    for (claim, queue) in [(1, Queue::Live), (2, Queue::Live), (3, Queue::Bulk)] {
        assert_eq!(claimed(&poller.poller.tick().await.expect("tick")), 1);
        assert_eq!(stack.drain(queue).await.len(), 1);
        let held = Held { request_id, claim };
        let taken = outbox::take(&client, held, "w", HOUR).await.expect("take").expect("ours");
        assert_eq!(taken.attempts, 0);
        let pending = match claim {
            1 => outbox::give_back(&client, held, Duration::ZERO).await,
            _ => outbox::continue_bulk(&client, held).await,
        };
        assert!(pending.expect("pending"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_somebody_holds_blocks_nobody_and_is_not_forgotten() {
    let mut stack = Stack::new(&[]).await;
    stack.due_rows(20).await;
    let mut poller = stack.poller().await;
    // Due for a minute: far below where a scan would begin that had found nothing.
    let age = r#"update "OutgoingRequest" set "dueAt" = now() - interval '1 minute'"#;
    stack.sql.execute(age, &[]).await.expect("age");
    let holding = stack.sql.transaction().await.expect("begin");
    let held = r#"select id from "OutgoingRequest" where "databaseId" = 't7' for update"#;
    holding.query_one(held, &[]).await.expect("lock");

    let began = Instant::now();
    assert_eq!(claimed(&poller.poller.tick().await.expect("tick")), 19);
    assert_eq!(poller.poller.tick().await.expect("tick"), Tick::Idle);
    assert!(began.elapsed() < Duration::from_secs(5), "waited for the lock");
    holding.rollback().await.expect("release");
    assert_eq!(claimed(&poller.poller.tick().await.expect("tick")), 1, "the floor stays below it");
}
