//! What a delete leaves behind.

use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::source::Source;

#[tokio::test]
async fn a_tombstone_holds_key_columns_and_nothing_else() {
    let source = Source::new().await;
    let tenancy = source.tenancy().await;
    let user = source.user(tenancy).await;
    let channel = source.channel(tenancy, user).await;
    let secret = r#"update "ProjectUser" set "displayName" = 'S3cret', "serverMetadata" = '{"S3cret": 1}', "clientMetadata" = '"S3cret"';
                    update "ContactChannel" set "value" = 'S3cret'; delete from "ProjectUser""#;
    source.run(secret).await;
    let query = r#"select "tableName", "primaryKey" from "DeletedRow" order by 1"#;
    assert_eq!(
        source.rows(query).await,
        [
            format!(
                r#"ContactChannel|{{"id": "{channel}", "tenancyId": "{tenancy}", "projectUserId": "{user}"}}"#
            ),
            format!(r#"ProjectUser|{{"tenancyId": "{tenancy}", "projectUserId": "{user}"}}"#),
        ],
        "a cascade leaves one each"
    );
    assert_eq!(source.value(r#"select count(*) from "DeletedRow" d where d::text ~ 'S3cret'"#).await, "0");
}

/// Purges what is old enough and returns how many are gone.
async fn purge(source: &Source, retention: Duration) -> i64 {
    let internal = source.internal();
    let purged = tenant_sync_sequencer::purge(&internal, retention, SystemTime::UNIX_EPOCH).await;
    purged.expect("purges").rows
}

async fn watermark(source: &Source, tenancy: Uuid, target: &str, through: i64) {
    source
        .run(&format!(
            r#"insert into "SyncState" ("tenancyId", "databaseId", "mappingName", "lastSyncedSequenceId")
               values ('{tenancy}', '{target}', 'users', {through})
               on conflict ("tenancyId", "databaseId", "mappingName") do update set "lastSyncedSequenceId" = {through}"#
        ))
        .await;
}

#[tokio::test]
async fn tombstones_go_when_every_target_is_past_them() {
    let source = Source::new().await;
    let tenancy = source.tenancy_with_target().await;
    source.target(tenancy, "second").await;
    source.user(tenancy).await;
    source.settle().await;
    source.run(r#"delete from "ProjectUser""#).await;
    watermark(&source, tenancy, "main", 1).await;
    watermark(&source, tenancy, "second", 1).await;
    assert_eq!(purge(&source, Duration::ZERO).await, 0, "without an id it was seen by nobody");
    source.settle().await;
    watermark(&source, tenancy, "main", 2).await;
    assert_eq!(purge(&source, Duration::ZERO).await, 0, "one target is behind");
    watermark(&source, tenancy, "second", 2).await;
    assert_eq!(purge(&source, Duration::from_secs(3600)).await, 0, "it is not old enough");
    assert_eq!(purge(&source, Duration::ZERO).await, 1);
    assert_eq!(source.value(r#"select "purgedThrough" from "TombstonePurge""#).await, "2");
}

#[tokio::test]
async fn a_target_that_is_behind_for_too_long_holds_nothing_back() {
    let source = Source::new().await;
    let tenancy = source.tenancy_with_target().await;
    source.user(tenancy).await;
    source.settle().await;
    source.run(r#"delete from "ProjectUser""#).await;
    source.settle().await;
    watermark(&source, tenancy, "main", 1).await;
    source.run(r#"update "DeletedRow" set "deletedAt" = now() - interval '29 days'"#).await;
    assert_eq!(purge(&source, Duration::ZERO).await, 0);
    source.run(r#"update "DeletedRow" set "deletedAt" = now() - interval '31 days'"#).await;
    assert_eq!(purge(&source, Duration::ZERO).await, 1);
    // Its watermark lies below: it will be filled again.
    assert_eq!(source.value(r#"select "purgedThrough" from "TombstonePurge""#).await, "2");
}

/// While the passes stand still, a tombstone is not purged however old: nobody could have seen it.
#[tokio::test]
async fn a_tombstone_without_an_id_is_never_purged() {
    let source = Source::new().await;
    let tenancy = source.tenancy().await;
    source.user(tenancy).await;
    source
        .run(
            r#"delete from "ProjectUser"; update "DeletedRow" set "deletedAt" = now() - interval '300 days'"#,
        )
        .await;
    assert_eq!(purge(&source, Duration::ZERO).await, 0);
}
