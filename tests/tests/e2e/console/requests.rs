//! HTTP requests: looked at, and sent again.

use serde_json::json;
use tenant_sync_tests::console::Console;
use tenant_sync_tests::stack::Stack;
use uuid::Uuid;

#[tokio::test]
async fn a_dead_request_is_shown_with_its_attempts_and_sent_again() {
    let stack = Stack::start().await;
    let console = Console::start(&stack).await;
    let id = stack
        .internal()
        .value("select enqueue_http_request('https://example.com/hook', body => '{}'::text)")
        .await;
    let list = console.get("…/requests?state=pending").await;
    assert_eq!(
        (&list["requests"][0]["id"], &list["requests"][0]["method"]),
        (&json!(id), &json!("POST")),
        "{list}"
    );
    let replay = json!({ "requestId": id });
    console.refused(("POST", "…/requests/replay"), Some(&replay), 404, None, "is dead").await;
    stack
        .internal()
        .sql(&format!(
            r#"update "OutgoingRequest" set state = 'dead', "diedAt" = now(), attempts = 7, "lastError" = 'It said 500.'
               where id = '{id}';
               insert into "HttpAttempt" ("requestId", at, number, outcome, "durationMillis", "destinationId")
               select id, now(), 7, 'dead', 12, "destinationId" from "OutgoingRequest" where id = '{id}'"#
        ))
        .await;
    let detail = console.get(&format!("…/requests/{id}")).await;
    assert_eq!(
        (&detail["state"], &detail["attemptLog"][0]["number"]),
        (&json!("dead"), &json!(7)),
        "{detail}"
    );
    assert_eq!(console.post("…/requests/replay", &replay).await, json!({ "replayed": 1 }));
    let detail = console.get(&format!("…/requests/{id}")).await;
    assert_eq!((&detail["state"], &detail["attempts"]), (&json!("pending"), &json!(0)), "{detail}");
    let entry = console.get("…/audit?limit=1").await["entries"][0].clone();
    assert_eq!((&entry["action"], &entry["details"]["requestId"]), (&json!("request.replay"), &json!(id)));

    console.refused(("POST", "…/requests/replay"), Some(&json!({})), 400, Some("body"), "which").await;
    let bad = json!({ "since": "yesterday" });
    console.refused(("POST", "…/requests/replay"), Some(&bad), 400, Some("since"), "2030").await;
    let nobody = format!("…/requests/{}", Uuid::nil());
    console.refused(("GET", &nobody), None, 404, None, "no such request").await;
    console.refused(("GET", "…/requests?state=odd"), None, 400, Some("state"), "").await;
}
