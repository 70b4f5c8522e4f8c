//! A target that fails costs nobody else anything.

use tenant_sync_tests::ports::free_port;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::Tenant;
use tenant_sync_tests::urls;

#[tokio::test]
async fn bad_targets_do_not_hurt_a_good_one_of_the_same_tenant() {
    let stack = Stack::plan().externals(2).start().await;
    let mut workers = stack.start_workers().await;
    workers.sync_worker.allow("the target failed");
    let tenant = Tenant::create(&stack).await;
    let url = stack.external(1).url();
    let closed = urls::with_address(url, &format!("127.0.0.1:{}", free_port()));
    let unreachable = tenant.target_at(&closed).id("unreachable").add().await;
    let unknown = tenant.target_at(&urls::with_user(url, "nobody", "guess")).id("password").add().await;
    let missing = tenant.target_at(&urls::with_path(url, "nowhere")).id("missing").add().await;
    let good = tenant.target(stack.external(0)).id("good").add().await;

    for name in ["one", "two", "three"] {
        tenant.user(name).await;
        good.caught_up().await;
    }
    unreachable.is("broken|unreachable").await;
    unknown.is("broken|passwordRefused").await;
    missing.is("retrying|databaseMissing").await;
    good.is("ok|∅").await;
    assert!(missing.last_error().await.contains("does not exist"));
    for target in [unreachable, unknown, missing] {
        let said = target.last_error().await;
        assert!(!said.contains("guess") && !said.contains("nobody") && !said.contains("nowhere"), "{said}");
    }
    let waiting =
        r#"select count(*) from "OutgoingRequest" where "attempts" > 0 and "dueAt" > now() - interval '5 s'"#;
    assert_eq!(stack.internal().value(waiting).await, "3", "a retry is a row that is due later");
}

#[tokio::test]
async fn a_target_that_comes_back_heals_by_itself() {
    let stack = Stack::start().await;
    let mut workers = stack.start_workers().await;
    workers.sync_worker.allow("the target failed");
    let tenant = Tenant::create(&stack).await;
    let role = stack.external(0).role("nosuperuser").await;
    let target = tenant.target_at(&role.url).add().await;
    tenant.users(1, 10).await;
    target.is("retrying|permissionDenied").await;

    stack
        .external(0)
        .sql(&format!("grant create on database {} to {}", stack.external(0).name(), role.name))
        .await;
    target.try_now().await;
    target.caught_up().await;
    target.is("ok|∅").await;
    assert_eq!(
        stack.internal().value(r#"select "consecutiveFailures" from "ExternalDatabase""#).await,
        "0",
        "its breaker is closed"
    );
}

#[tokio::test]
async fn a_paused_target_is_left_alone_and_catches_up() {
    let stack = Stack::start().await;
    let _workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    tenant.users(1, 3).await;
    target.caught_up().await;
    stack.settled().await;

    target.pause().await;
    tenant.users(4, 3).await;
    tenant.sql(r#"delete from "ProjectUser" where "displayName" = '000001'"#).await;
    stack.settled().await;
    assert_eq!(target.value("select count(*) from users").await, "3", "nothing was written");

    target.resume().await;
    target.caught_up().await;
}
