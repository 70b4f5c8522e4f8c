//! Every way to write to a table.

use super::kit::Place;

#[tokio::test]
async fn each_kind_of_write_is_recorded() {
    let place = Place::with_invoices().await;
    let feed =
        place.records("insert into invoices values (1, 1, 5, 'a'), (2, 2, 5, 'b'), (3, 1, 5, 'c')").await;
    assert_eq!(
        feed,
        [
            r#"changed 1 public.invoices {"id": 1}"#,
            r#"changed 1 public.invoices {"id": 3}"#,
            r#"changed 2 public.invoices {"id": 2}"#
        ]
    );
    assert_eq!(
        place.records("update invoices set amount = 6 where id = 2").await,
        [r#"changed 2 public.invoices {"id": 2}"#]
    );
    assert_eq!(
        place.records("delete from invoices where id = 3").await,
        [r#"gone 1 public.invoices {"id": 3}"#]
    );
    assert_eq!(
        place.records("insert into invoices values (1, 1, 7, 'a'), (4, 1, 7, 'd') on conflict (id) do update set amount = excluded.amount").await,
        [r#"changed 1 public.invoices {"id": 1}"#, r#"changed 1 public.invoices {"id": 4}"#]
    );
    assert_eq!(
        place.records("insert into invoices values (1, 1, 9, 'a') on conflict do nothing").await,
        [""; 0]
    );
    assert_eq!(
        place.records("truncate invoices").await,
        [
            r#"gone 1 public.invoices {"id": 1}"#,
            r#"gone 1 public.invoices {"id": 4}"#,
            r#"gone 2 public.invoices {"id": 2}"#
        ]
    );
}

#[tokio::test]
async fn copy_and_merge_are_recorded() {
    let place = Place::with_invoices().await;
    let sink = place.client.copy_in("copy invoices from stdin").await.expect("copy");
    let mut sink = std::pin::pin!(sink);
    futures_util::SinkExt::send(&mut sink, bytes::Bytes::from_static(b"1\t1\t5\ta\n2\t\\N\t5\tb\n"))
        .await
        .expect("rows");
    sink.finish().await.expect("copied");
    assert_eq!(place.recorded().await, [r#"changed 1 public.invoices {"id": 1}"#]);

    if place.value("show server_version_num").await.as_str() < "150000" {
        return;
    }
    place.sql("insert into invoices values (3, 2, 1, 'c')").await;
    place.recorded().await;
    let merge = "merge into invoices i using (values (1, 6), (3, 0), (4, 8)) v (id, amount) on v.id = i.id
                 when matched and v.amount = 0 then delete
                 when matched then update set amount = v.amount
                 when not matched then insert values (v.id, 1, v.amount, 'm')";
    assert_eq!(
        place.records(merge).await,
        [
            r#"changed 1 public.invoices {"id": 1}"#,
            r#"changed 1 public.invoices {"id": 4}"#,
            r#"gone 2 public.invoices {"id": 3}"#
        ]
    );
}

#[tokio::test]
async fn cascades_reach_the_feed() {
    let place = Place::with_invoices().await;
    place
        .sql(
            "create table lines (id int primary key, invoice bigint references invoices on delete cascade on update cascade, org_id bigint);
             select track_table('lines', 'org_id');
             insert into invoices values (1, 1), (2, 2); insert into lines values (10, 1, 1), (11, 2, 2)",
        )
        .await;
    place.recorded().await;
    assert_eq!(
        place.records("delete from invoices where id = 1").await,
        [r#"gone 1 public.invoices {"id": 1}"#, r#"gone 1 public.lines {"id": 10}"#]
    );
    assert_eq!(
        place.records("update invoices set id = 3 where id = 2").await,
        [
            r#"changed 2 public.invoices {"id": 3}"#,
            r#"changed 2 public.lines {"id": 11}"#,
            r#"gone 2 public.invoices {"id": 2}"#
        ]
    );
    assert_eq!(
        place.records("truncate invoices cascade").await,
        [r#"gone 2 public.invoices {"id": 3}"#, r#"gone 2 public.lines {"id": 11}"#]
    );
}

#[tokio::test]
async fn moved_keys_and_tenants_leave_a_tombstone() {
    let place = Place::with_invoices().await;
    place.sql("insert into invoices values (1, 1, 5), (2, 1, 6)").await;
    place.recorded().await;
    assert_eq!(
        place.records("update invoices set org_id = 2 where id = 1").await,
        [r#"changed 2 public.invoices {"id": 1}"#, r#"gone 1 public.invoices {"id": 1}"#]
    );
    // To nobody, and back.
    assert_eq!(
        place.records("update invoices set org_id = null where id = 1").await,
        [r#"gone 2 public.invoices {"id": 1}"#]
    );
    assert_eq!(
        place.records("update invoices set org_id = 1 where id = 1").await,
        [r#"changed 1 public.invoices {"id": 1}"#]
    );
    // 1 becomes 2 and 2 becomes 3: only the key 1 is gone.
    place.sql("alter table invoices drop constraint invoices_pkey, add primary key (id) deferrable initially deferred").await;
    assert_eq!(
        place.records("update invoices set id = id + 1").await,
        [
            r#"changed 1 public.invoices {"id": 2}"#,
            r#"changed 1 public.invoices {"id": 3}"#,
            r#"gone 1 public.invoices {"id": 1}"#
        ]
    );
}

#[tokio::test]
async fn rows_of_nobody_leave_nothing() {
    let place = Place::with_invoices().await;
    let nobodys = "insert into invoices values (1, null), (2, 99); update invoices set amount = 3;
                   update invoices set org_id = 98 where id = 2; delete from invoices where id = 1; truncate invoices";
    assert_eq!(place.records(nobodys).await, [""; 0]);
    // What is rolled back leaves nothing, either.
    assert_eq!(place.records("begin; insert into invoices values (3, 1); rollback").await, [""; 0]);
}

#[tokio::test]
async fn restore_tools_are_seen_too() {
    let place = Place::with_invoices().await;
    let replica = "set session_replication_role = replica; insert into invoices values (1, 1); reset session_replication_role";
    assert_eq!(place.records(replica).await, [r#"changed 1 public.invoices {"id": 1}"#]);
}
