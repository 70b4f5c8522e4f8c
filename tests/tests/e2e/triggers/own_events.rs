//! Events of our own.

use serde_json::json;

use super::kit::{ONE, Place, TWO};

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_breaks_and_recovers_is_told_to_its_tenants_triggers() {
    let place = Place::start().await;
    place.trigger(&["--tenancy", ONE, "--event", "target.broken,target.recovered"]).await;
    place.trigger(&["--tenancy", TWO, "--event", "target.broken"]).await;
    place
        .sql(&format!(r#"insert into "ExternalDatabase" ("tenancyId", "id", "nextVisitAt") values ('{ONE}', 'main', 'infinity')"#))
        .await;
    let state = |state: &str| {
        format!(r#"update "ExternalDatabase" set "state" = '{state}', "lastError" = 'no answer'"#)
    };
    assert!(place.events(&state("retrying")).await.is_empty());
    let broken = place.events(&state("broken")).await;
    assert_eq!(broken.len(), 1);
    assert_eq!((&broken[0]["type"], &broken[0]["tenancyId"]), (&json!("target.broken"), &json!(ONE)));
    assert_eq!(
        (&broken[0]["data"]["targetId"], &broken[0]["data"]["error"]),
        (&json!("main"), &json!("no answer"))
    );
    assert!(place.events(&state("broken")).await.is_empty(), "once");
    assert_eq!(place.names(&state("ok")).await, ["target.recovered"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_and_a_step_back_are_told() {
    let place = Place::start().await;
    place.trigger(&["--all", "--event", "trigger.paused,source.rewound"]).await;
    let paused = place.trigger(&["--tenancy", ONE, "--table", "users", "--on", "insert"]).await;
    place.stack.cli().json(&["trigger", "pause", &paused]).await;
    let events = place.taken().await;
    assert_eq!(
        (&events[0]["type"], &events[0]["data"]["triggerId"]),
        (&json!("trigger.paused"), &json!(paused))
    );
    place.stack.cli().json(&["trigger", "pause", &paused]).await;
    assert!(place.taken().await.is_empty(), "once");
    place.sql("select backfill_null_sequence_ids(10)").await;
    let rewound = place.events("select note_source_rewound(1000)").await;
    assert_eq!(
        rewound.iter().map(|event| event["type"].clone()).collect::<Vec<_>>(),
        [json!("source.rewound")]
    );
    assert!(place.events("select note_source_rewound(1000)").await.is_empty(), "once");
}
