//! Tenancies and mappings: lists, search, cursors, and what is refused.

use serde_json::{Value, json};
use tenant_sync_tests::console::Console;
use tenant_sync_tests::stack::Stack;
use uuid::Uuid;

#[tokio::test]
async fn tenancies_are_made_found_and_removed() {
    let stack = Stack::start().await;
    let console = Console::start(&stack).await;
    let made = console.post("/api/v1/tenancies", &json!({ "projectId": "acme", "tenantKey": "4711" })).await;
    let id = made["tenancyId"].as_str().expect("an id").to_owned();
    assert_eq!((&made["branchId"], &made["targets"]), (&json!("main"), &json!(0)));
    for project in ["acme-2", "beta", "Acme", "gamma"] {
        console.post("/api/v1/tenancies", &json!({ "projectId": project })).await;
    }
    assert_eq!(console.get(&format!("/api/v1/tenancies/{id}")).await, made);

    let projects = |page: &Value| -> Vec<String> {
        let list = page["tenancies"].as_array().cloned().unwrap_or_default();
        list.iter().filter_map(|t| t["projectId"].as_str().map(str::to_owned)).collect()
    };
    let found = async |query: &str| projects(&console.get(&format!("/api/v1/tenancies?query={query}")).await);
    assert_eq!(found("acme").await, ["acme", "acme-2"]);
    assert_eq!(found("471").await, ["acme"]);
    assert_eq!(found(&id).await, ["acme"]);
    assert!(found("zeta").await.is_empty());

    let mut seen = Vec::new();
    let mut next = String::new();
    loop {
        let page = console.get(&format!("/api/v1/tenancies?limit=2{next}")).await;
        seen.extend(projects(&page));
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        next = format!("&cursor={cursor}");
    }
    seen.sort();
    assert_eq!(seen, ["Acme", "acme", "acme-2", "beta", "gamma"]);
    let first = console.get("/api/v1/tenancies?query=acme&limit=1").await;
    let cursor = first["nextCursor"].as_str().expect("there is more");
    let second = console.get(&format!("/api/v1/tenancies?query=acme&limit=1&cursor={cursor}")).await;
    assert_eq!((projects(&second), &second["nextCursor"]), (vec!["acme-2".to_owned()], &Value::Null));

    let post = ("POST", "/api/v1/tenancies");
    let twice = json!({ "projectId": "acme" });
    console.refused(post, Some(&twice), 409, None, &id).await;
    let key_taken = json!({ "projectId": "new", "tenantKey": "4711" });
    console.refused(post, Some(&key_taken), 409, None, "tenant key").await;
    assert_eq!(stack.internal().value(r#"select count(*) from "Project" where id = 'new'"#).await, "0");
    console.refused(post, Some(&json!({ "projectId": " " })), 400, Some("projectId"), "empty").await;
    console.refused(post, Some(&json!({})), 400, Some("projectId"), "missing").await;
    console.refused(("GET", "/api/v1/tenancies?limit=0"), None, 400, Some("limit"), "1 to 1000").await;
    console.refused(("GET", "/api/v1/tenancies?cursor=x"), None, 400, Some("cursor"), "nextCursor").await;
    console.refused(("GET", "/api/v1/tenancies/abc"), None, 400, Some("tenancy_id"), "UUID").await;
    let unknown = format!("/api/v1/tenancies/{}", Uuid::nil());
    console.refused(("GET", &unknown), None, 404, None, "no such tenancy").await;

    console.good("DELETE", &format!("/api/v1/tenancies/{id}"), None).await;
    console.refused(("DELETE", &format!("/api/v1/tenancies/{id}")), None, 404, None, "no such tenancy").await;
    let log = console.get("…/audit?limit=1").await;
    let entry = &log["entries"][0];
    assert_eq!((&entry["action"], &entry["operator"]), (&json!("tenancy.remove"), &json!("ann")));
    assert_eq!((&entry["tenancyId"], &entry["address"]), (&json!(id), &json!("127.0.0.1")));
    let of_it = console.get(&format!("…/audit?tenancy_id={id}")).await;
    assert_eq!(of_it["entries"].as_array().map(Vec::len), Some(2), "{of_it}");
}

#[tokio::test]
async fn mappings_are_shown_and_checked_against_the_live_schema() {
    let stack = Stack::start().await;
    let console = Console::start(&stack).await;
    let list = console.get("…/mappings?limit=1").await;
    assert_eq!(list["mappings"][0]["name"], "contact_channels");
    let cursor = list["nextCursor"].as_str().expect("there is more");
    let rest = console.get(&format!("…/mappings?cursor={cursor}")).await;
    assert_eq!((&rest["mappings"][0]["name"], &rest["nextCursor"]), (&json!("users"), &Value::Null));
    assert!(rest["mappings"][0]["columns"].as_array().is_some_and(|c| c.contains(&json!("primary_email"))));
    assert_eq!(console.get("…/mappings?query=CONTACTCH").await["mappings"].as_array().map(Vec::len), Some(1));

    assert_eq!(console.good("POST", "…/mappings/check", None).await, json!({ "ok": true, "errors": [] }));
    stack.internal().sql(r#"alter table "ProjectUser" rename column "displayName" to "name""#).await;
    let check = console.good("POST", "…/mappings/check", None).await;
    assert_eq!(check["ok"], false);
    assert!(check["errors"].to_string().contains("displayName"), "{check}");
}
