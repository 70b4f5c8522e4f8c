//! Slices that end exactly where it hurts. No sequencer runs: the test gives the ids, and so knows their order.

use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::Tenant;
use tokio_postgres::Client;

const UPDATE: &str = r#"update "ProjectUser" set "displayName" = "displayName" || '+'"#;
const DELETE: &str = r#"delete from "ProjectUser""#;

#[tokio::test]
async fn every_pattern_of_changes_and_deletes_through_slices_of_one_two_and_three_rows() {
    let stack = Stack::start().await;
    let _poller = stack.poller().start().await;
    let tenant = Tenant::create(&stack).await;
    let client = stack.internal().connect().await;
    let users = r#"insert into "ProjectUser" ("tenancyId", "displayName") select "id", n from "Tenancy", generate_series(1, 192) n"#;
    sequenced(&client, users).await;
    let target = tenant.target(stack.external(0)).add().await;
    let mut next = 1;
    for slice in [1, 2, 3] {
        let _worker =
            stack.sync_worker().set("sync.batch_rows", slice).set("sync.atomic_rows", 1).start().await;
        target.caught_up().await;
        for pattern in 0..16 {
            target.pause().await;
            for bit in 0..4 {
                let change = if pattern >> bit & 1 == 1 { DELETE } else { UPDATE };
                sequenced(&client, &format!("{change} where \"displayName\" = '{next}'")).await;
                next += 1;
            }
            target.resume().await;
            target.caught_up().await;
        }
    }
    assert_eq!(
        target.value("select count(*), count(*) filter (where display_name like '%+') from users").await,
        "96|96"
    );
}

#[tokio::test]
async fn whole_slices_of_a_thousand_rows_with_deletes_on_their_edge() {
    let stack = Stack::start().await;
    let _poller = stack.poller().start().await;
    let tenant = Tenant::create(&stack).await;
    let client = stack.internal().connect().await;
    tenant.users(1, 3000).await;
    sequenced(&client, r#"delete from "ContactChannel""#).await;
    let _worker = stack.sync_worker().set("sync.batch_rows", 1000).set("sync.atomic_rows", 1).start().await;
    // The fill ends with a full slice.
    let target = tenant.target(stack.external(0)).add().await;
    target.caught_up().await;

    let some =
        |from: usize, to: usize| format!(r#"where ("clientMetadata" ->> 'n')::int between {from} and {to}"#);
    let steps = [
        // The thousandth change is a delete; the first is one; all are; one more than all; one on either side.
        vec![(UPDATE, 1, 999), (DELETE, 1000, 1000)],
        vec![(DELETE, 1, 1), (UPDATE, 2, 999), (UPDATE, 1001, 1001)],
        vec![(DELETE, 2, 999), (DELETE, 1001, 1002)],
        vec![(DELETE, 1003, 2003)],
        vec![(UPDATE, 2004, 3000), (DELETE, 2004, 2005), (DELETE, 2006, 2006), (DELETE, 2999, 3000)],
    ];
    for step in steps {
        target.pause().await;
        for (change, from, to) in step {
            sequenced(&client, &format!("{change} {}", some(from, to))).await;
        }
        target.resume().await;
        target.caught_up().await;
    }
    assert_eq!(
        target.value("select count(*), min(display_name), max(display_name) from users").await,
        "992|002007+|002998+"
    );
}

/// A slice is full of tombstones, one of which says nothing because its row is back: the next ones still come.
#[tokio::test]
async fn a_tombstone_whose_row_is_back_counts_for_the_edge() {
    let stack = Stack::start().await;
    let _poller = stack.poller().start().await;
    let tenant = Tenant::create(&stack).await;
    let client = stack.internal().connect().await;
    let users = r#"insert into "ProjectUser" ("tenancyId", "displayName") select "id", n from "Tenancy", generate_series(1, 25) n"#;
    sequenced(&client, users).await;
    let target = tenant.target(stack.external(0)).add().await;
    let _worker = stack.sync_worker().set("sync.batch_rows", 10).set("sync.atomic_rows", 1).start().await;
    target.caught_up().await;
    target.pause().await;
    let gone = r#"create temp table "back" as select * from "ProjectUser" where "displayName" = '1';
                  delete from "ProjectUser" where "displayName" = '1'"#;
    sequenced(&client, gone).await;
    let again = r#"insert into "ProjectUser" ("tenancyId", "projectUserId", "displayName") select "tenancyId", "projectUserId", 'back' from "back""#;
    sequenced(&client, again).await;
    sequenced(&client, r#"delete from "ProjectUser" where "displayName" <> 'back'"#).await;
    target.resume().await;
    target.caught_up().await;
    assert_eq!(target.rows("select display_name from users").await, ["back"]);
}

/// A change with its ids.
async fn sequenced(client: &Client, change: &str) {
    let pass = "select * from backfill_null_sequence_ids(100000)";
    client
        .batch_execute(&format!("{change}; {pass}"))
        .await
        .unwrap_or_else(|error| panic!("{change}: {error:?}"));
}
