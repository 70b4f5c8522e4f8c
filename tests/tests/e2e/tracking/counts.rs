//! What counts as a change.

use super::kit::Place;

#[tokio::test]
async fn a_change_is_a_change_of_the_binary_image() {
    let place = Place::start().await;
    place
        .sql(
            "create collation case_blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
             create table t (id int primary key, org_id text, n numeric, i interval, f float8, j json, p point, name text collate case_blind, x xml, a aclitem);
             select track_table('t', 'org_id');
             insert into t values (1, 'acme', 1.0, '1 day', 0, '{\"a\":1}', '(0,1)', 'Bob', '<a/>', 'postgres=r/postgres')",
        )
        .await;
    place.recorded().await;
    let one = [r#"changed acme public.t {"id": 1}"#];
    for change in [
        "n = 1.00",
        "i = '24 hours'",
        "f = '-0'",
        "j = '{\"a\": 1}'",
        "p = '(0,2)'",
        "name = 'bob'",
        "x = '<a></a>'",
        "a = 'postgres=w/postgres'",
    ] {
        assert_eq!(place.records(&format!("update t set {change}")).await, one, "{change}");
    }
    for none in ["n = n", "name = 'bob', f = '-0'", "id = id"] {
        assert_eq!(place.records(&format!("update t set {none}")).await, [""; 0], "{none}");
    }
}

#[tokio::test]
async fn only_watched_columns_count_and_the_key_and_the_tenant() {
    let place = Place::with_invoices().await;
    place.sql("select track_table('invoices', 'org_id', '{amount}'); insert into invoices values (1, 1, 5, 'a')").await;
    place.recorded().await;
    assert_eq!(place.records("update invoices set note = 'b'").await, [""; 0]);
    assert_eq!(
        place.records("update invoices set amount = 6").await,
        [r#"changed 1 public.invoices {"id": 1}"#]
    );
    assert_eq!(
        place.records("update invoices set id = 7, org_id = 2").await,
        [r#"changed 2 public.invoices {"id": 7}"#, r#"gone 1 public.invoices {"id": 1}"#]
    );
    // Nothing but key and tenant.
    place.sql("select track_table('invoices', 'org_id', '{}')").await;
    assert_eq!(place.records("update invoices set amount = 9").await, [""; 0]);
    // Everything again, also what is added later.
    place.sql("select track_table('invoices', 'org_id'); alter table invoices drop column amount, add column vat int").await;
    assert_eq!(
        place.records("update invoices set vat = 9").await,
        [r#"changed 2 public.invoices {"id": 7}"#]
    );
}

#[tokio::test]
async fn many_rows_stay_linear_whatever_the_plan_was_made_for() {
    let place = Place::with_invoices().await;
    // The plan of this session is made for one row; another session's for all of them.
    place.sql("insert into invoices values (0, 1, 0); update invoices set amount = 1; set statement_timeout = '60s'").await;
    place.sql("insert into invoices select g, 1 + g % 2, g from generate_series(1, 100000) g").await;
    place.sql(r#"truncate "ChangedRow"; update invoices set amount = amount + 1"#).await;
    assert_eq!(place.value(r#"select count(*) from "ChangedRow""#).await, "100001");
    let other = place.internal().connect().await;
    // Memory for a tenth of them.
    let all = "set statement_timeout = '60s'; set work_mem = '64kB'; begin; update invoices set amount = amount + 1";
    other.batch_execute(all).await.expect("in time");
    let memory = other.query_one("show work_mem", &[]).await.expect("a setting").get::<_, String>(0);
    assert_eq!(memory, "64kB", "what the planner needs is not left to the application's transaction");
    other.batch_execute("commit").await.expect("commit");
    assert_eq!(place.value(r#"select count(*) from "ChangedRow""#).await, "200002");
    assert_eq!(place.value(r#"select count(*) from "TrackingFault""#).await, "0");
}

/// Beyond a bound no digests are kept: every row counts as changed, and what is gone is known all the same.
#[tokio::test]
async fn a_statement_over_more_rows_than_are_compared_records_them_all() {
    let place = Place::with_invoices().await;
    place.sql("insert into invoices (id, org_id) select g, 1 from generate_series(1, 20) g").await;
    place.sql(r#"truncate "ChangedRow"; set tenant_sync.compare_rows = 19"#).await;
    place.sql("update invoices set id = id + case when id > 18 then 100 else 0 end where org_id = 1").await;
    let gone = r#"select count(*) from "DeletedRow" d where not exists (
                    select from invoices i where i.id = (d."primaryKey" ->> 'id')::bigint)"#;
    assert_eq!(place.value(gone).await, "2");
    assert_eq!(place.value(r#"select count(*) from "ChangedRow""#).await, "20");
    place.sql(r#"truncate "ChangedRow"; set tenant_sync.compare_rows = 20"#).await;
    place.sql("update invoices set id = id + case when id = 1 then 200 else 0 end where org_id = 1").await;
    assert_eq!(
        place.value(r#"select count(*) from "ChangedRow""#).await,
        "1",
        "rows that agree are no change"
    );
}
