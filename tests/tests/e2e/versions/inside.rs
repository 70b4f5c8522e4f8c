//! The internal database on versions 14 to 18.

use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::Tenant;

use super::servers;
use crate::own_tables::application::{Application, INVOICES, invoices_of};

/// The shipped tables: all migrations run, and changes and deletes travel.
#[tokio::test(flavor = "multi_thread")]
async fn shipped_tables_travel_from_every_version() {
    for (version, server) in servers(14..=18).await {
        eprintln!("from PostgreSQL {version}");
        let stack = Stack::plan().internal_on(&server.url()).start().await;
        let _workers = stack.start_workers().await;
        let tenant = Tenant::create(&stack).await;
        tenant.users(1, 20).await;
        let target = tenant.target(stack.external(0)).add().await;
        target.caught_up().await;
        tenant
            .sql(
                r#"update "ProjectUser" set "displayName" = 'renamed' where "displayName" = '000001';
                   delete from "ProjectUser" where "displayName" between '000002' and '000009'"#,
            )
            .await;
        target.caught_up().await;
        assert_eq!(target.value("select count(*) from users").await, "12");
    }
}

/// A table of the application's own: tracked, mapped, copied and followed.
#[tokio::test(flavor = "multi_thread")]
async fn own_tables_travel_from_every_version() {
    for (version, server) in servers(14..=18).await {
        eprintln!("from PostgreSQL {version}");
        let application = Application::on(Stack::plan().internal_on(&server.url()), INVOICES).await;
        application.adopt("public.invoices", "org_id").await;
        let inside = application.stack.internal();
        inside
            .sql("insert into invoices (org_id, number) select 1, n::text from generate_series(1, 20) n")
            .await;
        let tenant = application.tenant("1").await;
        let _workers = application.stack.start_workers().await;
        let target = invoices_of(&application, tenant, 1).add().await;
        target.caught_up().await;
        for change in [
            "insert into invoices (org_id, number) values (1, 'new')",
            "update invoices set paid = true where id < 10",
            "update invoices set id = id + 100 where id = 20",
            "delete from invoices where id between 5 and 8",
        ] {
            inside.sql(change).await;
        }
        target.caught_up().await;
        inside.sql("truncate invoices").await;
        target.shows("select count(*) from invoices", &["0"]).await;
    }
}

/// An older server is refused in words, before anything is made.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_server_is_refused() {
    let Some((_, server)) = servers([13]).await.pop() else { return };
    let mut stack = Stack::start().await;
    stack.set("database.url", server.url());
    let refused = stack.cli().run(&["db", "migrate"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("PostgreSQL 13") && refused.stderr.contains("needs version 14 or later"),
        "{refused:?}"
    );
}
