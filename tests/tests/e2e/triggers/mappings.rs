//! What events are made of follows the mapping file.

use tenant_sync_core::db::Internal;
use tenant_sync_core::mapping;
use tenant_sync_core::triggers::{Followed, TriggerError, follow_mappings};
use tenant_sync_tests::mappings::People;
use tenant_sync_tests::wait::eventually;

use super::kit::{ONE, Place, user};

const WRITTEN: &str = r#"select (select string_agg(p.xmin::text, ',' order by p.oid) from pg_proc p where p.proname like 'http\_%\_insert')
                                || (select string_agg(h.xmin::text, ',') from "HttpTable" h)"#;

async fn place_with(people: &People) -> Place {
    let mut place = Place::start().await;
    let folder = people.write(&place.stack);
    place.stack.set("mappings.dir", folder.display());
    place
}

async fn follow(place: &Place) -> (Vec<Followed>, Result<(), TriggerError>) {
    let config = place.stack.config();
    let internal = Internal::new(&config.database, "test").expect("internal");
    let mappings = mapping::load(&config).expect("mappings");
    let mut client = internal.get().await.expect("a session");
    follow_mappings(&mut client, internal.schema(), &mappings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_mapping_reaches_the_events_when_the_sequencer_starts() {
    let people = People::new();
    let place = place_with(&people).await;
    place.trigger(&["--all", "--table", "people", "--on", "insert"]).await;
    let event = &place.events(&user(ONE, 1, "Ada")).await[0];
    assert_eq!((&event["type"], &event["data"]["label"]), (&"person.created".into(), &"Ada".into()));
    let before = place.value(WRITTEN).await;
    assert!(follow(&place).await.0.is_empty());
    assert_eq!(place.value(WRITTEN).await, before, "nothing was to be done");
    let _ = people.with("shout", "text", r#"upper(s."displayName")"#).version(2).write(&place.stack);
    let mut sequencer = place.stack.sequencer().spawn();
    sequencer.wait_ready().await;
    eventually(std::time::Duration::from_secs(60), "the functions to be written anew", async || {
        if place.value(WRITTEN).await == before { Err("not yet") } else { Ok(()) }
    })
    .await;
    let event = &place.events(&user(ONE, 2, "Bob")).await[0];
    assert_eq!((&event["data"]["label"], &event["data"]["shout"]), (&"Bob".into(), &"BOB".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_that_does_not_fit_parks_the_triggers_and_says_why() {
    let place = place_with(&People::new()).await;
    let trigger = place.trigger(&["--all", "--table", "people", "--on", "insert"]).await;
    let other = place.trigger(&["--all", "--table", "contact_channels", "--on", "insert"]).await;
    let _ = People::new().with("gone", "text", r#"s."gone""#).version(2).write(&place.stack);
    let (followed, result) = follow(&place).await;
    result.expect("nobody was in the way");
    let problem = followed[0].problem.as_deref().expect("a problem");
    assert!(followed.len() == 1 && problem.contains("42703") && problem.contains("gone"), "{followed:?}");
    let shown = place.stack.cli().json(&["trigger", "show", &trigger]).await;
    assert_eq!((&shown["state"], &shown["stateReason"]), (&"broken".into(), &problem.into()), "{shown}");
    assert_eq!(place.stack.cli().json(&["trigger", "show", &other]).await["state"], "active");
    assert!(place.events(&user(ONE, 1, "Ada")).await.is_empty(), "the write goes through");
    assert!(follow(&place).await.0.is_empty(), "it is told once");
    let _ = People::new().with("known", "text", r#"s."displayName""#).version(3).write(&place.stack);
    assert!(follow(&place).await.0[0].problem.is_none());
    place.stack.cli().json(&["trigger", "resume", &trigger]).await;
    assert_eq!(place.events(&user(ONE, 2, "Bob")).await[0]["data"]["known"], "Bob");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_locked_keeps_no_other_from_following() {
    let place = place_with(&People::new()).await;
    place.trigger(&["--all", "--table", "people", "--on", "insert"]).await;
    let trigger = place.trigger(&["--all", "--table", "contact_channels", "--on", "insert"]).await;
    place.sql(r#"update "HttpTable" set "data" = 'select 1 as old'"#).await;
    let busy = place.stack.internal().connect().await;
    busy.batch_execute(r#"begin; lock table "ProjectUser" in access exclusive mode"#).await.expect("a lock");
    let (followed, result) = follow(&place).await;
    assert_eq!(followed.iter().map(|one| one.table.as_str()).collect::<Vec<_>>(), ["ContactChannel"]);
    let error = result.expect_err("the other is busy").to_string();
    assert!(error.contains("lock timeout"), "{error}");
    assert_eq!(place.stack.cli().json(&["trigger", "show", &trigger]).await["state"], "active");
    busy.batch_execute("commit").await.expect("commit");
    let (followed, result) = follow(&place).await;
    result.expect("nobody is in the way");
    assert!(followed.len() == 1 && followed[0].problem.is_none(), "{followed:?}");
    assert_eq!(place.events(&user(ONE, 1, "Ada")).await[0]["data"]["label"], "Ada");
}
