//! Keys that change, rows that move to another tenant, and TRUNCATE.

use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::Tenant;
use uuid::Uuid;

#[tokio::test]
async fn a_changed_key_is_a_delete_there_and_an_insert_here() {
    let stack = Stack::start().await;
    let _workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    let user = tenant.user("Ada").await;
    tenant.user("Grace").await;
    tenant.primary(user, "ada@example.com").await;
    let second = tenant.channel(user, "second@example.com").await;
    target.caught_up().await;

    let (new_user, new_channel) = (Uuid::new_v4(), Uuid::new_v4());
    tenant
        .sql(&format!(
            r#"update "ProjectUser" set "projectUserId" = '{new_user}' where "projectUserId" = '{user}'"#
        ))
        .await;
    tenant
        .sql(&format!(r#"update "ContactChannel" set "id" = '{new_channel}' where "id" = '{second}'"#))
        .await;
    target.caught_up().await;
    assert_eq!(target.value(&format!("select count(*) from users where id = '{user}'")).await, "0");
    let channels = format!("select count(*), bool_and(user_id = '{new_user}') from contact_channels");
    assert_eq!(target.value(&channels).await, "2|t");

    // Two users swap their keys, by way of a third.
    let (ada, grace) =
        (new_user, "select \"projectUserId\" from \"ProjectUser\" where \"displayName\" = 'Grace'");
    let grace: Uuid = tenant.value(grace).await.parse().expect("an id");
    let between = Uuid::new_v4();
    for (from, to) in [(ada, between), (grace, ada), (between, grace)] {
        tenant
            .sql(&format!(
                r#"update "ProjectUser" set "projectUserId" = '{to}' where "projectUserId" = '{from}'"#
            ))
            .await;
    }
    target.shows(&format!("select display_name from users where id = '{ada}'"), &["Grace"]).await;
    target.caught_up().await;
}

#[tokio::test]
async fn rows_that_move_to_another_tenant_leave_here_and_arrive_there() {
    let stack = Stack::plan().externals(2).start().await;
    let _workers = stack.start_workers().await;
    let (a, b) = (Tenant::create(&stack).await, Tenant::create(&stack).await);
    let (from, to) = (a.target(stack.external(0)).add().await, b.target(stack.external(1)).add().await);
    a.users(1, 20).await;
    b.users(21, 20).await;
    from.caught_up().await;
    to.caught_up().await;

    let moved = format!(
        r#"update "ProjectUser" set "tenancyId" = '{}' where "displayName" between '000006' and '000015'"#,
        b.id()
    );
    a.sql(&moved).await;
    from.caught_up().await;
    to.caught_up().await;
    let counts = "select (select count(*) from users), (select count(*) from contact_channels)";
    assert_eq!((from.value(counts).await.as_str(), to.value(counts).await.as_str()), ("10|10", "30|30"));

    // And back again, changed on the way.
    b.sql(&format!(
        r#"update "ProjectUser" set "tenancyId" = '{}', "displayName" = 'back' where "displayName" between '000006' and '000010'"#,
        a.id()
    ))
    .await;
    from.caught_up().await;
    to.caught_up().await;
    assert_eq!(from.value("select count(*) from users where display_name = 'back'").await, "5");
}

#[tokio::test]
async fn truncate_is_carried_for_every_tenant_and_a_rolled_back_one_is_not() {
    let stack = Stack::plan().externals(2).start().await;
    let mut workers = stack.start_workers().await;
    // TRUNCATE locks its table against everybody until the commit.
    workers.sequencer.allow("lock timeout");
    let (a, b) = (Tenant::create(&stack).await, Tenant::create(&stack).await);
    let targets = [a.target(stack.external(0)).add().await, b.target(stack.external(1)).add().await];
    a.users(1, 700).await;
    b.users(301, 700).await;
    for target in &targets {
        target.caught_up().await;
    }
    a.sql(r#"begin; truncate "ProjectUser" cascade; rollback"#).await;
    a.sql(r#"truncate "ContactChannel""#).await;
    for target in &targets {
        target.shows("select count(*), count(primary_email) from users", &["700|0"]).await;
        target.caught_up().await;
    }
    // What comes back in the same transaction stays.
    a.sql(r#"begin; create temp table kept on commit drop as select * from "ProjectUser" where "displayName" < '000005';
             truncate "ProjectUser" cascade;
             insert into "ProjectUser" select * from kept; commit"#)
        .await;
    for target in &targets {
        target.caught_up().await;
    }
    let counts = [
        targets[0].value("select count(*) from users").await,
        targets[1].value("select count(*) from users").await,
    ];
    assert_eq!(counts, ["4", "0"]);
}
