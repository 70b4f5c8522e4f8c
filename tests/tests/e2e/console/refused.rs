//! Rows that a target refuses, as operators see them: a copy of what is in the target.

use serde_json::{Value, json};
use tenant_sync_tests::console::Console;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::Tenant;
use tenant_sync_tests::wait::eventually;

use super::SOON;

/// All of them, page by page.
async fn all(console: &Console, path: &str, limit: usize) -> Vec<Value> {
    let (mut all, mut next) = (Vec::new(), String::new());
    loop {
        let page = console.get(&format!("{path}?limit={limit}{next}")).await;
        let rows = page["refusedRows"].as_array().cloned().unwrap_or_default();
        assert!(rows.len() <= limit, "{page}");
        all.extend(rows);
        match page["nextCursor"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => return all,
        }
    }
}

#[tokio::test]
async fn refused_rows_are_listed_with_key_and_reason_until_they_are_taken() {
    let stack = Stack::start().await;
    let mut workers = stack.start_workers().await;
    workers.sync_worker.allow("the target refuses a row");
    let console = Console::start(&stack).await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    target.caught_up().await;
    let path = format!("/api/v1/tenancies/{}/targets/main/refused-rows", tenant.id());
    assert_eq!(console.get(&path).await, json!({ "refusedRows": [], "nextCursor": null }));

    target.sql("alter table users add constraint no_bad check (display_name not like '%bad%')").await;
    tenant
        .sql(
            r#"insert into "ProjectUser" ("tenancyId", "displayName")
               select '{tenancy}', case when n <= 25 then 'bad secret ' || n else 'fine ' || n end
               from generate_series(1, 30) n"#,
        )
        .await;
    let count = async |expected: usize| {
        eventually(SOON, "the copy to follow", async || {
            let rows = all(&console, &path, 100).await;
            if rows.len() == expected { Ok(()) } else { Err(format!("{} rows", rows.len())) }
        })
        .await;
    };
    count(25).await;
    let rows = all(&console, &path, 7).await;
    let mut keys: Vec<&str> = rows.iter().filter_map(|row| row["key"]["id"].as_str()).collect();
    keys.sort_unstable();
    let meant = tenant
        .value(r#"select string_agg("projectUserId"::text, ' ' order by "projectUserId"::text) from "ProjectUser" where "displayName" like 'bad%'"#)
        .await;
    assert_eq!(keys.join(" "), meant, "each once, whatever the page's length");
    let first = &rows[0];
    assert_eq!((&first["mapping"], &first["sqlState"]), (&json!("users"), &json!("23514")), "{first}");
    assert!(first["reason"].as_str().is_some_and(|reason| reason.contains("no_bad")), "{first}");
    assert!(first["refusedAt"].is_string() && first["nextAttemptAt"].is_string(), "{first}");
    assert!(first["attempts"].as_i64() >= Some(1), "{first}");
    let text = Value::Array(rows).to_string();
    assert!(!text.contains("secret"), "of a row only its key is known: {text}");
    assert_eq!(console.get(&format!("{path}?mapping=contact_channels")).await["refusedRows"], json!([]));

    // A page ends at a row that is taken before the next page is asked for.
    let page = console.get(&format!("{path}?limit=10")).await;
    let cursor = page["nextCursor"].as_str().expect("a cursor");
    let last = page["refusedRows"][9]["key"]["id"].as_str().expect("a key").to_owned();
    tenant
        .sql(&format!(r#"update "ProjectUser" set "displayName" = 'good' where "projectUserId" = '{last}'"#))
        .await;
    count(24).await;
    let rest = console.get(&format!("{path}?limit=100&cursor={cursor}")).await;
    assert_eq!(rest["refusedRows"].as_array().map(Vec::len), Some(15), "{rest}");

    target.sql("alter table users drop constraint no_bad").await;
    target.sql("update _sync_refused set retry_at = now()").await;
    target.try_now().await;
    count(0).await;
    stack.settled().await;
}

#[tokio::test]
async fn the_copy_is_mended_and_repeats_no_strangers_text() {
    let stack = Stack::start().await;
    let mut workers = stack.start_workers().await;
    workers.sync_worker.allow("the target refuses a row");
    let console = Console::start(&stack).await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    target.caught_up().await;
    target.sql("alter table users add constraint no_bad check (display_name not like '%bad%')").await;
    tenant.sql(r#"insert into "ProjectUser" ("tenancyId", "displayName") select '{tenancy}', case n when 4 then 'fine' else 'bad ' || n end from generate_series(1, 4) n"#).await;
    let path = format!("/api/v1/tenancies/{}/targets/main/refused-rows", tenant.id());
    let shows = async |what: &str, good: fn(&[Value]) -> bool| {
        eventually(SOON, what, async || {
            let rows = all(&console, &path, 2).await;
            if good(&rows) { Ok(()) } else { Err(format!("{rows:?}")) }
        })
        .await;
    };
    shows("three rows", |rows| rows.len() == 3).await;

    // A worker died between its commit in the target and its record here.
    tenant.sql(r#"delete from "RefusedRow" where "tenancyId" = '{tenancy}' and "place" > 0"#).await;
    tenant.sql(r#"update "SyncState" set "refusedDigest" = 'another' where "tenancyId" = '{tenancy}' and "mappingName" = 'users'"#).await;
    target.try_now().await;
    shows("the copy to be whole again", |rows| rows.len() == 3).await;

    target
        .sql(
            "update _sync_refused set reason = 'call +1 900 now', refused_at = 'infinity', retry_at = now() + interval '1 day';
             insert into _sync_refused (mapping_name, key, sqlstate, reason, retry_at)
             values ('users', '{\"display_name\": \"a stranger\"}', 'XXXXX', '', now() + interval '1 day'),
                    ('users', '{\"id\": \"x\", \"more\": \"y\"}', 'XXXXX', '', now() + interval '1 day')",
        )
        .await;
    target.try_now().await;
    shows("our words instead of the stranger's", |rows| {
        let ours = |row: &Value| row["reason"] == "The database refuses a row. (SQLSTATE 23514)";
        rows.len() == 3 && rows.iter().all(ours)
    })
    .await;

    let unknown = format!("{path}?mapping=nope");
    console.refused(("GET", &unknown), None, 400, Some("mapping"), "no mapping").await;
    console.refused(("GET", &format!("{path}?cursor=x")), None, 400, Some("cursor"), "").await;
    let remove = format!("/api/v1/tenancies/{}/targets/main", tenant.id());
    console.good("DELETE", &remove, None).await;
    assert_eq!(tenant.value(r#"select count(*) from "RefusedRow""#).await, "0", "it goes with its target");
    console.refused(("GET", &path), None, 404, None, "no target").await;
}
