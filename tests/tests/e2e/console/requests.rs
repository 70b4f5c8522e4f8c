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

/// Ids of a page, and where the next one begins.
fn page(list: &serde_json::Value) -> (Vec<String>, Option<String>) {
    let requests = list["requests"].as_array().expect("a list");
    let ids = requests.iter().filter_map(|one| one["id"].as_str().map(str::to_owned)).collect();
    (ids, list["nextCursor"].as_str().map(str::to_owned))
}

#[tokio::test]
async fn requests_are_paged_filtered_and_sent_again_by_what_is_meant() {
    let stack = Stack::start().await;
    let console = Console::start(&stack).await;
    let tenancy = stack.tenancy("acme").await;
    // Ten that wait after a failure, ten dead, ten delivered; made an hour apart from one another.
    stack
        .internal()
        .sql(&format!(
            r#"insert into "HttpDestination" (origin) values ('https://example.com:443');
               insert into "OutgoingRequest" (kind, "destinationId", position, "eventType", url, "tenancyId", attempts, "createdAt",
                   "dueAt", state, "diedAt")
               select 'http', d.id, n, 'order.placed', 'https://example.com/hook', '{tenancy}', 1, now() - n * interval '1 hour',
                   now() + n * interval '1 hour', s, case s when 'dead' then now() - n * interval '1 minute' end
               from "HttpDestination" d, generate_series(1, 10) n, unnest('{{pending,dead}}'::text[]) s;
               insert into "HttpAttempt" ("requestId", at, "destinationId", number, outcome, "durationMillis", "eventType", url, "createdAt")
               select gen_random_uuid(), now() - n * interval '1 hour', d.id, 1, 'delivered', 5, 'order.placed', 'https://example.com/hook',
                   now() - n * interval '1 hour' from "HttpDestination" d, generate_series(1, 10) n"#
        ))
        .await;
    let (mut met, mut cursor) = (Vec::new(), String::new());
    loop {
        let list = console.get(&format!("…/requests?limit=7{cursor}")).await;
        let (ids, next) = page(&list);
        assert!(ids.len() <= 7);
        met.extend(ids);
        match next {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let ordered = r#"select id from (
        select id, "dueAt" as at from "OutgoingRequest" where kind = 'http' and state = 'pending'
        union all select id, "diedAt" from "OutgoingRequest" where kind = 'http' and state = 'dead'
        union all select "requestId", at from "HttpAttempt") q order by at desc"#;
    assert_eq!(met, stack.internal().rows(ordered).await, "each once, along their time");
    let since = stack.internal().value(r#"select to_char(now() at time zone 'UTC' - interval '5 hours 30 minutes', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"#).await;
    let count = async |query: &str| page(&console.get(&format!("…/requests?{query}")).await).0.len();
    assert_eq!(count(&format!("since={since}")).await, 15);
    assert_eq!(count(&format!("since={since}&state=dead")).await, 5);
    assert_eq!(count(&format!("tenancy_id={tenancy}")).await, 20);
    assert_eq!(count("event=order.placed").await, 30);
    console.refused(("GET", "…/requests?cursor=x"), None, 400, Some("cursor"), "nextCursor").await;
    console.refused(("GET", "…/requests?since=soon"), None, 400, Some("since"), "2030").await;

    let replayed = async |body| console.post("…/requests/replay", &body).await["replayed"].clone();
    let hurried = r#"select count(*) from "OutgoingRequest" where kind = 'http' and state = 'pending' and "dueAt" <= now() and attempts = 0"#;
    assert_eq!(replayed(json!({ "states": ["pending"], "since": since })).await, 5, "tried at once");
    assert_eq!(stack.internal().value(hurried).await, "5");
    assert_eq!(replayed(json!({ "tenancyId": tenancy, "since": since, "states": ["dead"] })).await, 5);
    assert_eq!(replayed(json!({ "since": since })).await, 5, "and those that arrived");
    assert_eq!(replayed(json!({ "event": "order.placed" })).await, 5, "the rest of the dead");
    assert_eq!(stack.internal().value(hurried).await, "20");
    let entry = console.get("…/audit?limit=1").await["entries"][0].clone();
    assert_eq!(entry["details"]["states"], json!(["dead"]), "{entry}");
    // Ten arrived, five of them wait again.
    assert_eq!(replayed(json!({ "event": "order.placed", "delivered": true })).await, 5);
    let bad = json!({ "states": ["gone"] });
    console.refused(("POST", "…/requests/replay"), Some(&bad), 400, Some("states[0]"), "delivered").await;
}
