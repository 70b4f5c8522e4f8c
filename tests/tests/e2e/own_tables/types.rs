//! Values of every type arrive as they were, to the last bit.

use tenant_sync_tests::database::rows;
use tenant_sync_tests::tenant::Target;

use super::application::Application;
use super::values::{TYPES, Values};

#[tokio::test(flavor = "multi_thread")]
async fn every_type_arrives_as_it_was() {
    let values = Values::all();
    let application = holding(&values).await;
    let tenant = application.tenant("one").await;
    let _workers = application.stack.start_workers().await;
    let mut target = tenant.target(application.stack.external(0));
    for table in &values {
        target = target.mapping(table.table).compare(table.compared());
    }
    arrive(&application, &values, &[target.add().await]).await;
}

/// An application with these tables, tracked and mapped, and half of their rows.
pub(crate) async fn holding(values: &[Values]) -> Application {
    let tables: Vec<String> = values.iter().map(Values::create).collect();
    let application = Application::start(&format!("{TYPES}{}", tables.concat())).await;
    let inside = application.stack.internal().connect().await;
    for table in values {
        for insert in table.inserts().iter().step_by(2) {
            inside.batch_execute(insert).await.expect(insert);
        }
        application.adopt(&format!("public.{}", table.table), "tenant").await;
    }
    application
}

/// Half of the rows came with the first copy, half come through the feed, and then all move to other keys.
pub(crate) async fn arrive(application: &Application, values: &[Values], targets: &[Target<'_>]) {
    let inside = application.stack.internal().connect().await;
    let all_caught_up = async || {
        for target in targets {
            target.caught_up().await;
        }
    };
    all_caught_up().await;
    for table in values {
        for insert in table.inserts().iter().skip(1).step_by(2) {
            inside.batch_execute(insert).await.expect(insert);
        }
    }
    all_caught_up().await;
    for table in values {
        let moves = format!("update {} set id = id + 100", table.table);
        inside.batch_execute(&moves).await.expect("moves all keys");
    }
    all_caught_up().await;
    for table in values {
        let types = rows(&inside, &table.types_of()).await.expect("types");
        let expected = table.types_there(types);
        for target in targets.iter().filter(|target| target.holds(table.table)) {
            assert_eq!(target.rows(&table.types_of()).await, expected, "types that both have are kept");
        }
    }
}
