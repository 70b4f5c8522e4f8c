//! Targets: added, listed, checked, removed, and a whole document of them.

use serde_json::{Value, json};
use tenant_sync_tests::console::Console;
use tenant_sync_tests::ports::free_port;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::Tenant;
use tenant_sync_tests::urls;
use tenant_sync_tests::wait::eventually;

use super::SOON;

#[tokio::test]
async fn a_target_is_checked_added_filled_and_removed() {
    let stack = Stack::start().await;
    let _workers = stack.start_workers().await;
    let console = Console::start(&stack).await;
    let tenant = Tenant::create(&stack).await;
    tenant.user("Ada").await;
    let url = stack.external(0).url();
    let password = urls::credentials(url).1;
    let targets = format!("/api/v1/tenancies/{}/targets", tenant.id());

    let nowhere = format!("postgres://me:hunter2@127.0.0.1:{}/d", free_port());
    let bad = json!({ "id": "main", "connectionString": nowhere });
    let reply = console.call("POST", &targets, Some(&bad)).await;
    assert_eq!(reply.status, 422, "{reply:?}");
    assert!(!reply.answer.body.contains("hunter2"));
    assert_eq!(stack.internal().value(r#"select count(*) from "ExternalDatabase""#).await, "0");
    let post = ("POST", targets.as_str());
    let good = |id: &str| json!({ "id": id, "connectionString": url });
    console.refused(post, Some(&good("a b")), 400, Some("id"), "letters").await;
    console.refused(post, Some(&json!({ "id": "x" })), 400, Some("connectionString"), "missing").await;
    let garbled = json!({ "id": "x", "connectionString": "hunter2" });
    console.refused(post, Some(&garbled), 400, Some("connectionString"), "").await;
    let unknown = json!({ "id": "x", "connectionString": url, "mappings": ["nope"] });
    console.refused(post, Some(&unknown), 400, Some("mappings"), "nope").await;

    let added = console.post(&targets, &good("main")).await;
    assert_eq!((&added["id"], &added["state"]), (&json!("main"), &json!("ok")));
    assert!(added["connection"].as_str().is_some_and(|c| c.contains(stack.external(0).name())));
    assert!(!added.to_string().contains(password), "{added}");
    console.refused(post, Some(&good("main")), 409, None, "already").await;
    let target = tenant.target(stack.external(0));
    target.shows("select display_name from users", &["Ada"]).await;

    let one = format!("{targets}/main");
    let check = console.good("POST", &format!("{one}/check"), None).await;
    assert_eq!((&check["ok"], &check["reachable"]), (&json!(true), &json!(true)), "{check}");
    let listed = console.get(&targets).await;
    assert_eq!(listed["targets"].as_array().map(Vec::len), Some(1), "{listed}");
    console.good("DELETE", &one, None).await;
    console.refused(("GET", &one), None, 404, None, "no target").await;
    console.refused(("DELETE", &one), None, 404, None, "no target").await;
    assert_eq!(target.value("select count(*) from users").await, "1", "the tables stay");
    let log = console.get("…/audit").await.to_string();
    assert!(log.contains("target.add") && log.contains("target.remove") && !log.contains(password), "{log}");
}

#[tokio::test]
async fn broken_ones_are_grouped_by_cause_filtered_and_paged() {
    let stack = Stack::start().await;
    let console = Console::start(&stack).await;
    stack
        .internal()
        .sql(
            r#"insert into "Project" ("id") select 'p' || n from generate_series(1, 30) n;
               insert into "Tenancy" ("projectId", "tenantKey") select 'p' || n, 'k' || n from generate_series(1, 30) n;
               insert into "ExternalDatabase" ("tenancyId", "id", "state", "lastErrorClass", "lastError",
                   "consecutiveFailures", "createdAt")
               select t."id", 'main', case when n <= 12 then 'broken' when n <= 17 then 'retrying' when n = 18 then 'paused'
                   else 'ok' end, case when n <= 12 then 'passwordRefused' when n <= 17 then 'unreachable' end,
                   case when n <= 17 then 'It went wrong.' end, case when n <= 17 then n else 0 end,
                   now() - n * interval '1 minute'
               from "Tenancy" t, lateral (select substr(t."tenantKey", 2)::int as n) k"#,
        )
        .await;
    let causes = console.get("…/targets/causes").await;
    let first = &causes["causes"][0];
    assert_eq!(
        (&first["class"], &first["targets"]["count"]),
        (&json!("passwordRefused"), &json!(12)),
        "{causes}"
    );
    assert!(first["sentence"].is_string() && first["advice"].is_string());
    assert_eq!(causes["causes"].as_array().map(Vec::len), Some(3), "{causes}");
    assert_eq!(console.get("…/status").await["targets"]["causes"], causes["causes"]);

    let all = async |query: &str| {
        let (mut all, mut next) = (Vec::<Value>::new(), String::new());
        loop {
            let page = console.get(&format!("…/targets?limit=4{query}{next}")).await;
            all.extend(page["targets"].as_array().cloned().unwrap_or_default());
            match page["nextCursor"].as_str() {
                Some(cursor) => next = format!("&cursor={cursor}"),
                None => return all,
            }
        }
    };
    assert_eq!(all("").await.len(), 30);
    assert_eq!(all("&state=broken").await.len(), 12);
    assert_eq!(all("&class=unreachable").await.len(), 5);
    assert_eq!(all("&state=ok").await.len(), 12);
    assert_eq!(all("&query=k1").await.len(), 11);
    assert_eq!(all("&query=k1&state=paused").await.len(), 1);
    let failures: Vec<i64> =
        all("&order_by=failures").await.iter().filter_map(|t| t["consecutiveFailures"].as_i64()).collect();
    assert_eq!(failures.len(), 18);
    assert!(failures.is_sorted_by(|a, b| a >= b), "{failures:?}");
    let newest: Vec<String> =
        all("&order_by=newest").await.iter().map(|t| t["createdAt"].to_string()).collect();
    assert_eq!(newest.len(), 30);
    assert!(newest.is_sorted_by(|a, b| a >= b), "{newest:?}");
    let by_state = all("&order_by=state").await;
    let states: Vec<String> =
        by_state.iter().map(|t| format!("{}/{}", t["state"], t["lastErrorClass"])).collect();
    assert_eq!(states.len(), 18);
    assert!(states.is_sorted(), "{states:?}");
    for (query, field) in
        [("state=bad", "state"), ("class=bad", "class"), ("order_by=bad", "order_by"), ("cursor=1", "cursor")]
    {
        console.refused(("GET", &format!("…/targets?{query}")), None, 400, Some(field), "").await;
    }
}

/// Tenant n has n users that are not there yet, the oldest change of the first is the oldest, and the third never had a
/// success. The seventh lacks nothing.
#[tokio::test]
async fn they_are_sorted_by_what_they_lack() {
    let stack = Stack::start().await;
    let console = Console::start(&stack).await;
    stack
        .internal()
        .sql(
            r#"insert into "Project" ("id") select 'p' || n from generate_series(1, 7) n;
               insert into "Tenancy" ("projectId", "tenantKey") select 'p' || n, 'k' || n from generate_series(1, 7) n;
               insert into "ExternalDatabase" ("tenancyId", "id", "state", "lastErrorClass", "lastSuccessAt")
               select t."id", 'main', case when n <= 2 then 'broken' else 'ok' end,
                   case when n <= 2 then 'unreachable' end,
                   case when n <> 3 then now() - (n * 3 % 7) * interval '1 hour' end
               from "Tenancy" t, lateral (select substr(t."tenantKey", 2)::int as n) k;
               insert into "SyncState" ("tenancyId", "databaseId", "mappingName", "mappingVersion", "completeAsOf")
               select t."id", 'main', m, 1, now() - (8 - n) * interval '1 minute'
               from "Tenancy" t, unnest(array['users', 'contact_channels']) m,
                   lateral (select substr(t."tenantKey", 2)::int as n) k;
               insert into "ProjectUser" ("tenancyId", "displayName")
               select t."id", 'x' from "Tenancy" t, lateral (select substr(t."tenantKey", 2)::int as n) k,
                   generate_series(1, n) where n < 7;
               select backfill_null_sequence_ids(1000);
               update "SequencerPass" set "at" = now() - interval '1 hour';"#,
        )
        .await;
    let names: Vec<String> =
        stack.internal().rows(r#"select "tenantKey" || ' ' || "id" from "Tenancy""#).await;
    let name = |id: &Value| {
        let id = id.as_str().expect("an id");
        let found = names.iter().find_map(|name| name.strip_suffix(id)).expect("a tenancy");
        found.trim().to_owned()
    };
    let order = async |query: &str| {
        let (mut all, mut next) = (Vec::new(), String::new());
        loop {
            let page = console.get(&format!("…/targets?limit=2{query}{next}")).await;
            all.extend(page["targets"].as_array().into_iter().flatten().map(|t| name(&t["tenancyId"])));
            match page["nextCursor"].as_str() {
                Some(cursor) => next = format!("&cursor={cursor}"),
                None => return all,
            }
        }
    };
    assert_eq!(order("&order_by=lag").await, ["k1", "k2", "k3", "k4", "k5", "k6"]);
    assert_eq!(order("&order_by=rows_behind").await, ["k6", "k5", "k4", "k3", "k2", "k1"]);
    // Never, 6, 5, 4, 3 and 1 hours ago; what waits for nothing is left out.
    assert_eq!(order("&order_by=last_success").await, ["k3", "k2", "k4", "k6", "k1", "k5"]);
    assert_eq!(order("&order_by=lag&state=broken").await, ["k1", "k2"]);
    assert_eq!(order("&order_by=rows_behind&class=unreachable&query=k2").await, ["k2"]);
    assert_eq!(order("&order_by=lag&state=paused").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_document_is_applied_whole_or_not_at_all() {
    let stack = Stack::plan().externals(2).start().await;
    let console = Console::start(&stack).await;
    let tenant = Tenant::create(&stack).await;
    let path = format!("/api/v1/tenancies/{}/config", tenant.id());
    let target = |url: &str| json!({ "type": "postgres", "connectionString": url });
    let two = json!({ "dbSync": { "externalDatabases": {
        "main": target(stack.external(0).url()), "other": target(stack.external(1).url()),
    } } });
    let done = console.good("PUT", &path, Some(&two)).await;
    assert_eq!((&done["added"], &done["removed"]), (&json!(["main", "other"]), &json!([])), "{done}");
    assert_eq!(done["checks"]["main"]["ok"], true);
    let one = json!({ "dbSync.externalDatabases": { "main": target(stack.external(0).url()) } });
    let done = console.good("PUT", &path, Some(&one)).await;
    assert_eq!((&done["unchanged"], &done["removed"]), (&json!(["main"]), &json!(["other"])), "{done}");

    let put = ("PUT", path.as_str());
    let nowhere = format!("postgres://me:hunter2@127.0.0.1:{}/d", free_port());
    let half = json!({ "dbSync.externalDatabases": {
        "main": target(stack.external(1).url()), "bad": target(&nowhere),
    } });
    console.refused(put, Some(&half), 422, None, "nothing was stored").await;
    let typo = json!({ "dbSync": { "externalDatabase": {} } });
    console.refused(put, Some(&typo), 400, Some("dbSync"), "externalDatabase").await;
    let bad = json!({ "dbSync.externalDatabases": { "main": target("hunter2") } });
    let field = Some("dbSync.externalDatabases.main.connectionString");
    console.refused(put, Some(&bad), 400, field, "").await;
    let left = stack.internal().rows(r#"select "id" from "ExternalDatabase""#).await;
    assert_eq!(left, ["main"]);
    eventually(SOON, "the target to have been asked for", async || {
        let asked =
            stack.internal().value(r#"select count(*) from "OutgoingRequest" where kind = 'sync'"#).await;
        if asked == "0" { Err(asked) } else { Ok(()) }
    })
    .await;
}
