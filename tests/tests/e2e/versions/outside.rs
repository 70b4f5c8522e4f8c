//! Targets of versions 13 to 18.

use tenant_sync_tests::database::Database;

use super::{OUTSIDE, servers};
use crate::own_tables::application::Application;
use crate::own_tables::types::{arrive, holding};
use crate::own_tables::values::Values;

#[tokio::test(flavor = "multi_thread")]
async fn every_type_arrives_in_every_version_as_it_was() {
    let servers = servers(OUTSIDE).await;
    let values = Values::all();
    let application = holding(&values).await;
    let tenant = application.tenant("one").await;
    let _workers = application.stack.start_workers().await;
    let mut targets = Vec::new();
    for (version, server) in &servers {
        let mut target = tenant.target_at(&server.url()).id(&format!("v{version}"));
        for table in values.iter().filter(|table| *version > 13 || table.table != "spans") {
            target = target.mapping(table.table).compare(table.compared());
        }
        targets.push(target.add().await);
    }
    arrive(&application, &values, &targets).await;
}

/// Version 13 has no multiranges. The operator is told when the target is added, and else by its state.
#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_a_version_lacks_is_named() {
    let Some((_, server)) = servers([13]).await.pop() else { return };
    let database = Database::create_on(&server.url(), "template0").await;
    let application = holding(&[Values::spans()]).await;
    let tenant = application.tenant("one").await;
    let add = ["target", "add", "--tenant-key", "one", "--url-file", "-"];
    let refused = application.stack.cli().run_with_input(&add, database.url()).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for said in
        ["PostgreSQL 13 does not know the type int4multirange (spans.c0).", "tstzmultirange[] (spans.c10)"]
    {
        assert!(refused.stderr.contains(said), "{refused:?}");
    }
    let worker = application.stack.sync_worker().allow("does not know a type");
    let (_sequencer, _poller, _worker) = tokio::join!(
        application.stack.sequencer().start(),
        application.stack.poller().start(),
        worker.start()
    );
    let target = tenant.target(&database).mapping("spans").add().await;
    target.is("refused|typeMissing").await;
    let error = target.last_error().await;
    assert!(error.contains("does not know a type") && error.contains("table spans"), "{error}");
}

/// Infinite numbers came with version 14: a row that 13 cannot hold is set aside with its key, and the others go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_a_version_lacks_is_set_aside() {
    let Some((_, server)) = servers([13]).await.pop() else { return };
    let tables = "create table amounts (id bigint primary key, org_id bigint not null, amount numeric);
         create index on amounts (org_id, id);
         insert into amounts values (1, 1, 'NaN'), (2, 1, 'Infinity'), (3, 1, 3.0)";
    let application = Application::start(tables).await;
    application.adopt("public.amounts", "org_id").await;
    let tenant = application.tenant("1").await;
    let worker = application.stack.sync_worker().allow("refuses a row");
    let (_sequencer, _poller, _worker) = tokio::join!(
        application.stack.sequencer().start(),
        application.stack.poller().start(),
        worker.start()
    );
    let target = tenant.target_at(&server.url()).mapping("amounts").add().await;
    let amounts = "select id, amount from amounts order by id";
    let refused = "select count(*) from _sync_refused";
    target.shows(amounts, &["1|NaN", "3|3.0"]).await;
    target.shows(refused, &["1"]).await;
    application.stack.internal().sql("update amounts set amount = 2 where id = 2").await;
    target.shows(amounts, &["1|NaN", "2|2", "3|3.0"]).await;
    target.shows(refused, &["0"]).await;
}
