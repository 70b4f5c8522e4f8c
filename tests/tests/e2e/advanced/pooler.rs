//! Targets behind a transaction pooler: one session of the server for everybody, another one in each transaction.

use tenant_sync_tests::database::{connect, rows};
use tenant_sync_tests::pooler::Pooler;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::Tenant;

#[tokio::test]
async fn a_transaction_pooler_is_enough_and_nothing_is_left_behind_in_its_sessions() {
    if !Pooler::available() {
        return eprintln!("skipped: this machine has no pgbouncer");
    }
    let mut stack = Stack::start().await;
    stack.set("sync.batch_rows", 1500);
    let _workers = stack.start_workers().await;
    let (a, b) = (Tenant::create(&stack).await, Tenant::create(&stack).await);
    let pooler = Pooler::start(stack.external(0).url()).await;
    let url = pooler.url(stack.external(0).url());
    a.users(1, 4000).await;
    b.users(2001, 4000).await;
    // Both tenants, and the customer, by the same session of the server.
    let targets = [
        a.target(stack.external(0)).through(&url).schema("a").add().await,
        b.target(stack.external(0)).through(&url).schema("b").add().await,
    ];
    for target in &targets {
        target.caught_up().await;
    }
    for tenant in [a, b] {
        tenant
            .sql(r#"update "ProjectUser" set "displayName" = '{tenancy}' where "tenancyId" = '{tenancy}'"#)
            .await;
        tenant
            .sql(r#"delete from "ContactChannel" where "tenancyId" = '{tenancy}' and "value" between 'user003' and 'user005'"#)
            .await;
    }
    for target in &targets {
        target.caught_up().await;
        target.is("ok|∅").await;
    }
    let customer = connect(&url).await;
    let left = "select (select count(*) from pg_prepared_statements), (select count(*) from pg_locks where locktype = 'advisory'),
                  (select count(*) from pg_class where relpersistence = 't' and relkind = 'r'),
                  current_setting('search_path'), current_setting('lock_timeout'), current_setting('idle_in_transaction_session_timeout')";
    assert_eq!(rows(&customer, left).await.expect("a query"), [r#"0|0|0|"$user", public|0|0"#]);
}
