//! A change of a key or tenant is a delete there and an insert here; TRUNCATE and cascades are carried.

use uuid::Uuid;

use super::source::Source;

async fn tombstones(source: &Source) -> Vec<String> {
    source
        .rows(
            r#"select "tenancyId", "tableName", coalesce("primaryKey" ->> 'id', "primaryKey" ->> 'projectUserId'), "primaryKey" ->> 'tenancyId'
               from "DeletedRow" order by "tableName", 3"#,
        )
        .await
}

#[tokio::test]
async fn a_changed_key_is_a_delete_and_an_insert() {
    let source = Source::new().await;
    let tenancy = source.tenancy().await;
    let (old, new) = (source.user(tenancy).await, Uuid::new_v4());
    let channel = source.channel(tenancy, old).await;
    source.settle().await;
    source.run(&format!(r#"update "ProjectUser" set "projectUserId" = '{new}'"#)).await;
    assert_eq!(
        (source.user_id(new).await, source.channel_id(channel).await),
        (None, None),
        "the key cascades"
    );
    assert_eq!(
        tombstones(&source).await,
        [
            format!("{tenancy}|ContactChannel|{channel}|{tenancy}"),
            format!("{tenancy}|ProjectUser|{old}|{tenancy}")
        ]
    );
    source.settle().await;
    assert_eq!(source.pending().await, 0);
}

#[tokio::test]
async fn a_tenant_move_is_a_delete_there_and_an_insert_here() {
    let source = Source::new().await;
    let (from, to) = (source.tenancy_with_target().await, source.tenancy_with_target().await);
    let user = source.user(from).await;
    source.settle().await;
    source
        .run(&format!(r#"delete from "OutgoingRequest"; update "ProjectUser" set "tenancyId" = '{to}'"#))
        .await;
    assert_eq!(tombstones(&source).await, [format!("{from}|ProjectUser|{user}|{from}")]);
    let done = source.pass().await;
    assert_eq!((done.rows, done.asked), (2, 2), "both tenants are asked");
}

#[tokio::test]
async fn truncate_leaves_a_tombstone_for_each_row() {
    let source = Source::new().await;
    let tenancies = [source.tenancy_with_target().await, source.tenancy_with_target().await];
    for tenancy in tenancies {
        let user = source.user(tenancy).await;
        source.channel(tenancy, user).await;
    }
    source.settle().await;
    source.run(r#"truncate "ProjectUser" cascade"#).await;
    let counted = r#"select "tableName", count(*), count(distinct "tenancyId") from "DeletedRow" group by 1 order by 1"#;
    assert_eq!(source.rows(counted).await, ["ContactChannel|2|2", "ProjectUser|2|2"]);
    assert_eq!(source.pass().await.asked, 2);
}

/// Deleting a tenancy cascades to its rows; nothing of it stops a pass.
#[tokio::test]
async fn a_tenancy_that_goes_stops_nobody() {
    let source = Source::new().await;
    let (gone, stays) = (source.tenancy_with_target().await, source.tenancy_with_target().await);
    let user = source.user(gone).await;
    source.channel(gone, user).await;
    source.run(&format!(r#"delete from "Tenancy" where "id" = '{gone}'"#)).await;
    let other = source.user(stays).await;
    let done = source.pass().await;
    assert_eq!((done.parked, done.asked), (0, 1));
    assert!(source.user_id(other).await.is_some());
    assert_eq!(source.pending().await, 0);
}

/// Settings of the application's session change how keys look as text; a tombstone's key must not depend on them.
#[tokio::test]
async fn the_applications_settings_do_not_change_a_tombstone() {
    let source = Source::new().await;
    let tenancy = source.tenancy().await;
    source.user(tenancy).await;
    source
        .run(
            r#"set "DateStyle" = 'German'; set "TimeZone" = 'Asia/Tokyo'; set bytea_output = 'escape'; set search_path = pg_catalog;
               delete from public."ProjectUser""#,
        )
        .await;
    source.run("reset all").await;
    assert_eq!(tombstones(&source).await.len(), 1);
    assert_eq!(source.pass().await.rows, 1);
}
