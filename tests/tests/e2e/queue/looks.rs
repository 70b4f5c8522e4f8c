//! The look with which a poller's tick begins: whether anything is due at all.

use std::time::{Duration, SystemTime};

use tenant_sync_core::outbox::{self, AskedBy, Claimed, Look, LookFrom};
use tenant_sync_tests::database::{pages, rows};

use super::stack::Stack;

const EVERYTHING: SystemTime = SystemTime::UNIX_EPOCH;
const DELETE_ALL: &str = r#"delete from "OutgoingRequest""#;

async fn look(stack: &Stack, due_from: SystemTime, asked_by: &AskedBy) -> Look {
    let from = LookFrom { syncs: Claimed { live: due_from, bulk: due_from }, deliveries: due_from, asked_by };
    outbox::look_for_due(&stack.session().await, from).await.expect("a look")
}

fn found(due: &Look) -> (bool, bool, bool) {
    (due.syncs, due.deliveries, due.asks)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_says_what_is_due_of_which_kind_and_nothing_else() {
    let stack = Stack::new(&[]).await;
    let sync = |lane: &str, due: &str| {
        format!(
            r#"insert into "OutgoingRequest" ("deduplicationKey", "tenancyId", "databaseId", lane, "dueAt")
               select 'sync:' || n, gen_random_uuid(), 't', '{lane}', {due} from generate_series(1, 3) n"#
        )
    };
    let delivery = |due: &str| {
        format!(
            r#"insert into "OutgoingRequest" (kind, "destinationId", "dueAt") values ('delivery', gen_random_uuid(), {due})"#
        )
    };
    let ask = r#"insert into "OutgoingRequest" (kind, "destinationId", "askedBy")
                 values ('deliveryAsk', gen_random_uuid(), pg_current_xact_id())"#;
    let (now, soon) = ("now()", "now() + interval '1 hour'");
    let cases = [
        (sync("live", now), (true, false, false)),
        (sync("bulk", now), (true, false, false)),
        (sync("live", soon) + ";" + &sync("bulk", soon).replace("sync:", "later:"), (false, false, false)),
        (delivery(now), (false, true, false)),
        (delivery(soon), (false, false, false)),
        (ask.to_owned(), (false, false, true)),
        (format!("{}; {}; {ask}", sync("live", now), delivery(now)), (true, true, true)),
    ];
    for (rows, expected) in cases {
        stack.sql.batch_execute(&rows).await.expect("rows");
        let due = look(&stack, EVERYTHING, &AskedBy::default()).await;
        assert_eq!(found(&due), expected, "{rows}");
        // Whoever holds them: they are due all the same.
        let mut other = stack.kit.internal().connect().await;
        let held = other.transaction().await.expect("begin");
        held.batch_execute(r#"select from "OutgoingRequest" for update"#).await.expect("locks");
        assert_eq!(found(&look(&stack, EVERYTHING, &AskedBy::default()).await), expected, "{rows}");
        held.rollback().await.expect("rollback");
        // Below the place from which a look looks there is nothing.
        let later = SystemTime::now() + Duration::from_secs(60);
        assert_eq!(found(&look(&stack, later, &due.no_asks_before).await), (false, false, false), "{rows}");
        stack.sql.batch_execute(DELETE_ALL).await.expect("deleted");
    }
}

/// An ask whose transaction ran during a look is found by the next one, however many have begun and ended meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn an_ask_of_a_transaction_that_ran_during_a_look_is_in_the_next() {
    let stack = Stack::new(&[]).await;
    let mut other = stack.kit.internal().connect().await;
    let running = other.transaction().await.expect("begin");
    let ask = r#"insert into "OutgoingRequest" (kind, "destinationId", "askedBy")
                 values ('deliveryAsk', gen_random_uuid(), pg_current_xact_id())"#;
    running.batch_execute(ask).await.expect("an ask");
    let mut asked_by = AskedBy::default();
    for _ in 0..3 {
        stack.sql.batch_execute("select pg_current_xact_id()").await.expect("a transaction");
        let due = look(&stack, EVERYTHING, &asked_by).await;
        assert!(!due.asks, "it is not committed");
        asked_by = due.no_asks_before;
    }
    running.commit().await.expect("commit");
    assert!(look(&stack, EVERYTHING, &asked_by).await.asks);
}

/// The outbox is empty most of the time; the plan that a session made then is right when it is full of what is not due.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_was_planned_in_an_empty_outbox_costs_as_little_in_a_full_one() {
    let stack = Stack::new(&[]).await;
    let asked_for = r#"select * from outbox_due('-infinity', '-infinity', '-infinity', '0', '{1,2,3}')"#;
    stack.sql.batch_execute(r#"vacuum analyze "OutgoingRequest""#).await.expect("vacuum");
    let nothing = rows(&stack.sql, asked_for).await.expect("a look");
    assert!(nothing[0].contains("|f|f|f|"), "{nothing:?}");
    let not_due = r#"
        insert into "OutgoingRequest" ("deduplicationKey", "tenancyId", "databaseId", lane, "dueAt")
        select 'sync:' || n, gen_random_uuid(), 't', case n % 2 when 0 then 'live' else 'bulk' end, now() + interval '1 hour'
        from generate_series(1, 20000) n;
        insert into "OutgoingRequest" (kind, "destinationId", "dueAt")
        select 'delivery', gen_random_uuid(), now() + interval '1 hour' from generate_series(1, 20000);
        insert into "OutgoingRequest" (kind, "destinationId", "position", "dueAt")
        select 'http', gen_random_uuid(), n, now() from generate_series(1, 20000) n"#;
    stack.sql.batch_execute(not_due).await.expect("rows");
    let pages = pages(&stack.sql, asked_for).await.expect("a plan").expect("it touches pages");
    assert!(pages <= 40, "{pages} pages for a look at 60,000 rows of which none is due");
    let still = rows(&stack.sql, asked_for).await.expect("a look");
    assert!(still[0].contains("|f|f|f|"), "{still:?}");
}
