//! Two of everything, four workers, one tenant, constant writes: the target equals the source in the end.

use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::Tenant;
use tokio_postgres::Client;
use uuid::Uuid;

use super::road::quiet_stack;

const TRANSACTIONS: u32 = 250;

#[tokio::test(flavor = "multi_thread")]
async fn two_sequencers_two_pollers_and_four_workers_agree() {
    let mut stack = quiet_stack().await;
    stack.set("sync.heartbeat", "300ms");
    stack.set("sequencer.batch_size", 7);
    stack.set("sync.batch_rows", 11);
    stack.set("sync.atomic_rows", 11);
    stack.set("sync.turn_rows", 20);
    let mut crowd = Vec::new();
    for program in [
        "sequencer",
        "poller",
        "sequencer",
        "poller",
        "sync-worker",
        "sync-worker",
        "sync-worker",
        "sync-worker",
    ] {
        crowd.push(stack.worker(program).spawn());
    }
    for worker in &mut crowd {
        worker.wait_ready().await;
    }
    let tenant = Tenant::create(&stack).await;
    let mut targets = Vec::new();
    for id in ["a", "b"] {
        targets.push(tenant.target(stack.external(0)).id(id).schema(id).add().await);
    }
    let mut writers = Vec::new();
    for seed in 0..3 {
        let client = stack.internal().connect().await;
        writers.push(tokio::spawn(write(client, tenant.id(), seed)));
    }
    for writer in writers {
        writer.await.expect("the writer");
    }
    for target in &targets {
        target.caught_up().await;
    }
    quiet(&stack).await;
    for target in &targets {
        target.equal().await.expect("nothing comes after the end");
        assert_eq!(target.value("select count(*) > 0 from users").await, "t");
    }
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    assert_eq!(stack.internal().value(deadlocks).await, "0");
    assert_eq!(stack.external(0).value(deadlocks).await, "0");
}

/// Stops the visits, and waits until nothing is left to do.
async fn quiet(stack: &Stack) {
    stack.internal().sql(r#"update "ExternalDatabase" set "nextVisitAt" = 'infinity'"#).await;
    stack.settled().await;
}

/// Transactions over users and channels of its own: inserts, updates, deletes right after updates, the same key again.
async fn write(client: Client, tenancy: Uuid, seed: u32) {
    let key = |n: u32| format!("00000000-0000-4000-8000-{seed:04}{:08}", n % 17);
    for n in 0..TRANSACTIONS {
        let (user, other) = (key(n * 7), key(n * 5 + 3));
        let mut sql = format!(
            r#"begin;
               insert into "ProjectUser" ("tenancyId", "projectUserId", "displayName") values ('{tenancy}', '{user}', '{n}')
               on conflict ("tenancyId", "projectUserId") do update set "displayName" = excluded."displayName";
               insert into "ContactChannel" ("tenancyId", "projectUserId", "id", "value", "isPrimary")
               values ('{tenancy}', '{user}', '{user}', '{n}', true)
               on conflict ("tenancyId", "id") do update set "value" = excluded."value";
               update "ProjectUser" set "displayName" = 'u{n}' where "projectUserId" = '{other}';"#
        );
        match n % 4 {
            0 => sql += &format!(r#"delete from "ProjectUser" where "projectUserId" = '{other}';"#),
            1 => {
                sql += &format!(
                    r#"update "ContactChannel" set "isPrimary" = not "isPrimary" where "id" = '{other}';"#
                )
            }
            2 => sql += &format!(r#"delete from "ContactChannel" where "id" = '{other}';"#),
            _ => {}
        }
        sql += if n % 11 == 0 { "rollback" } else { "commit" };
        client.batch_execute(&sql).await.expect("a transaction of the application");
    }
}
