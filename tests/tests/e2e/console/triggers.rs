//! Triggers: looked at, paused, resumed and tested.

use serde_json::{Value, json};
use tenant_sync_tests::console::Console;
use tenant_sync_tests::stack::Stack;
use uuid::Uuid;

async fn add(stack: &Stack, options: &[&str]) -> Value {
    stack.cli().json(&[&["trigger", "add", "--table", "users", "--on", "insert"], options].concat()).await
}

fn ids(page: &Value) -> Vec<&str> {
    page["triggers"].as_array().expect("a list").iter().filter_map(|line| line["id"].as_str()).collect()
}

#[tokio::test]
async fn a_trigger_is_found_paused_resumed_and_tested() {
    let stack = Stack::start().await;
    let console = Console::start(&stack).await;
    let tenancy = stack.tenancy("acme").await;
    let of_acme =
        add(&stack, &["--url", "https://acme.example/hook?token=t", "--tenancy", &tenancy.to_string()]).await;
    let of_all = add(&stack, &["--url", "https://hooks.example/a", "--all", "--header", "X-Key: hush"]).await;
    let (acme, all) = (of_acme["id"].as_str().expect("an id"), of_all["id"].as_str().expect("an id"));
    let listed = console.get("…/triggers").await;
    assert_eq!(ids(&listed), [all, acme], "the newest first");
    assert_eq!(
        (&listed["triggers"][0]["headerNames"], &listed["triggers"][0]["secretCount"]),
        (&json!(["X-Key"]), &json!(1))
    );
    for secret in [&of_acme["secret"], &of_all["secret"], &json!("hush"), &json!("whsec_")] {
        assert!(!listed.to_string().contains(secret.as_str().expect("text")), "{listed}");
    }
    for (query, found) in [
        ("query=acme.example", vec![acme]),
        ("query=https://hooks", vec![all]),
        ("query=acme", vec![acme]),
        (&format!("query={all}"), vec![all]),
        ("query=example", vec![]),
        (&format!("tenancy_id={tenancy}"), vec![acme]),
        ("state=active", vec![all, acme]),
        ("state=failing", vec![]),
    ] {
        assert_eq!(ids(&console.get(&format!("…/triggers?{query}")).await), found, "{query}");
    }
    let first = console.get("…/triggers?limit=1").await;
    let cursor = first["nextCursor"].as_str().expect("there is more");
    let second = console.get(&format!("…/triggers?limit=1&cursor={cursor}")).await;
    assert_eq!((ids(&first), ids(&second), &second["nextCursor"]), (vec![all], vec![acme], &Value::Null));

    let one = format!("…/triggers/{acme}");
    let paused = console.post(&format!("{one}/pause"), &json!({})).await;
    assert_eq!(
        (&paused["state"], &paused["stateReason"]),
        (&json!("paused"), &json!("ann paused it in the console"))
    );
    assert_eq!(ids(&console.get("…/triggers?state=paused").await), [acme]);
    let resumed = console.post(&format!("{one}/resume"), &json!({})).await;
    assert_eq!((&resumed["state"], &resumed["stateReason"]), (&json!("active"), &Value::Null));
    let tested = console.post(&format!("{one}/test"), &json!({})).await;
    let request = console.get(&format!("…/requests/{}", tested["requestId"].as_str().expect("an id"))).await;
    assert_eq!((&request["event"], &request["triggerId"]), (&json!("trigger.test"), &json!(acme)));
    let now = console.get(&one).await;
    assert_eq!((&now["waiting"]["count"], &now["dead"]["count"]), (&json!(1), &json!(0)));
    assert_eq!(now["oldestWaitingAt"], request["createdAt"]);

    let entries = console.get(&format!("…/audit?tenancy_id={tenancy}")).await;
    let actions: Vec<&Value> =
        entries["entries"].as_array().expect("a list").iter().map(|e| &e["action"]).collect();
    assert_eq!(actions, ["trigger.test", "trigger.resume", "trigger.pause"], "{entries}");
    assert_eq!(entries["entries"][0]["details"]["triggerId"], json!(acme));

    stack
        .internal()
        .sql(r#"update "HttpDestination" set state = 'broken' where "triggerId" is not null"#)
        .await;
    assert_eq!(ids(&console.get("…/triggers?state=failing").await), [all, acme]);
    let nobody = format!("…/triggers/{}/pause", Uuid::nil());
    console.refused(("POST", &nobody), None, 404, None, "no such trigger").await;
    console.refused(("GET", "…/triggers?cursor=x"), None, 400, Some("cursor"), "nextCursor").await;
    console.refused(("GET", "…/triggers?state=odd"), None, 400, Some("state"), "failing").await;
}

/// A definition that fits no more: it cannot be resumed, and the reason is told.
#[tokio::test]
async fn a_broken_trigger_says_why_and_is_not_resumed() {
    let stack = Stack::start().await;
    let console = Console::start(&stack).await;
    let tenancy = stack.tenancy("acme").await;
    stack.internal().sql("create table invoices (id bigint primary key, org text, amount int, note text); select track_table('invoices', 'org')").await;
    let made = stack
        .cli()
        .run_with_input(
            &[
                "trigger",
                "add",
                "--url",
                "https://a.example",
                "--all",
                "--table",
                "public.invoices",
                "--on",
                "update",
                "--when",
                "-",
                "--json",
            ],
            r#"[{"column": "note", "op": "changed"}]"#,
        )
        .await
        .json();
    let id = made["id"].as_str().expect("an id");
    let breaks = format!(
        "insert into invoices (id, org) values (1, '{tenancy}'); alter table invoices drop column note;
         update invoices set amount = 1; select http_settle_faults(10)"
    );
    stack.internal().sql(&breaks).await;
    let one = format!("…/triggers/{id}");
    let broken = console.get(&one).await;
    assert_eq!((&broken["state"], &broken["missedStatements"]), (&json!("broken"), &json!(1)), "{broken}");
    let resume = format!("{one}/resume");
    console.refused(("POST", &resume), None, 409, None, "there is no column \"note\"").await;
}

/// A page asks, acts for who has logged in, and says who did it.
#[tokio::test]
async fn a_page_of_a_trigger_acts_and_says_who_did_it() {
    let stack = Stack::start().await;
    let console = Console::start(&stack).await;
    let made = add(&stack, &["--url", "https://acme.example/hook", "--all"]).await;
    let path = format!("/triggers/{}", made["id"].as_str().expect("an id"));
    let (cookie, own) = (console.cookie().await, format!("Origin: http://{}", console.address()));
    let asked = console.raw("GET", &format!("{path}/pause"), &[&cookie], "").await;
    assert!(asked.status == 200 && asked.body.contains("Pause this trigger?"), "{asked:?}");
    let pause = format!("{path}/pause");
    let state = r#"select "state" from "HttpTrigger""#;
    assert_eq!(stack.internal().value(state).await, "active");
    assert_eq!(console.raw("POST", &pause, &[&own], "").await.status, 303, "to the login");
    assert_eq!(stack.internal().value(state).await, "active");
    let done = console.raw("POST", &pause, &[&cookie, &own], "").await;
    assert_eq!((done.status, done.header("location")), (303, Some(format!("{path}?did=pause").as_str())));
    assert_eq!(stack.internal().value(state).await, "paused");
    let page = console.raw("GET", &format!("{path}?did=pause"), &[&cookie], "").await;
    assert!(page.body.contains("Ann paused it in the console."), "{}", page.body);
    let unknown = console.raw("GET", &format!("{path}/explode"), &[&cookie], "").await;
    assert_eq!(unknown.status, 404);
}
