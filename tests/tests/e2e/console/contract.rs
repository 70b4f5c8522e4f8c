//! The OpenAPI document and what is served are the same.

use serde_json::json;
use tenant_sync_tests::console::Console;
use tenant_sync_tests::stack::Stack;

/// The addresses that the rest of the world relies on.
const PROMISED: [(&str, &str); 34] = [
    ("GET", "/api/v1/internal/external-db-sync/status"),
    ("GET", "/api/v1/internal/external-db-sync/fusebox"),
    ("POST", "/api/v1/internal/external-db-sync/fusebox"),
    ("POST", "/api/v1/internal/external-db-sync/sync"),
    ("POST", "/api/v1/internal/external-db-sync/pause"),
    ("POST", "/api/v1/internal/external-db-sync/resume"),
    ("POST", "/api/v1/internal/external-db-sync/resync"),
    ("POST", "/api/v1/internal/external-db-sync/sequencer/run"),
    ("POST", "/api/v1/internal/external-db-sync/poller/run"),
    ("GET", "/api/v1/internal/external-db-sync/events"),
    ("GET", "/api/v1/internal/external-db-sync/history"),
    ("GET", "/api/v1/internal/external-db-sync/audit"),
    ("GET", "/api/v1/internal/external-db-sync/targets"),
    ("GET", "/api/v1/internal/external-db-sync/mappings"),
    ("GET", "/api/v1/internal/external-db-sync/requests"),
    ("POST", "/api/v1/internal/external-db-sync/requests/replay"),
    ("GET", "/api/v1/internal/external-db-sync/triggers"),
    ("GET", "/api/v1/internal/external-db-sync/triggers/{trigger_id}"),
    ("POST", "/api/v1/internal/external-db-sync/triggers/{trigger_id}/pause"),
    ("POST", "/api/v1/internal/external-db-sync/triggers/{trigger_id}/resume"),
    ("POST", "/api/v1/internal/external-db-sync/triggers/{trigger_id}/test"),
    ("GET", "/api/v1/tenancies"),
    ("POST", "/api/v1/tenancies"),
    ("DELETE", "/api/v1/tenancies/{tenancy_id}"),
    ("PUT", "/api/v1/tenancies/{tenancy_id}/config"),
    ("GET", "/api/v1/tenancies/{tenancy_id}/targets"),
    ("POST", "/api/v1/tenancies/{tenancy_id}/targets"),
    ("GET", "/api/v1/tenancies/{tenancy_id}/targets/{target_id}"),
    ("DELETE", "/api/v1/tenancies/{tenancy_id}/targets/{target_id}"),
    ("POST", "/api/v1/tenancies/{tenancy_id}/targets/{target_id}/check"),
    ("GET", "/api/v1/tenancies/{tenancy_id}/targets/{target_id}/refused-rows"),
    ("GET", "/api/v1/tenancies/{tenancy_id}/users"),
    ("GET", "/api/v1/tenancies/{tenancy_id}/metrics"),
    ("GET", "/api/v1/openapi.json"),
];

#[tokio::test]
async fn the_document_has_every_route_and_every_route_is_served_strictly() {
    let stack = Stack::start().await;
    let console = Console::start(&stack).await;
    let operations = console.document().operations();
    for (method, path) in PROMISED {
        assert!(operations.contains(&(method.into(), path.into())), "{method} {path} is not described");
    }
    for (method, template) in operations {
        let path = template
            .replace("{tenancy_id}", "00000000-0000-0000-0000-000000000001")
            .replace("{request_id}", "00000000-0000-0000-0000-000000000001")
            .replace("{trigger_id}", "00000000-0000-0000-0000-000000000001")
            .replace("{target_id}", "main");
        let unguarded = template.ends_with("/openapi.json") || template.ends_with("/session");
        let nobody = console.raw(&method, &path, &[], "").await;
        assert_eq!(nobody.status == 401, !unguarded, "{method} {path}: {nobody:?}");

        // A parameter that nobody knows is refused before anything is looked up, by its name.
        let key = format!("Authorization: Bearer {}", Console::KEY);
        let (_, operation) = console.document().operation(&method, &path).expect("described");
        let body = if operation["requestBody"].is_null() { String::new() } else { a_body(&template) };
        let headers = [key.as_str(), "Content-Type: application/json"];
        let answer = console.raw(&method, &format!("{path}?nonsense=1"), &headers, &body).await;
        let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
        assert_eq!(
            (answer.status, &problem["field"]),
            (400, &json!("nonsense")),
            "{method} {path}: {answer:?}"
        );
    }
}

/// A body that is read without complaint.
fn a_body(template: &str) -> String {
    let tenancy_id = "00000000-0000-0000-0000-000000000001";
    let body = match template.rsplit('/').next().unwrap_or_default() {
        "session" => json!({ "key": "k" }),
        "replay" => json!({ "requestId": tenancy_id }),
        "fusebox" => json!({ "pollerEnabled": true }),
        "tenancies" => json!({ "projectId": "p" }),
        "targets" => json!({ "id": "main", "connectionString": "postgres://h/d" }),
        "config" => json!({ "dbSync.externalDatabases": {} }),
        _ => json!({ "tenancyId": tenancy_id }),
    };
    body.to_string()
}
