//! What is ours never blocks the application's write.

use tenant_sync_core::db::Internal;
use tenant_sync_poller::{Place as Sweep, maintain};
use tenant_sync_tests::database;

use super::kit::{ONE, Place, user};

async fn settle(place: &Place) {
    let config = place.stack.config();
    let internal = Internal::new(&config.database, "test").expect("internal");
    maintain(&internal, &config, &mut Sweep::default()).await.expect("maintain");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_broke_is_parked_and_costs_the_others_nothing() {
    let place = Place::with_invoices().await;
    let broken =
        place.trigger_when("public.invoices", "insert,update", r#"[{"column":"note","op":"changed"}]"#).await;
    let sound = place
        .trigger_when("public.invoices", "insert", r#"[{"column":"plan","op":"=","value":"gold"}]"#)
        .await;
    place.sql("alter table invoices drop column note").await;
    let insert = |id: u32| format!("insert into invoices (id, org, plan) values ({id}, 'one', 'gold')");
    place.sql(&insert(1)).await;
    // An insert asks nothing of the column; an update does.
    place.sql("update invoices set amount = 1").await;
    assert_eq!(place.value("select amount from invoices").await, "1", "the write went through");
    let fault = place.rows(r#"select "triggerId" || ' ' || "sqlState" from "HttpFault""#).await;
    assert_eq!(fault, [format!("{broken} 42703")]);
    settle(&place).await;
    let shown = place.stack.cli().json(&["trigger", "show", &broken]).await;
    assert_eq!((&shown["state"], &shown["missedStatements"]), (&"broken".into(), &1.into()), "{shown}");
    assert!(shown["stateReason"].as_str().is_some_and(|reason| reason.contains("42703")), "{shown}");
    assert_eq!(place.stack.cli().json(&["trigger", "show", &sound]).await["state"], "active");
    place.taken().await;
    // Parked: the next write meets nothing that could fail, and the other trigger is served.
    assert_eq!(place.names(&insert(2)).await, ["invoices.created"]);
    assert!(place.events("update invoices set amount = 2").await.is_empty());
    let resumed = place.stack.cli().run(&["trigger", "resume", &broken]).await;
    assert!(resumed.code == Some(1) && resumed.stderr.contains("there is no column \"note\""), "{resumed:?}");
    place.sql("alter table invoices add column note text").await;
    place.stack.cli().json(&["trigger", "resume", &broken]).await;
    assert_eq!(place.names("update invoices set note = 'n' where id = 1").await, ["invoices.updated"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_any_right_and_under_row_security_can_write() {
    let place = Place::with_invoices().await;
    place.trigger(&["--all", "--table", "public.invoices", "--on", "insert,update,delete"]).await;
    place
        .sql("alter table invoices enable row level security; create policy p on invoices using (id < 100)")
        .await;
    let role = place.stack.internal().role("nosuperuser").await;
    place
        .sql(&format!(
            r#"grant select, insert, update, delete on invoices to {0};
               revoke all on "HttpTrigger", "HttpTable", "OutgoingRequest", "HttpFault" from {0}"#,
            role.name
        ))
        .await;
    let application = database::connect(&role.url).await;
    let statements = "set search_path = ''; insert into public.invoices (id, org) values (1, 'one');
                      update public.invoices set amount = 1; delete from public.invoices";
    application.batch_execute(statements).await.expect("writes");
    assert!(application.batch_execute(r#"select * from public."HttpTrigger""#).await.is_err());
    assert_eq!(place.names("select 1").await, ["invoices.created", "invoices.updated", "invoices.deleted"]);
}

/// Whatever happens inside of us, but for the server's verdict on the whole transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_goes_through_when_the_outbox_takes_nothing() {
    let place = Place::start().await;
    let trigger = place.trigger(&["--all", "--table", "users", "--on", "insert"]).await;
    place.sql(r#"alter table "OutgoingRequest" add constraint "nothing goes in" check ("kind" <> 'http') not valid"#).await;
    place.sql(&user(ONE, 1, "Ada")).await;
    assert_eq!(place.value(r#"select count(*) from "ProjectUser""#).await, "1");
    settle(&place).await;
    let shown = place.stack.cli().json(&["trigger", "show", &trigger]).await;
    assert_eq!((&shown["missedStatements"], &shown["lastFault"]), (&1.into(), &"23514".into()), "{shown}");
    assert_eq!(shown["state"], "active", "its definition is not to blame");
    place.sql(r#"drop function http_1_insert() cascade; drop table "HttpFault" cascade"#).await;
    place.sql(&user(ONE, 2, "Bob")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_ours_waits_for_an_open_transaction_of_the_application() {
    let place = Place::start().await;
    place.trigger(&["--all", "--table", "users", "--on", "insert"]).await;
    let application = place.stack.internal().connect().await;
    application
        .batch_execute(&format!(
            "begin; {}; select enqueue_http_request('http://127.0.0.1:9/', deduplication_key => 'k')",
            user(ONE, 1, "a")
        ))
        .await
        .expect("an open transaction");
    place.sql("set statement_timeout = '5s'").await;
    assert_eq!(place.names(&user(ONE, 2, "b")).await, ["user.created"]);
    settle(&place).await;
    application.batch_execute("commit").await.expect("commit");
    assert_eq!(place.taken_with_plain().await, 2);
}

impl Place {
    async fn taken_with_plain(&self) -> usize {
        self.rows(r#"select id from "OutgoingRequest" where kind = 'http'"#).await.len()
    }
}
