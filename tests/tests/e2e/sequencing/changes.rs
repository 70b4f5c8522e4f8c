//! What counts as a change, and that nothing hides one.

use uuid::Uuid;

use super::isolation::lock_user;
use super::source::{BATCH, Source, pass};

/// A user whose row has its id.
async fn settled_user(source: &Source) -> (Uuid, Uuid) {
    let tenancy = source.tenancy_with_target().await;
    let user = source.user(tenancy).await;
    source.settle().await;
    (tenancy, user)
}

#[tokio::test]
async fn only_columns_that_a_mapping_reads_count() {
    let source = Source::new().await;
    let (_, user) = settled_user(&source).await;
    let id = source.user_id(user).await.expect("an id");
    source.run(r#"update "ProjectUser" set "lastActiveAt" = now(), "updatedAt" = now(), "displayName" = "displayName""#).await;
    assert_eq!(source.user_id(user).await, Some(id));
    assert_eq!(source.pass().await.rows, 0);
    for change in [
        r#""displayName" = 'V'"#,
        r#""displayName" = 'v'"#,
        r#""displayName" = null"#,
        r#""profileImageUrl" = ''"#,
        r#""signedUpAt" = '2020-01-01 00:00:00+00'"#,
        r#""clientMetadata" = '{"a": 1.0}'"#,
        r#""clientMetadata" = '{"a": 1.00}'"#,
        r#""serverMetadata" = 'null'"#,
        r#""serverMetadata" = null"#,
        r#""clientReadOnlyMetadata" = '0'"#,
        r#""clientReadOnlyMetadata" = '0.0'"#,
        r#""isAnonymous" = true"#,
    ] {
        source.run(&format!(r#"update "ProjectUser" set {change}"#)).await;
        assert_eq!((source.user_id(user).await, source.pass().await.rows), (None, 1), "{change}");
        source.run(&format!(r#"update "ProjectUser" set {change}"#)).await;
        assert_eq!(source.pass().await.rows, 0, "a second time it changes nothing: {change}");
    }
}

/// 1.0 and 1.00 are equal, and not the same.
#[tokio::test]
async fn comparing_by_equality_would_miss_a_change() {
    let source = Source::new().await;
    let (_, user) = settled_user(&source).await;
    source.run(r#"update "ProjectUser" set "clientMetadata" = '{"a": 1.0}'"#).await;
    source.settle().await;
    let (image, equality) =
        ("pg_catalog.record_image_ne(row(%s), row(%s))", "row(%s) is distinct from row(%s)");
    source.without("watch_relation", image, equality).await;
    source.run("select watch_relation('ProjectUser')").await;
    source.run(r#"update "ProjectUser" set "clientMetadata" = '{"a": 1.00}'"#).await;
    assert!(source.user_id(user).await.is_some(), "the change went unnoticed");
}

#[tokio::test]
async fn what_the_application_writes_into_our_columns_is_ignored() {
    let source = Source::new().await;
    let (tenancy, user) = settled_user(&source).await;
    let columns = r#"select "sequenceId", "shouldUpdateSequenceId", "changedBy" from "ProjectUser""#;
    let before = source.value(columns).await;
    // An ORM that saves what it read earlier, or what it made up.
    for write in [
        r#""sequenceId" = 99, "shouldUpdateSequenceId" = false, "changedBy" = '1'"#,
        r#""sequenceId" = null, "shouldUpdateSequenceId" = true, "changedBy" = '99999999'"#,
        r#""lastActiveAt" = now(), "shouldUpdateSequenceId" = true"#,
    ] {
        source.run(&format!(r#"update "ProjectUser" set {write}"#)).await;
        assert_eq!(source.value(columns).await, before, "{write}");
    }
    // Together with a change: it must not hide it.
    source.run(r#"update "ProjectUser" set "displayName" = 'V', "sequenceId" = 99, "shouldUpdateSequenceId" = false, "changedBy" = '1'"#).await;
    assert_eq!(source.user_id(user).await, None);
    assert_eq!(source.value(r#"select "changedBy" > '1' from "ProjectUser""#).await, "t");
    assert_eq!(source.pass().await.rows, 1);

    // Inserted with values of its own, and copied from a row that has its id.
    source
        .run(&format!(
            r#"insert into "ProjectUser" ("tenancyId", "sequenceId", "shouldUpdateSequenceId", "changedBy") values ('{tenancy}', 7, false, '1');
               create temp table copied as select * from "ProjectUser" where "projectUserId" = '{user}';
               update copied set "projectUserId" = gen_random_uuid();
               insert into "ProjectUser" select * from copied"#
        ))
        .await;
    let hidden = r#"select count(*) from "ProjectUser" where "projectUserId" <> $U and ("sequenceId" is not null or not "shouldUpdateSequenceId")"#;
    assert_eq!(source.value(&hidden.replace("$U", &format!("'{user}'"))).await, "0");
    assert_eq!(source.pass().await.rows, 2);
}

/// Restore and replication tools write so.
#[tokio::test]
async fn session_replication_role_hides_nothing() {
    let source = Source::new().await;
    let (tenancy, user) = settled_user(&source).await;
    source.run("set session_replication_role = replica").await;
    source.run(r#"update "ProjectUser" set "displayName" = 'V'"#).await;
    let other = source.user(tenancy).await;
    assert_eq!((source.user_id(user).await, source.user_id(other).await), (None, None));
    source.settle().await;
    source.run(&format!(r#"delete from "ProjectUser" where "projectUserId" = '{user}'"#)).await;
    source.run(r#"truncate "ProjectUser" cascade"#).await;
    assert_eq!(
        source.value(r#"select count(*) from "DeletedRow" where "tableName" = 'ProjectUser'"#).await,
        "2"
    );
}

/// A trigger of the application's that runs before ours, whatever its name.
#[tokio::test]
async fn our_triggers_see_what_the_applications_triggers_made_of_the_row() {
    let source = Source::new().await;
    let (_, user) = settled_user(&source).await;
    source
        .run(
            r#"create function touch() returns trigger language plpgsql as
                 $$ begin new."displayName" := 'made by a trigger'; return new; end $$;
               create trigger "zzz_touch" before update on "ProjectUser" for each row execute function touch();
               update "ProjectUser" set "lastActiveAt" = now()"#,
        )
        .await;
    assert_eq!(source.user_id(user).await, None);
}

#[tokio::test]
async fn a_changed_channel_takes_its_user_along() {
    let source = Source::new().await;
    let (tenancy, user) = settled_user(&source).await;
    let mut last = source.user_id(user).await.expect("an id");
    let channel = source.channel(tenancy, user).await;
    for change in [
        String::new(),
        format!(r#"update "ContactChannel" set "isVerified" = true where "id" = '{channel}'"#),
        format!(r#"delete from "ContactChannel" where "id" = '{channel}'"#),
    ] {
        source.run(&change).await;
        let done = source.pass().await;
        assert_eq!(done.rows, 2, "{change}");
        let now = source.user_id(user).await.expect("an id");
        assert!(now > last, "{change}");
        last = now;
    }
    assert_eq!(source.pass().await.rows, 0);
}

/// The user's row is locked by the application: channel and user wait, and both come later.
async fn user_after_a_lock(source: &Source) -> (Option<i64>, bool) {
    let (tenancy, user) = settled_user(source).await;
    let before = source.user_id(user).await.expect("an id");
    let channel = source.channel(tenancy, user).await;
    let (mut application, sequencer) = (source.session().await, source.session().await);
    let open = application.transaction().await.expect("begin");
    lock_user(open.client(), user).await;
    pass(&sequencer, BATCH).await;
    let during = source.channel_id(channel).await;
    assert_eq!(source.user_id(user).await, Some(before));
    open.rollback().await.expect("rollback");
    source.settle().await;
    assert!(source.channel_id(channel).await.is_some());
    (during, source.user_id(user).await > Some(before))
}

#[tokio::test]
async fn a_channel_whose_user_is_locked_waits_with_it() {
    assert_eq!(user_after_a_lock(&Source::new().await).await, (None, true));

    let source = Source::new().await;
    source.without("build_sequencer", r#"if blocked ? rel."ordinal"::text then"#, "if false then").await;
    let (during, user_came) = user_after_a_lock(&source).await;
    assert!(during.is_some() && !user_came, "without the guard the user's change would be lost");
}
