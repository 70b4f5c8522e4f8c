//! Sync now, pause, resume, resync, and single passes.

use serde_json::{Value, json};
use tenant_sync_tests::console::Console;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::Tenant;
use tenant_sync_tests::wait::eventually;
use uuid::Uuid;

use super::SOON;

#[tokio::test]
async fn a_target_is_paused_resumed_and_resynced() {
    let stack = Stack::start().await;
    let _workers = stack.start_workers().await;
    let console = Console::start(&stack).await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    tenant.user("Ada").await;
    target.caught_up().await;

    let main = json!({ "tenancyId": tenant.id(), "targetId": "main" });
    let paused = console.post("…/pause", &main).await;
    assert_eq!(paused["targets"][0]["paused"], true, "{paused}");
    eventually(SOON, "its worker to be through", async || {
        let asked = console.post("…/sync", &main).await;
        if asked["targets"][0]["running"] == false { Ok(()) } else { Err(asked.to_string()) }
    })
    .await;
    tenant.user("Bob").await;
    stack.sequenced().await;
    let behind = format!("/api/v1/tenancies/{}/targets/main", tenant.id());
    eventually(SOON, "it to be behind", async || {
        let detail = console.get(&behind).await;
        let waits = detail["rowsBehind"]["count"] == 1 && detail["lagMillis"].as_i64() > Some(0);
        if waits { Ok(()) } else { Err(detail.to_string()) }
    })
    .await;
    console.post("…/resume", &main).await;
    target.shows("select display_name from users order by 1", &["Ada", "Bob"]).await;

    target.caught_up().await;
    target.sql("delete from users where display_name = 'Ada'").await;
    let all = json!({ "tenancyId": tenant.id(), "mappings": ["users"] });
    let asked = console.post("…/resync", &all).await;
    assert_eq!(asked["targets"][0]["mappings"], json!(["users"]), "{asked}");
    target.shows("select display_name from users order by 1", &["Ada", "Bob"]).await;

    let log = console.get(&format!("…/audit?tenancy_id={}", tenant.id())).await;
    let entries = log["entries"].as_array().cloned().unwrap_or_default();
    let mut actions: Vec<&str> = entries.iter().filter_map(|e| e["action"].as_str()).collect();
    actions.dedup();
    assert_eq!(actions, ["target.resync", "target.resume", "target.sync", "target.pause"], "{log}");
    assert!(entries.iter().all(|e| e["subject"] == "main" && e["operator"] == "ann"));
    assert_eq!(entries[0]["details"], json!({ "mappings": ["users"] }));
}

#[tokio::test]
async fn what_is_not_there_is_not_acted_upon() {
    let stack = Stack::start().await;
    let console = Console::start(&stack).await;
    let tenant = Tenant::create(&stack).await;
    let nobody = json!({ "tenancyId": Uuid::nil() });
    let bare = json!({ "tenancyId": tenant.id() });
    let none = json!({ "tenancyId": tenant.id(), "targetId": "main" });
    for action in ["…/sync", "…/pause", "…/resume", "…/resync"] {
        let post = ("POST", action);
        console.refused(post, Some(&nobody), 404, None, "no such tenancy").await;
        console.refused(post, Some(&bare), 404, None, "no targets").await;
        console.refused(post, Some(&none), 404, None, "no target").await;
        console.refused(post, Some(&json!({})), 400, Some("tenancyId"), "missing").await;
        console.refused(post, Some(&json!({ "tenancyId": "x" })), 400, Some("tenancyId"), "").await;
    }
    let unknown = json!({ "tenancyId": tenant.id(), "mappings": ["nope"] });
    console.refused(("POST", "…/resync"), Some(&unknown), 400, Some("mappings"), "nope").await;
    assert_eq!(console.get("…/audit").await["entries"], json!([]), "nothing was done");
}

#[tokio::test]
async fn single_passes_do_the_work_and_say_so() {
    let stack = Stack::start().await;
    let mut sequencer = stack.sequencer().start().await;
    // It has registered what the mappings read; the passes are ours from here.
    sequencer.terminate().await;
    let console = Console::start(&stack).await;
    let tenant = Tenant::create(&stack).await;
    tenant.target(stack.external(0)).add().await;
    tenant.user("Ada").await;

    let run = async |path: &str| -> Value { console.good("POST", path, None).await };
    let sequenced = run("…/sequencer/run").await;
    assert_eq!((&sequenced["outcome"], &sequenced["rowsGiven"]), (&json!("done"), &json!(1)), "{sequenced}");
    assert_eq!(sequenced["targetsAsked"], 1);
    assert_eq!(run("…/sequencer/run").await["outcome"], "empty");
    let handed = run("…/poller/run").await;
    assert_eq!((&handed["enabled"], &handed["claimed"]), (&json!(true), &json!(1)), "{handed}");
    assert_eq!((&handed["published"], &handed["foldedAsks"]), (&json!(1), &json!(1)), "{handed}");
    assert_eq!(stack.vhost().ready_messages("tenant-sync.live").await, Some(1));
    let status = console.get("…/status").await;
    assert_eq!(status["poller"]["claimed"]["count"], 1, "{}", status["poller"]);

    console.post("…/fusebox", &json!({ "pollerEnabled": false })).await;
    assert_eq!(run("…/poller/run").await["enabled"], false);
    let log = console.get("…/audit").await;
    let of = |action: &str| {
        log["entries"].as_array().into_iter().flatten().filter(|entry| entry["action"] == action).count()
    };
    assert_eq!((of("sequencer.run"), of("poller.run")), (2, 2), "{log}");
}

/// As the poller does: a destination whose requests nobody knows of is found.
#[tokio::test]
async fn a_pass_of_the_poller_finds_requests_that_nobody_knows_of() {
    let stack = Stack::start().await;
    let console = Console::start(&stack).await;
    let ask = "select enqueue_http_request('https://hooks.example.com/in', 'POST', '{}', '{}'::text)";
    stack.internal().sql(ask).await;
    let run = async || console.good("POST", "…/poller/run", None).await;
    let first = run().await;
    assert_eq!(
        (&first["foldedAsks"], &first["woken"], &first["published"]),
        (&json!(1), &json!(0), &json!(1)),
        "{first}"
    );
    stack.internal().sql(r#"delete from "OutgoingRequest" where "kind" = 'delivery'"#).await;
    let second = run().await;
    assert_eq!(
        (&second["woken"], &second["claimed"], &second["published"]),
        (&json!(1), &json!(1), &json!(1)),
        "{second}"
    );
    assert_eq!(stack.vhost().ready_messages("tenant-sync.requests").await, Some(2));
}
