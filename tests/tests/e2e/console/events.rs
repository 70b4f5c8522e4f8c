//! Live state, and the switch that stops the sequencer.

use serde_json::{Value, json};
use tenant_sync_tests::console::Console;
use tenant_sync_tests::http;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::Tenant;

/// How many rows wait for an id in a relation.
fn pending(overview: &Value, relation: &str) -> i64 {
    let relations = overview["sequencer"]["relations"].as_array().cloned().unwrap_or_default();
    let found = relations.iter().find(|one| one["relation"] == relation);
    found.and_then(|one| one["pending"]["count"].as_i64()).unwrap_or(-1)
}

#[tokio::test]
async fn a_stream_shows_the_switch_thrown_and_what_waits_behind_it() {
    let stack = Stack::start().await;
    let mut sequencer = stack.sequencer().start().await;
    let console = Console::start(&stack).await;
    let tenant = Tenant::create(&stack).await;
    let mut stream = console.listen().await;
    let schema = console.document().schema("Overview").clone();
    let mut until = async |what: &str, shown: &dyn Fn(&Value) -> bool| {
        for _ in 0..40 {
            let (name, data) = stream.next().await.expect("the stream goes on");
            assert_eq!(name, "overview", "{data}");
            console.document().validate(&schema, &data, "event").expect("as described");
            if shown(&data) {
                return data;
            }
        }
        panic!("not shown: {what}");
    };
    until("all is quiet", &|now| pending(now, "ProjectUser") == 0).await;

    let off = console.post("…/fusebox", &json!({ "sequencerEnabled": false })).await;
    assert_eq!((&off["sequencerEnabled"], &off["updatedBy"]), (&json!(false), &json!("ann")));
    until("the switch", &|now| now["switches"]["sequencerEnabled"] == false).await;
    // A sequencer that had looked at the switch before may still do a pass.
    let run = console.good("POST", "…/sequencer/run", None).await;
    assert_eq!(run["outcome"], "disabled");
    sequencer.terminate().await;
    sequencer.launch_again();
    sequencer.wait_ready().await;
    tenant.user("Ada").await;
    let waiting = until("what waits", &|now| pending(now, "ProjectUser") == 1).await;
    let relations = waiting["sequencer"]["relations"].as_array().expect("a list");
    assert!(relations.iter().any(|one| one["oldestPendingAt"].is_string()), "{waiting}");

    console.post("…/fusebox", &json!({ "sequencerEnabled": true })).await;
    until("nothing waits", &|now| pending(now, "ProjectUser") == 0).await;
    let log = console.get("…/audit").await;
    let changes: Vec<&Value> =
        log["entries"].as_array().into_iter().flatten().filter(|e| e["action"] == "fusebox.set").collect();
    assert_eq!(changes.len(), 2, "{log}");
    assert_eq!(changes[0]["details"], json!({ "sequencerEnabled": true }));
}

#[tokio::test]
async fn only_so_many_streams_are_open() {
    let stack = Stack::start().await;
    let console = Console::start_with(&stack, |setup| setup.set("console.max_streams", 1)).await;
    let mut first = console.listen().await;
    first.next().await.expect("an event");
    let key = vec![format!("Authorization: Bearer {}", Console::KEY)];
    let path = format!("{}/events", Console::SYNC);
    let second = http::request(console.address(), "GET", &path, &key, "").await.expect("an answer");
    assert_eq!(second.status, 503, "{second:?}");
    drop(first);
    tenant_sync_tests::wait::eventually(super::SOON, "the place to be free", async || {
        let free = http::request(console.address(), "HEAD", &path, &key, "").await?;
        if free.status == 200 { Ok(()) } else { Err(format!("{free:?}")) }
    })
    .await;
}
