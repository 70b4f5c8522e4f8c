//! A failure of ours is counted, and never the application's.

use super::kit::Place;

#[tokio::test]
async fn a_write_goes_through_although_it_cannot_be_recorded() {
    let place = Place::with_invoices().await;
    place.sql("create table p (id int primary key, org_id bigint) partition by range (id); select track_table('p', 'org_id');
               create table p1 partition of p for values from (0) to (100)").await;
    place
        .sql(r#"alter table "ChangedRow" rename to gone_1; alter table "DeletedRow" rename to gone_2"#)
        .await;
    place.sql("insert into invoices values (1, 1), (2, 1); insert into p1 values (1, 1)").await;
    place.sql("update invoices set amount = 4; update invoices set org_id = 2; delete from invoices where id = 1; truncate invoices").await;
    place.sql("insert into invoices values (9, 1)").await;
    assert_eq!(
        place
            .rows(r#"select "name", "sqlState", count(*) from "TrackingFault" group by 1, 2 order by 1"#)
            .await,
        ["public.invoices|42P01|6", "public.p|42P01|1"]
    );
    assert_eq!(place.rows("select id from invoices").await, ["9"]);

    // With nothing of ours left that could note it.
    place
        .sql(
            r#"alter table "TrackingFault" rename to gone_3; insert into invoices values (10, 1);
               drop function tracking_fault(text, text); insert into invoices values (11, 1)"#,
        )
        .await;
    assert_eq!(place.value("select count(*) from invoices").await, "3");
}

#[tokio::test]
async fn faults_are_bounded_and_go_when_the_write_does() {
    let place = Place::with_invoices().await;
    place.sql(r#"alter table "ChangedRow" rename to gone"#).await;
    place.sql("begin; insert into invoices values (1, 1); rollback").await;
    assert_eq!(place.value(r#"select count(*) from "TrackingFault""#).await, "0");
    assert_eq!(place.value("select last_value from tracking_fault_seq").await, "1", "it was counted");
    place.sql("do $$ begin for i in 1..1010 loop insert into invoices values (i, 1); end loop; end $$").await;
    assert_eq!(place.value(r#"select count(*) from "TrackingFault""#).await, "1000");
    assert_eq!(place.value("select last_value from tracking_fault_seq").await, "1011");
    assert_eq!(place.value("select count(*) from invoices").await, "1010");
}

#[tokio::test]
async fn a_cancelled_statement_is_cancelled() {
    let place = Place::with_invoices().await;
    let holder = place.internal().connect().await;
    holder.batch_execute(r#"begin; lock table "ChangedRow" in access exclusive mode"#).await.expect("a lock");
    let error = place
        .client
        .batch_execute("set statement_timeout = '200ms'; insert into invoices values (1, 1)")
        .await;
    assert_eq!(
        error.expect_err("cancelled").code().map(|code| code.code().to_owned()).as_deref(),
        Some("57014")
    );
    // The application's own lock_timeout ends the wait, and the write goes through.
    place
        .sql("set statement_timeout = 0; set lock_timeout = '100ms'; insert into invoices values (1, 1)")
        .await;
    holder.batch_execute("rollback").await.expect("released");
    assert_eq!(place.rows(r#"select "sqlState" from "TrackingFault""#).await, ["55P03"]);
}
