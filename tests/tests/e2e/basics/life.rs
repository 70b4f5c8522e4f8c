//! Rows and tables: made, changed, deleted, and how far a target says that it is.

use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::Tenant;

const NAMES: &str = "select display_name from users order by 1";

#[tokio::test]
async fn a_user_is_inserted_updated_and_deleted() {
    let stack = Stack::start().await;
    let _workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    target.caught_up().await;

    let ada = tenant.user("Ada").await;
    let grace = tenant.user("Grace").await;
    target.shows(NAMES, &["Ada", "Grace"]).await;
    target.caught_up().await;

    tenant
        .sql(&format!(
            r#"update "ProjectUser" set "displayName" = 'Ada L.', "profileImageUrl" = 'https://example.com/a.png',
                 "serverMetadata" = '{{"plan": "pro"}}', "isAnonymous" = true, "signedUpAt" = '2020-02-02 02:02+02'
               where "projectUserId" = '{ada}'"#
        ))
        .await;
    target.shows(NAMES, &["Ada L.", "Grace"]).await;
    target.caught_up().await;
    assert_eq!(
        target
            .value(&format!(
                "select signed_up_at at time zone 'UTC', server_metadata ->> 'plan', client_metadata from users
                 where id = '{ada}'"
            ))
            .await,
        "2020-02-02 00:02:00|pro|{}"
    );

    tenant.sql(&format!(r#"delete from "ProjectUser" where "projectUserId" = '{ada}'"#)).await;
    target.shows(NAMES, &["Grace"]).await;
    tenant.sql(&format!(r#"delete from "ProjectUser" where "projectUserId" = '{grace}'"#)).await;
    target.shows(NAMES, &[]).await;

    let again = tenant.user("Ada again").await;
    tenant.primary(again, "ada@example.com").await;
    target.shows("select display_name, primary_email from users", &["Ada again|ada@example.com"]).await;
    target.caught_up().await;
    stack.settled().await;
    target.is("ok|∅").await;
}

#[tokio::test]
async fn nothing_appears_before_there_is_a_target_and_everything_once_there_is_one() {
    let stack = Stack::start().await;
    let _workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    tenant.users(1, 120).await;
    tenant.sql(r#"delete from "ProjectUser" where "displayName" = '000007'"#).await;
    stack.settled().await;
    assert_eq!(
        tenant.value(r#"select max("claim") from "OutgoingRequest""#).await,
        "∅",
        "nothing was asked for"
    );
    assert_eq!(stack.external(0).value("select to_regnamespace('tenant_sync') is null").await, "t");

    let target = tenant.target(stack.external(0)).add().await;
    target.caught_up().await;
    assert_eq!(target.value("select count(*) from users").await, "119");
    assert_eq!(target.value("select count(*) from contact_channels").await, "119");
}

#[tokio::test]
async fn tables_are_created_as_the_contract_says_and_say_whose_they_are() {
    let stack = Stack::start().await;
    let _workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    target.caught_up().await;

    let columns = |table: &str| {
        format!(
            "select column_name || ' ' || udt_name from information_schema.columns
             where table_schema = 'tenant_sync' and table_name = '{table}' order by ordinal_position"
        )
    };
    assert_eq!(
        target.rows(&columns("users")).await,
        [
            "id uuid",
            "display_name text",
            "profile_image_url text",
            "primary_email text",
            "primary_email_verified bool",
            "signed_up_at timestamptz",
            "client_metadata jsonb",
            "client_read_only_metadata jsonb",
            "server_metadata jsonb",
            "is_anonymous bool"
        ]
    );
    assert_eq!(
        target.rows(&columns("contact_channels")).await,
        [
            "id uuid",
            "user_id uuid",
            "type text",
            "value text",
            "is_primary bool",
            "is_verified bool",
            "used_for_auth bool",
            "created_at timestamptz"
        ]
    );
    let indexes = "select pg_get_indexdef(indexrelid) from pg_index where indrelid in ('users'::regclass,
                   'contact_channels'::regclass) order by 1";
    let indexes = target.rows(indexes).await.join("\n");
    for expected in [
        "users USING btree (id)",
        "users USING hash (primary_email)",
        "contact_channels USING btree (user_id)",
    ] {
        assert!(indexes.contains(expected), "{expected}: {indexes}");
    }
    let silent = "select c.relname from pg_class c where c.relnamespace = 'tenant_sync'::regnamespace
                  and c.relkind in ('r', 'v') and obj_description(c.oid, 'pg_class') is null";
    assert_eq!(target.rows(silent).await, Vec::<String>::new(), "everything of ours has a comment");
    let owner = target.value("select deployment, tenancy_id, target_id from _sync_identity").await;
    assert_eq!(owner, format!("{}|{}|main", stack.internal().name(), tenant.id()));
}

#[tokio::test]
async fn the_watermark_and_complete_as_of_advance() {
    let mut stack = Stack::start().await;
    stack.set("sync.heartbeat", "300ms");
    let _workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    target.caught_up().await;
    let watermark = "select min(last_synced_sequence_id), max(last_synced_sequence_id) from _sync_metadata";
    let mut before = target.value(watermark).await;
    for name in ["one", "two", "three"] {
        tenant.user(name).await;
        let committed = tenant.value("select clock_timestamp()").await;
        target.caught_up().await;
        stack.sequenced().await;
        let highest = tenant.value(r#"select max("sequenceId") from "ProjectUser""#).await;
        target.shows(watermark, &[&format!("{highest}|{highest}")]).await;
        let after = target.value(watermark).await;
        assert_ne!(before, after);
        before = after;
        // Also when nothing changes any more: a visit says so.
        let complete = format!("select bool_and(complete_as_of > '{committed}') from _sync_metadata");
        target.shows(&complete, &["t"]).await;
    }
    assert_eq!(
        target.rows("select mapping_name, mapping_version, filling from _sync_metadata order by 1").await,
        ["contact_channels|1|f", "users|1|f"]
    );
    let fresh = "select count(*) from sync_freshness where age < interval '1 minute'";
    assert_eq!(target.value(fresh).await, "2");
    let state = r#"select "mappingName", "lastSyncedSequenceId" = (select max("sequenceId") from "ProjectUser"),
                     "completeAsOf" is not null from "SyncState" order by 1"#;
    assert_eq!(stack.internal().rows(state).await, ["contact_channels|t|t", "users|t|t"]);
}
