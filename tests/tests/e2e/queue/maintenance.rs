//! Applications' wishes and visits.

use std::time::Duration;

use tenant_sync_core::outbox::{self, Folded};
use tenant_sync_poller::{Maintained, Place, maintain};

use super::stack::Stack;

#[tokio::test(flavor = "multi_thread")]
async fn what_an_application_asks_for_becomes_one_row_a_target() {
    let stack = Stack::new(&[]).await;
    let tenancy = stack.tenancy(3).await;
    let nobody = stack.tenancy(0).await;
    let pause = r#"update "ExternalDatabase" set state = 'paused' where id = 't2'"#;
    for _ in 0..2 {
        stack.sql.execute("select enqueue_tenant_sync($1)", &[&tenancy]).await.expect("ask");
        stack.sql.execute("select enqueue_tenant_sync($1)", &[&nobody]).await.expect("ask");
    }
    stack.sql.execute(pause, &[]).await.expect("pause");
    assert_eq!(stack.count("kind = 'ask'").await, 6);
    let maintained =
        maintain(&stack.internal(), &stack.config, &mut Place::default()).await.expect("maintain");
    assert_eq!(maintained, Maintained { asks: 6, visits: 0, woken: 0, faults: 0 });
    assert_eq!((stack.count("kind = 'ask'").await, stack.count("kind = 'sync'").await), (0, 2));
    stack.sql.execute("select enqueue_tenant_sync($1)", &[&tenancy]).await.expect("ask");
    maintain(&stack.internal(), &stack.config, &mut Place::default()).await.expect("maintain");
    assert_eq!(stack.count("kind = 'sync' and counter = 1").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ask_for_a_row_that_somebody_holds_waits_alone() {
    let mut stack = Stack::new(&[]).await;
    let rows = stack.due_rows(2).await;
    stack.sql.execute("select enqueue_tenant_sync($1)", &[&rows[0].tenancy_id]).await.expect("ask");
    let client = stack.session().await;
    let holding = stack.sql.transaction().await.expect("begin");
    let lock = r#"select id from "OutgoingRequest" where kind = 'sync' and "databaseId" = 't0' for update"#;
    holding.query_one(lock, &[]).await.expect("lock");
    let folded = tokio::time::timeout(Duration::from_secs(5), outbox::fold_asks(&client, 100, None)).await;
    assert_eq!(folded.expect("does not wait").expect("fold"), Folded { asks: 1, targets: 1 });
    holding.rollback().await.expect("release");
    assert_eq!(outbox::fold_asks(&client, 100, None).await.expect("fold"), Folded { asks: 1, targets: 1 });
}

#[tokio::test(flavor = "multi_thread")]
async fn visits_are_bounded_spread_and_not_for_paused_targets() {
    let stack = Stack::new(&[]).await;
    stack.tenancy(40).await;
    let due = r#"update "ExternalDatabase" set "nextVisitAt" = now() - interval '1 s'"#;
    stack.sql.execute(due, &[]).await.expect("due");
    let pause = r#"update "ExternalDatabase" set state = 'paused' where id in ('t0', 't1')"#;
    stack.sql.execute(pause, &[]).await.expect("pause");
    let client = stack.session().await;
    let hour = Duration::from_secs(3600);
    assert_eq!(outbox::enqueue_due_visits(&client, hour, 30, None).await.expect("visits"), 30);
    assert_eq!(outbox::enqueue_due_visits(&client, hour, 30, None).await.expect("visits"), 8);
    assert_eq!(outbox::enqueue_due_visits(&client, hour, 30, None).await.expect("visits"), 0);
    assert_eq!(stack.count("kind = 'sync' and counter = 0").await, 38);
    let spread = r#"select count(distinct "nextVisitAt"), min("nextVisitAt") > now() + interval '53 minutes',
                           max("nextVisitAt") < now() + interval '67 minutes'
                    from "ExternalDatabase" where state = 'ok'"#;
    let row = stack.sql.query_one(spread, &[]).await.expect("spread");
    assert!(row.get::<_, i64>(0) > 30 && row.get::<_, bool>(1) && row.get::<_, bool>(2));
    // A target that is asked for already is visited by that.
    stack.sql.execute(due, &[]).await.expect("due");
    assert_eq!(outbox::enqueue_due_visits(&client, hour, 100, None).await.expect("visits"), 38);
    assert_eq!(stack.count("kind = 'sync' and counter = 0").await, 38);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_poller_has_the_turn_and_a_dead_ones_turn_ends() {
    let stack = Stack::new(&[]).await;
    let (a, b) = (stack.session().await, stack.session().await);
    let hour = Duration::from_secs(3600);
    let (x, y) = tokio::join!(outbox::take_turn(&a, "duty", hour), outbox::take_turn(&b, "duty", hour));
    assert!(x.expect("turn") ^ y.expect("turn"));
    assert!(outbox::take_turn(&b, "other", hour).await.expect("turn"));
    stack.sql.execute(r#"update "CacheEntry" set "expiresAt" = now()"#, &[]).await.expect("end");
    assert!(outbox::take_turn(&b, "duty", hour).await.expect("turn"));
}
