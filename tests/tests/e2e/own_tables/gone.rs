//! A table that goes away under its mapping costs the other mappings nothing.

use super::application::{Application, INVOICES, invoices_of};

const NOTES: &str = "create table notes (id bigint primary key, org_id bigint not null, body text);
    create index on notes (org_id, id);";

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_renamed_stops_its_own_mapping_only() {
    let mut application = Application::start(&format!("{INVOICES} {NOTES}")).await;
    application.stack.set("sync.heartbeat", "1s");
    application.adopt("public.invoices", "org_id").await;
    application.adopt("public.notes", "org_id").await;
    let tenant = application.tenant("1").await;
    let inside = application.stack.internal();
    let (_sequencer, _poller) =
        tokio::join!(application.stack.sequencer().start(), application.stack.poller().start());
    let _worker = application.stack.sync_worker().allow("a mapping is left out").start().await;
    let target = invoices_of(&application, tenant, 1).mapping("notes").add().await;
    inside.sql("insert into notes values (1, 1, 'before'); insert into invoices (org_id, number) values (1, 'a')").await;
    target.shows("select body from notes", &["before"]).await;

    inside.sql("alter table notes rename to remarks; update remarks set body = 'meanwhile'").await;
    for number in ["b", "c"] {
        inside.sql(&format!("insert into invoices (org_id, number) values (1, '{number}')")).await;
        target.caught_up().await;
    }
    let status = application.stack.cli().json(&["sync", "status", "--tenant-key", "1"]).await;
    let notes = &status["targets"][0]["mappings"][1];
    assert_eq!((&notes["name"], &notes["backlogIsAtLeast"]), (&"notes".into(), &true.into()), "{status}");
    assert!(notes["lagMillis"].as_u64() > Some(0), "{status}");
    assert_eq!(status["targets"][0]["state"], "ok", "it is no fault of the target's: {status}");

    inside.sql("alter table remarks rename to notes").await;
    target.shows("select body from notes", &["meanwhile"]).await;
}

/// With nothing else to do, the row waits instead of spinning, and goes on when the table is back.
#[tokio::test(flavor = "multi_thread")]
async fn the_only_mapping_waits_for_its_table() {
    let application = Application::start(INVOICES).await;
    application.adopt("public.invoices", "org_id").await;
    let tenant = application.tenant("1").await;
    let inside = application.stack.internal();
    let (_sequencer, _poller) =
        tokio::join!(application.stack.sequencer().start(), application.stack.poller().start());
    let worker = application.stack.sync_worker().allow("a turn failed on our side").start().await;
    let target = invoices_of(&application, tenant, 1).add().await;
    inside.sql("insert into invoices (org_id, number) values (1, 'a')").await;
    target.caught_up().await;
    application.settled().await;
    let began = std::time::Instant::now();
    inside
        .sql("alter table invoices rename to bills; insert into bills (org_id, number) values (1, 'b')")
        .await;
    application
        .becomes(r#"select count(*) from "OutgoingRequest" where "dueAt" > now() + interval '5 seconds' and "runningSince" is null"#, "1")
        .await;
    let tries = worker.logs().matching("a turn failed on our side").len() as u64;
    assert!(tries <= 1 + began.elapsed().as_secs() / 10, "it does not spin: {tries} tries");
    inside.sql("alter table bills rename to invoices").await;
    target.caught_up().await;
}
