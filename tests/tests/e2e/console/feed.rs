//! What the application writes, whichever way, is in the next answer, and what was noted of it goes.

use super::tenant::{Tenant, column, encoded};

impl Tenant {
    async fn found(&self, text: &str) -> Vec<String> {
        column(&self.json(&format!("users?query={}", encoded(text))).await, "displayName")
    }
}

const PEOPLE: &str = r#"
insert into "ProjectUser" ("tenancyId", "displayName") values ($T, 'Ada'), ($T, 'Grace'), ($T, 'Linus');
insert into "ContactChannel" ("tenancyId", "projectUserId", "value")
select "tenancyId", "projectUserId", lower("displayName") || '@first.example' from "ProjectUser";"#;

#[tokio::test]
async fn names_and_addresses_are_found_as_they_are_now() {
    let tenant = Tenant::start().await;
    tenant.sql(PEOPLE).await;
    assert_eq!(tenant.found("grace@first").await, ["Grace"]);
    for (change, text, expected) in [
        (
            r#"update "ContactChannel" set "value" = 'ADA@second.example' where "value" like 'ada%'"#,
            "ada@SECOND",
            vec!["Ada"],
        ),
        (r#"select 1"#, "ada@first", vec![]),
        (
            r#"update "ProjectUser" set "displayName" = 'Countess' where "displayName" = 'Ada'"#,
            "ountess",
            vec!["Countess"],
        ),
        (
            r#"insert into "ContactChannel" ("tenancyId", "projectUserId", "value") select "tenancyId", "projectUserId", 'both@third.example' from "ProjectUser" where "displayName" <> 'Linus'"#,
            "third",
            vec!["Countess", "Grace"],
        ),
        (r#"delete from "ContactChannel" where "value" like 'both%'"#, "third", vec![]),
        // To another user, who has it from then on.
        (
            r#"update "ContactChannel" c set "projectUserId" = u."projectUserId" from "ProjectUser" u where u."displayName" = 'Grace' and c."value" like 'linus%'"#,
            "linus@",
            vec!["Grace"],
        ),
        (
            r#"update "ProjectUser" set "projectUserId" = gen_random_uuid() where "displayName" = 'Grace'"#,
            "linus@",
            vec!["Grace"],
        ),
        (r#"truncate "ContactChannel""#, "linus@", vec![]),
        (r#"delete from "ProjectUser" where "displayName" = 'Grace'"#, "grace", vec![]),
        (
            r#"set session_replication_role = replica; update "ProjectUser" set "displayName" = 'Torvalds' where "displayName" = 'Linus'"#,
            "torv",
            vec!["Torvalds"],
        ),
    ] {
        tenant.sql(change).await;
        let mut found = tenant.found(text).await;
        found.sort_unstable();
        assert_eq!(found, expected, "{text}, after {change}");
    }
    tenant.sql(r#"truncate "ProjectUser" cascade"#).await;
    assert_eq!(tenant.json("metrics").await["totalUsers"], 0);
    assert_eq!(
        tenant.rows(r#"select count(*) from "UserSearch""#).await,
        ["0"],
        "nothing is kept of who is gone"
    );
}

#[tokio::test]
async fn who_writes_the_applications_tables_needs_no_right_on_ours() {
    let tenant = Tenant::start().await;
    let role = tenant.stack.internal().role("nosuperuser").await;
    tenant.sql(&format!(r#"grant usage on schema public to {0}; grant select, insert, update, delete on "ProjectUser" to {0}; set role {0};
        insert into "ProjectUser" ("tenancyId", "displayName") values ($T, 'Ada'); update "ProjectUser" set "lastActiveAt" = now()"#, role.name)).await;
    assert_eq!(tenant.found("ada").await, ["Ada"]);
}

/// The feed holds what is not folded, and not even that where no console was up for a day.
#[tokio::test]
async fn the_feed_is_trimmed() {
    let tenant = Tenant::start().await;
    tenant.sql(PEOPLE).await;
    assert_eq!(tenant.found("first").await.len(), 3);
    let rows = async || tenant.rows(r#"select count(*) from "UserFeed""#).await;
    let trim = "select trim_user_feed(1000)";
    // As if no other transaction of the server had been open when they were folded.
    tenant.sql(r#"select pg_advisory_xact_lock(1952805749, hashtext(current_schema()));
        update "ActivityFold" set "seen" = format('%1$s:%1$s:', pg_snapshot_xmax(pg_current_snapshot()))::pg_snapshot where "source" = 'ProjectUser'"#).await;
    tenant.rows(trim).await;
    assert_eq!(rows().await, ["0"]);
    // Nobody folds meanwhile, nor says that a console is up.
    let held = tenant.stack.internal().connect().await;
    held.batch_execute("begin; select pg_advisory_xact_lock(1952805749, hashtext(current_schema()))")
        .await
        .expect("locked");
    held.batch_execute(
        r#"update "ProjectUser" set "displayName" = 'Late' where "displayName" = 'Ada';
        update "ActivityFold" set "at" = now() - interval '25 hours' where "source" = 'UserActivity'"#,
    )
    .await
    .expect("updated");
    held.batch_execute(trim).await.expect("trimmed");
    let said = held
        .query(r#"select "phase" from "ActivityFold" where "source" = 'ProjectUser'"#, &[])
        .await
        .expect("a phase");
    assert_eq!(said[0].get::<_, String>(0), "older", "all users are walked once more");
    held.batch_execute("commit").await.expect("commit");
    assert_eq!(tenant.found("late").await, ["Late"]);
    assert_eq!(tenant.found("first").await.len(), 3);
}
