//! What each kind of write makes.

use futures_util::SinkExt as _;
use serde_json::json;

use super::kit::{ONE, Place, TWO, user, user_id};

const USERS: [&str; 4] = ["--table", "ProjectUser", "--on", "insert,update,delete"];

async fn place() -> Place {
    let place = Place::start().await;
    place.trigger(&[&["--tenancy", ONE], USERS.as_slice()].concat()).await;
    place
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_comes_changes_and_goes_in_the_columns_of_the_mapping() {
    let place = place().await;
    let created = place.events(&user(ONE, 1, "Ada")).await;
    assert_eq!(created.len(), 1);
    assert_eq!((&created[0]["type"], &created[0]["tenancyId"]), (&json!("user.created"), &json!(ONE)));
    let data = created[0]["data"].as_object().expect("an object");
    assert_eq!(data["id"], json!(user_id(1)));
    assert_eq!((&data["display_name"], &data["primary_email"]), (&json!("Ada"), &json!(null)));
    assert_eq!((&data["client_metadata"], &data["primary_email_verified"]), (&json!({}), &json!(false)));
    assert_eq!(data.len(), 10, "the mapping's columns: {data:?}");
    assert!(created[0].get("previous").is_none());
    let at = created[0]["timestamp"].as_str().expect("a time");
    assert_eq!(
        place.value(&format!("select '{at}'::timestamptz between now() - interval '5 min' and now()")).await,
        "t"
    );

    place
        .sql(&format!(
            r#"insert into "ContactChannel" ("tenancyId", "projectUserId", "value", "isPrimary")
                          values ('{ONE}', '{}', 'ada@example.org', true)"#,
            user_id(1)
        ))
        .await;
    assert!(place.taken().await.is_empty(), "a trigger is its own table's");
    let updated = place
        .events(r#"update "ProjectUser" set "displayName" = 'Ada L.', "clientMetadata" = '{"n": 1.10}'"#)
        .await;
    assert_eq!(updated.len(), 1);
    assert_eq!(updated[0]["type"], json!("user.updated"));
    assert_eq!(updated[0]["data"]["primary_email"], json!("ada@example.org"));
    assert_eq!(updated[0]["previous"], json!({"display_name": "Ada", "client_metadata": {}}));

    let deleted = place.events(r#"delete from "ProjectUser""#).await;
    assert_eq!((deleted.len(), &deleted[0]["type"]), (1, &json!("user.deleted")));
    assert_eq!(deleted[0]["data"]["display_name"], json!("Ada L."));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_nothing_and_what_the_sequencer_writes_are_no_events() {
    let place = place().await;
    place.sql(&user(ONE, 1, "Ada")).await;
    place.taken().await;
    assert!(
        place
            .events(r#"update "ProjectUser" set "displayName" = "displayName", "lastActiveAt" = now()"#)
            .await
            .is_empty()
    );
    place.sql("select backfill_null_sequence_ids(1000)").await;
    assert_eq!(
        place.value(r#"select count(*) from "ProjectUser" where "sequenceId" is not null"#).await,
        "1"
    );
    assert!(place.taken().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_makes_none_and_a_commit_loses_none() {
    let place = place().await;
    let rolled_back =
        format!("begin; {}; savepoint s; {}; rollback to s; rollback", user(ONE, 1, "a"), user(ONE, 2, "b"));
    assert!(place.events(&rolled_back).await.is_empty());
    let partly = format!(
        "begin; {}; savepoint s; {}; rollback to s; {}; commit",
        user(ONE, 1, "a"),
        user(ONE, 2, "b"),
        user(ONE, 3, "c")
    );
    let events = place.events(&partly).await;
    let names: Vec<_> = events.iter().map(|event| event["data"]["display_name"].clone()).collect();
    assert_eq!(names, [json!("a"), json!("c")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn n_rows_make_n_events_also_by_copy_and_upsert() {
    let place = place().await;
    let many = format!(
        r#"insert into "ProjectUser" ("tenancyId", "displayName") select '{ONE}', 'u' || n from generate_series(1, 300) n"#
    );
    assert_eq!(place.names(&many).await, vec!["user.created"; 300]);
    let updates = place.events(r#"update "ProjectUser" set "displayName" = "displayName" || '!'"#).await;
    assert_eq!(updates.len(), 300);
    for event in &updates {
        let before = event["previous"]["display_name"].as_str().expect("a name");
        assert_eq!(event["data"]["display_name"], json!(format!("{before}!")), "rows are matched by key");
    }
    let sink = place
        .client
        .copy_in(r#"copy "ProjectUser" ("tenancyId", "displayName") from stdin"#)
        .await
        .expect("copy");
    let mut sink = std::pin::pin!(sink);
    let lines = bytes::Bytes::from(format!("{ONE}\tx\n{TWO}\ty\n{ONE}\tz\n"));
    sink.send(lines).await.expect("lines");
    sink.finish().await.expect("the end");
    let copied = place.taken().await;
    assert_eq!(copied.len(), 2, "the other tenant has no trigger");
    place.sql(&user(ONE, 1, "first")).await;
    place.taken().await;
    let upsert = format!(
        "{} on conflict (\"tenancyId\", \"projectUserId\") do update set \"displayName\" = excluded.\"displayName\"",
        user(ONE, 1, "second")
    );
    let upserted = place.events(&upsert).await;
    assert_eq!((upserted.len(), &upserted[0]["previous"]), (1, &json!({"display_name": "first"})));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cascade_makes_events_of_what_it_takes_along() {
    let place = Place::start().await;
    place.trigger(&["--all", "--table", "contact_channels", "--on", "delete"]).await;
    place.sql(&user(ONE, 1, "Ada")).await;
    place
        .sql(&format!(
            r#"insert into "ContactChannel" ("tenancyId", "projectUserId", "value")
                          select '{ONE}', '{}', 'a' || n from generate_series(1, 3) n"#,
            user_id(1)
        ))
        .await;
    assert!(place.taken().await.is_empty());
    assert_eq!(place.names(r#"delete from "ProjectUser""#).await, vec!["contact_channel.deleted"; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn above_the_limit_there_is_one_event_with_the_count() {
    let place = Place::start().await;
    let small = place.trigger(&[&["--tenancy", ONE, "--max-events", "10"], USERS.as_slice()].concat()).await;
    let large = place.trigger(&[&["--all"], USERS.as_slice()].concat()).await;
    let insert = |rows: u32, tenant: &str| {
        format!(
            r#"insert into "ProjectUser" ("tenancyId", "displayName") select '{tenant}', 'u' from generate_series(1, {rows}) n"#
        )
    };
    let of = async |trigger: &str| {
        place.rows(&format!(r#"select body from "OutgoingRequest" where kind = 'http' and "destinationId" = '{trigger}' order by position"#)).await
    };
    place.sql(&insert(11, ONE)).await;
    let (of_small, of_large) = (of(&small).await, of(&large).await);
    assert_eq!((of_small.len(), of_large.len()), (1, 11));
    let bulk: serde_json::Value = serde_json::from_str(&of_small[0]).expect("JSON");
    assert_eq!(
        (&bulk["type"], &bulk["data"], &bulk["tenancyId"]),
        (&json!("user.created.bulk"), &json!({"count": 11}), &json!(ONE))
    );
    place.taken().await;
    place.sql(&insert(10, ONE)).await;
    assert_eq!((of(&small).await.len(), of(&large).await.len()), (10, 10));
    place.taken().await;
    // Rows of others do not count.
    place
        .sql(&format!(
            r#"insert into "ProjectUser" ("tenancyId", "displayName")
        select case when n = 1 then '{ONE}' else '{TWO}' end::uuid, 'u' from generate_series(1, 30) n"#
        ))
        .await;
    assert_eq!((of(&small).await.len(), of(&large).await.len()), (1, 30));
    assert!(of(&small).await[0].contains("\"user.created\""));
    place.taken().await;
    place.sql(r#"update "ProjectUser" set "displayName" = 'w'"#).await;
    assert_eq!((of(&small).await.len(), of(&large).await.len()), (1, 51));
    assert!(of(&small).await[0].contains("{\"count\" : 22}"), "{:?}", of(&small).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn truncate_makes_one_event_with_the_count() {
    let place = place().await;
    place.trigger(&["--tenancy", TWO, "--table", "users", "--on", "insert"]).await;
    place.sql(&format!(r#"insert into "ProjectUser" ("tenancyId", "displayName")
                          select '{ONE}', 'u' from generate_series(1, 5) union all select '{TWO}', 'v' from generate_series(1, 7)"#)).await;
    place.taken().await;
    let events = place.events(r#"truncate "ProjectUser" cascade"#).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!((&events[0]["type"], &events[0]["data"]), (&json!("user.deleted.bulk"), &json!({"count": 5})));
    assert!(
        place.events(r#"truncate "ProjectUser" cascade"#).await.is_empty(),
        "of nothing there is nothing to say"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_changes_its_key_or_tenant_goes_there_and_comes_here() {
    let place = place().await;
    place.sql(&user(ONE, 1, "Ada")).await;
    place.taken().await;
    let moved =
        place.events(&format!(r#"update "ProjectUser" set "projectUserId" = '{}'"#, user_id(2))).await;
    let seen: Vec<_> =
        moved.iter().map(|event| (event["type"].clone(), event["data"]["id"].clone())).collect();
    assert_eq!(
        seen,
        [(json!("user.deleted"), json!(user_id(1))), (json!("user.created"), json!(user_id(2)))]
    );
    assert_eq!(
        place.names(&format!(r#"update "ProjectUser" set "tenancyId" = '{TWO}'"#)).await,
        ["user.deleted"]
    );
    assert_eq!(
        place.names(&format!(r#"update "ProjectUser" set "tenancyId" = '{ONE}'"#)).await,
        ["user.created"]
    );
}
