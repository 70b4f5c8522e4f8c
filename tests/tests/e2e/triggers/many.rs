//! Thousands of tenants with a trigger each, and tables without any.

use super::kit::{ONE, Place, TWO};

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_a_trigger_carries_nothing() {
    let place = Place::start().await;
    for table in ["\"ProjectUser\"", "\"ContactChannel\""] {
        assert_eq!(place.database_triggers(table).await, "0");
    }
    let a = place.trigger(&["--all", "--table", "users", "--on", "insert"]).await;
    let b = place.trigger(&["--tenancy", ONE, "--table", "users", "--on", "delete"]).await;
    assert_eq!(place.database_triggers("\"ProjectUser\"").await, "4");
    assert_eq!(place.database_triggers("\"ContactChannel\"").await, "0");
    place.stack.cli().json(&["trigger", "remove", &a]).await;
    assert_eq!(place.database_triggers("\"ProjectUser\"").await, "4");
    place.stack.cli().json(&["trigger", "remove", &b]).await;
    assert_eq!(place.database_triggers("\"ProjectUser\"").await, "0");
    assert_eq!(place.value("select count(*) from pg_proc where proname ~ '^http_[0-9]+_'").await, "0");
}

/// The functions do not grow with the triggers, and rows are looked up by tenancy: what is read for a row is the same
/// for 3 triggers and for 3,000.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_triggers_share_one_function_and_one_rule() {
    let place = Place::with_invoices().await;
    place
        .trigger_when("public.invoices", "insert,update", r#"[{"column":"plan","op":"=","value":"gold"}]"#)
        .await;
    let size =
        async || place.value("select sum(length(prosrc)) from pg_proc where proname ~ '^http_[0-9]+_'").await;
    let before = size().await;
    place
        .sql(&format!(
            r#"insert into "Tenancy" ("projectId", "branchId", "tenantKey") select 'p', 'b' || n, 't' || n from generate_series(1, 3000) n;
               select http_add_trigger((select to_jsonb(t) || jsonb_build_object('id', gen_random_uuid(), 'tenancyId', k."id",
                   'relation', 'invoices'::regclass::oid::text, 'event', 'invoices', 'secrets', '00', 'batchEvents', 1, 'batchWaitMillis', 0,
                   'operations', '["insert"]'::jsonb, 'condition', jsonb_build_array(jsonb_build_object('column', 'plan', 'op', '=', 'value', k."tenantKey")))
                 from "HttpTrigger" t limit 1))
               from "Tenancy" k where k."branchId" like 'b%' and k."id" not in ('{ONE}', '{TWO}');
               analyze"#
        ))
        .await;
    assert_eq!(size().await, before);
    assert_eq!(place.value(r#"select count(*) from "HttpTrigger""#).await, "3001");
    assert_eq!(place.value(r#"select count(*) from "HttpRule""#).await, "1");
    let blocks = async |tenant: &str| -> i64 {
        // In a new session, so that no plan is there yet; twice, so that the second finds one.
        let client = place.stack.internal().connect().await;
        let read = async || -> i64 {
            let row = client
                .query_one(r#"select coalesce(sum(idx_scan + coalesce(seq_tup_read, 0)), 0)::bigint from pg_stat_xact_user_tables where relname = 'HttpTrigger'"#, &[])
                .await
                .expect("statistics");
            row.get(0)
        };
        client.batch_execute("begin").await.expect("begin");
        client.batch_execute(&format!("insert into invoices (id, org, plan) select n, '{tenant}', '{tenant}' from generate_series(1, 10) n")).await.expect("insert");
        let looked = read().await;
        client.batch_execute("rollback").await.expect("rollback");
        looked
    };
    let of_one = blocks("t17").await;
    assert!(of_one <= 60, "{of_one} lookups for 10 rows");
    place.sql("insert into invoices (id, org, plan) values (1, 't17', 't17'), (2, 't18', 'x'), (3, 'nobody', 'x')").await;
    let whose = place
        .rows(r#"select k."tenantKey" from "OutgoingRequest" r join "Tenancy" k on k."id" = r."tenancyId" where kind = 'http'"#)
        .await;
    assert_eq!(whose, ["t17"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_rows_are_matched_by_hash() {
    let place = Place::start().await;
    place.trigger(&["--all", "--table", "users", "--on", "update", "--max-events", "1000000"]).await;
    // The plan that a first, small statement leaves must do for a large one.
    place.sql(&super::kit::user(ONE, 1, "a")).await;
    place
        .sql(r#"update "ProjectUser" set "displayName" = 'b'; update "ProjectUser" set "displayName" = 'c'"#)
        .await;
    place
        .sql(&format!(
            r#"insert into "ProjectUser" ("tenancyId", "displayName") select '{ONE}', 'u' from generate_series(1, 20000);
               set statement_timeout = '60s'; update "ProjectUser" set "displayName" = "displayName" || 'x'; set statement_timeout = 0"#
        ))
        .await;
    assert_eq!(place.value(r#"select count(*) from "OutgoingRequest" where kind = 'http'"#).await, "20003");
}
