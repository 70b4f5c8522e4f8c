//! A tenant's users: order, pages, search, flags, activity.

use std::sync::Arc;

use tenant_sync_console::users::{Anonymous, OrderBy, UsersQuery, plan};
use tenant_sync_tests::console::Console;
use tenant_sync_tests::database::Database;
use tenant_sync_tests::stack::Stack;
use tokio_util::sync::CancellationToken;

use super::tenant::{Tenant, column, encoded, get};

/// 300 users: equal instants, missing ones, anonymous ones, with channels and methods; a third has events, some of them
/// before they signed up, some in another branch, some that are no activity, some without a sense.
const USERS: &str = r#"
insert into "ProjectUser" ("tenancyId", "displayName", "createdAt", "signedUpAt", "lastActiveAt", "isAnonymous")
select $T, 'User ' || n, '2026-01-01'::timestamptz + n * interval '1 minute',
       case when n % 7 <> 0 then '2026-02-01'::timestamptz + (n % 20) * interval '1 hour 1 microsecond' end,
       case when n % 4 = 0 then '2026-03-01'::timestamptz + (n % 30) * interval '1 hour' end, n % 10 = 0
from generate_series(1, 300) n;
insert into "ContactChannel" ("tenancyId", "projectUserId", "value", "isPrimary", "isVerified")
select "tenancyId", "projectUserId", lower(replace("displayName", ' ', '.')) || '@acme.example', true, true from "ProjectUser";
insert into "ContactChannel" ("tenancyId", "projectUserId", "value")
select "tenancyId", "projectUserId", 'second@acme.example' from "ProjectUser" where "displayName" like '%5';
insert into "AuthMethod" ("tenancyId", "projectUserId", "type", "provider")
select "tenancyId", "projectUserId", m."type", m.provider from "ProjectUser",
       (values ('password', null), ('oauth', 'github')) m ("type", provider) where "displayName" like '%7';
insert into "Event" ("eventStartedAt", "systemEventTypeIds", "data")
select '2026-01-15'::timestamptz + (abs(hashtext(u."displayName")) % 100) * interval '1 day' + e * interval '1 hour',
       case when e = 3 then '{$session}'::text[] else '{$other,$user-activity}' end,
       jsonb_build_object('projectId', 'acme', 'branchId', case when e = 4 then 'dev' else 'main' end, 'userId', u."projectUserId", 'isAnonymous', u."isAnonymous")
from "ProjectUser" u, generate_series(1, 4) e where u."displayName" like '%3' or u."displayName" like '%6' or u."displayName" like '%0';
insert into "Event" ("systemEventTypeIds", "data") values ('{$user-activity}', '{}'), ('{$user-activity}', '[1]'),
    ('{$user-activity}', '{"projectId":"acme","branchId":"main","userId":"nobody"}'),
    ('{$user-activity}', '{"projectId":"acme","branchId":"main","userId":7}'),
    ('{$user-activity}', '{"projectId":"none","branchId":"main","userId":"00000000-0000-0000-0000-000000000001"}');
insert into "Event" ("systemEventTypeIds", "data", "eventStartedAt")
select '{$user-activity}', jsonb_build_object('projectId', 'acme', 'branchId', 'main', 'userId', "projectUserId"), 'infinity' from "ProjectUser" limit 1;
"#;

/// The definitions, written down once more.
const LAST_ACTIVE: &str = r#"coalesce(greatest(u."lastActiveAt", (
    select max(e."eventStartedAt") from "Event" e where '$user-activity' = any (e."systemEventTypeIds") and isfinite(e."eventStartedAt")
    and e."data" ->> 'projectId' = 'acme' and e."data" ->> 'branchId' = 'main' and e."data" ->> 'userId' = u."projectUserId"::text)),
    u."signedUpAt", u."createdAt")"#;
const SIGNED_UP: &str = r#"coalesce(u."signedUpAt", u."createdAt")"#;

async fn expected(tenant: &Tenant, order: &str, way: &str, condition: &str) -> Vec<String> {
    let sql = format!(
        r#"select u."projectUserId" from "ProjectUser" u where u."tenancyId" = $T and {condition} order by {order} {way}, 1 {way}"#
    );
    tenant.rows(&sql).await
}

#[tokio::test]
async fn every_order_and_every_page_size_gives_each_user_once() {
    let tenant = Tenant::start().await;
    tenant.sql(USERS).await;
    for (name, order) in [("signed_up_at", SIGNED_UP), ("last_active_at", LAST_ACTIVE)] {
        for (desc, way) in [("false", "asc"), ("true", "desc")] {
            for (flags, condition) in [
                ("", r#"not u."isAnonymous""#),
                ("&include_anonymous=true", "true"),
                ("&only_anonymous=true", r#"u."isAnonymous""#),
            ] {
                let expected = expected(&tenant, order, way, condition).await;
                let parameters = format!("order_by={name}&desc={desc}{flags}");
                for limit in [7, 1_000] {
                    assert_eq!(
                        tenant.walk(&parameters, limit, "id").await,
                        expected,
                        "{parameters}, {limit} a page"
                    );
                }
            }
        }
    }
    assert_eq!(column(&tenant.json("users").await, "id").len(), 100, "the default limit");
}

#[tokio::test]
async fn a_user_comes_with_channels_methods_and_last_activity() {
    let tenant = Tenant::start().await;
    tenant.sql(USERS).await;
    let page = tenant.json("users?limit=1000&include_anonymous=true").await;
    assert_eq!((&page["activityComplete"], &page["search"]), (&true.into(), &serde_json::Value::Null));
    let find = |name: &str| {
        let users = page["users"].as_array().expect("users");
        users.iter().find(|user| user["displayName"] == name).unwrap_or_else(|| panic!("no {name}")).clone()
    };
    let user = find("User 7");
    assert_eq!(user["signInMethods"][0]["type"], "oauth");
    assert_eq!(user["signInMethods"][0]["provider"], "github");
    assert_eq!(user["signInMethods"][1]["type"], "password");
    assert_eq!(
        (&user["primaryEmail"], &user["primaryEmailVerified"]),
        (&"user.7@acme.example".into(), &true.into())
    );
    assert_eq!(user["signedUpAt"], "2026-01-01T00:07:00Z", "without a sign-up it is when the row was made");
    let user = find("User 5");
    let values: Vec<_> =
        user["channels"].as_array().expect("channels").iter().map(|c| c["value"].clone()).collect();
    assert_eq!(values, ["user.5@acme.example", "second@acme.example"], "the primary one first");
    assert_eq!(user["signInMethods"], serde_json::json!([]));

    let sql = format!(
        r#"select u."displayName", to_char({LAST_ACTIVE} at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') from "ProjectUser" u order by 1"#
    );
    let mut shown: Vec<String> = page["users"]
        .as_array()
        .expect("users")
        .iter()
        .map(|user| {
            let at = user["lastActiveAt"].as_str().expect("an instant").replace('T', " ");
            let (whole, fraction) = at
                .trim_end_matches('Z')
                .split_once('.')
                .map_or((at.trim_end_matches('Z'), ""), |parts| parts);
            format!("{}|{whole}.{fraction:0<6}", user["displayName"].as_str().unwrap_or_default())
        })
        .collect();
    let mut known = tenant.rows(&sql).await;
    shown.sort_unstable();
    known.sort_unstable();
    assert_eq!(shown, known);
}

/// With ids after which the primary one comes last, and some whose instant no calendar has.
#[tokio::test]
async fn of_very_many_channels_the_primary_one_comes_first_and_twenty_are_shown() {
    let tenant = Tenant::start().await;
    for (name, channels) in [("few", 15), ("many", 60), ("very many", 300)] {
        tenant
            .sql(&format!(
                r#"with u as (insert into "ProjectUser" ("tenancyId", "displayName") values ($T, '{name}') returning *)
                   insert into "ContactChannel" ("tenancyId", "projectUserId", "id", "value", "isPrimary", "createdAt")
                   select u."tenancyId", u."projectUserId", md5('{name}' || n)::uuid, n || '@acme.example', n = p.last,
                          case when n % 3 = 0 then 'infinity' else '2026-01-01'::timestamptz - n * interval '1 day' end
                   from u, generate_series(1, {channels}) n, lateral (
                       select k as last from generate_series(1, {channels}) k order by md5('{name}' || k)::uuid desc limit 1) p"#
            ))
            .await;
        let page = tenant.json("users?limit=1&order_by=signed_up_at&desc=true").await;
        let user = &page["users"][0];
        assert_eq!(user["displayName"], name);
        let shown = user["channels"].as_array().expect("channels");
        assert_eq!(shown.len(), channels.min(20), "{name}");
        assert_eq!(user["moreChannels"], channels > 20);
        assert_eq!(user["primaryEmail"], shown[0]["value"], "{user:#}");
        let primary: Vec<_> = shown.iter().map(|channel| channel["isPrimary"] == true).collect();
        assert_eq!(primary.iter().filter(|is| **is).count(), 1, "{name}: {primary:?}");
        if channels <= 60 {
            let expected = tenant
                .rows(
                    r#"select c."value" from "ContactChannel" c join "ProjectUser" u using ("tenancyId", "projectUserId")
                       where u."displayName" = (select "displayName" from "ProjectUser" order by "createdAt" desc limit 1)
                       order by c."isPrimary" desc, c."createdAt", c."id" limit 20"#,
                )
                .await;
            let values: Vec<_> = shown.iter().filter_map(|channel| channel["value"].as_str()).collect();
            assert_eq!(values, expected);
        }
    }
}

#[tokio::test]
async fn a_cursor_outlives_the_row_that_it_was_made_of() {
    let tenant = Tenant::start().await;
    tenant.sql(USERS).await;
    for order in ["signed_up_at", "last_active_at"] {
        let path = format!("users?limit=20&include_anonymous=true&order_by={order}&desc=true");
        let all =
            tenant.walk(&format!("include_anonymous=true&order_by={order}&desc=true"), 1_000, "id").await;
        let first = tenant.json(&path).await;
        let shown = column(&first, "id");
        // The last row of the page and the first of the next go; one that was shown is active once more.
        let next = &all[20..22];
        tenant
            .sql(&format!(
                r#"delete from "ProjectUser" where "projectUserId" in ('{}', '{}')"#,
                shown[19], next[0]
            ))
            .await;
        tenant.sql(&format!(r#"update "ProjectUser" set "lastActiveAt" = now(), "signedUpAt" = now() where "projectUserId" = '{}'"#, shown[3])).await;
        tenant.sql(r#"insert into "ProjectUser" ("tenancyId", "signedUpAt", "lastActiveAt") values ($T, now(), now())"#).await;
        let second =
            tenant.json(&format!("{path}&cursor={}", first["nextCursor"].as_str().expect("a cursor"))).await;
        assert_eq!(column(&second, "id"), all[21..41], "{order}: neither gap nor repetition");
    }
}

/// Infinities, years before the first and of five digits: all have a place, and what is no date is shown as the nearest one.
#[tokio::test]
async fn a_cursor_goes_on_at_any_instant_that_the_server_knows() {
    let tenant = Tenant::start().await;
    tenant
        .sql(
            r#"insert into "ProjectUser" ("tenancyId", "displayName", "signedUpAt")
               select $T, at, at::timestamptz from unnest(array['-infinity', '4713-01-01 00:00:00+00 BC', '0044-03-15 12:00:00.000001+00 BC',
                   '0001-01-01 00:00:00+00', '2026-01-31 23:59:59.123456+00', '12026-01-01 00:00:00+00', 'infinity']) at"#,
        )
        .await;
    let by_time = [
        ("-infinity", "0001-01-01T00:00:00Z"),
        ("4713-01-01 00:00:00+00 BC", "0001-01-01T00:00:00Z"),
        ("0044-03-15 12:00:00.000001+00 BC", "0001-01-01T00:00:00Z"),
        ("0001-01-01 00:00:00+00", "0001-01-01T00:00:00Z"),
        ("2026-01-31 23:59:59.123456+00", "2026-01-31T23:59:59.123456Z"),
        ("12026-01-01 00:00:00+00", "9999-12-31T23:59:59Z"),
        ("infinity", "9999-12-31T23:59:59Z"),
    ];
    for desc in [false, true] {
        let query = format!("order_by=signed_up_at&desc={desc}");
        let names = tenant.walk(&query, 1, "displayName").await;
        let shown = tenant.walk(&query, 1, "signedUpAt").await;
        let mut seen: Vec<_> =
            names.iter().map(String::as_str).zip(shown.iter().map(String::as_str)).collect();
        if desc {
            seen.reverse();
        }
        assert_eq!(seen, by_time, "desc={desc}");
    }
}

#[tokio::test]
async fn what_happens_is_seen_by_the_next_list() {
    let tenant = Tenant::start().await;
    tenant.sql(USERS).await;
    let first = async || {
        column(&tenant.json("users?order_by=last_active_at&desc=true&limit=1").await, "displayName").remove(0)
    };
    tenant.sql(r#"update "ProjectUser" set "lastActiveAt" = now() where "displayName" = 'User 11'"#).await;
    assert_eq!(first().await, "User 11");
    // An event of another transaction that was open all the while.
    let open = tenant.stack.internal().connect().await;
    open.batch_execute(&format!(r#"begin; insert into "Event" ("eventStartedAt", "systemEventTypeIds", "data")
        select now() + interval '1 hour', '{{$user-activity}}', jsonb_build_object('projectId', 'acme', 'branchId', 'main', 'userId', upper("projectUserId"::text))
        from "ProjectUser" where "displayName" = 'User 12' and "tenancyId" = '{}'"#, tenant.id)).await.expect("an event");
    tenant.sql(r#"update "ProjectUser" set "lastActiveAt" = now() where "displayName" = 'User 13'"#).await;
    assert_eq!(first().await, "User 13", "what is not committed is not there");
    open.batch_execute("commit").await.expect("commit");
    assert_eq!(first().await, "User 12", "and a late commit is, also of an event in the future");
    tenant.sql(r#"delete from "ProjectUser" where "displayName" = 'User 12'"#).await;
    assert_eq!(first().await, "User 13");
    tenant.sql(r#"update "ProjectUser" set "isAnonymous" = true where "displayName" = 'User 13'"#).await;
    assert_eq!(first().await, "User 11");
}

#[tokio::test]
async fn users_are_found_by_any_part_of_a_name_or_address() {
    let tenant = Tenant::start().await;
    tenant.sql(USERS).await;
    tenant.sql(r#"update "ProjectUser" set "displayName" = v.name from (values ('User 1', '100%'), ('User 2', '100 per cent'),
        ('User 3', 'a_b'), ('User 4', 'axb'), ('User 5', E'back\\slash'), ('User 6', 'O''Brien; drop table'), ('User 8', 'ÄRGER 😀')) v (was, name)
        where "displayName" = v.was"#).await;
    for (text, expected) in [
        ("00%", vec!["100%"]),
        ("a_b", vec!["a_b"]),
        (r"k\s", vec![r"back\slash"]),
        ("o'brien", vec!["O'Brien; drop table"]),
        ("rger", vec!["ÄRGER 😀"]),
        ("ser.299@", vec!["User 299"]),
        ("USER 299", vec!["User 299"]),
        ("no such", vec![]),
    ] {
        let page = tenant.json(&format!("users?query={}", encoded(text))).await;
        assert_eq!(
            (column(&page, "displayName"), &page["search"]),
            (expected.into_iter().map(str::to_owned).collect(), &"substring".into()),
            "{text}"
        );
    }
    // Two characters are no trigram.
    let page = tenant.json(&format!("users?query={}", encoded("ax"))).await;
    assert_eq!((column(&page, "displayName"), &page["search"]), (vec!["axb".to_owned()], &"prefix".into()));
    let found = tenant.walk("query=second&desc=true&order_by=last_active_at", 4, "id").await;
    let sql = format!(
        r#"select u."projectUserId" from "ProjectUser" u where not u."isAnonymous" and exists (select from "ContactChannel" c
        where c."projectUserId" = u."projectUserId" and c."value" like 'second%') order by {LAST_ACTIVE} desc, 1 desc"#
    );
    assert_eq!(found, tenant.rows(&sql).await, "in order, page by page");
}

/// More users than a search walks before it asks the indexes.
#[tokio::test]
async fn the_rare_and_the_frequent_are_found_among_many() {
    let tenant = Tenant::start().await;
    tenant.sql(r#"insert into "ProjectUser" ("tenancyId", "displayName", "signedUpAt", "isAnonymous")
        select $T, case when n % 1500 = 0 then 'rare ' else 'often ' end || n, '2026-01-01'::timestamptz + n * interval '1 second', n % 3000 = 0 from generate_series(1, 12000) n"#).await;
    tenant.sql(r#"insert into "ContactChannel" ("tenancyId", "projectUserId", "value") select $T, "projectUserId", 'rare@acme.example' from "ProjectUser" where "displayName" = 'often 7'"#).await;
    tenant.folded().await;
    for desc in ["false", "true"] {
        for order in ["signed_up_at", "last_active_at"] {
            let mut rare =
                tenant.walk(&format!("query=rare&desc={desc}&order_by={order}"), 2, "displayName").await;
            if desc == "true" {
                rare.reverse();
            }
            assert_eq!(
                rare,
                ["often 7", "rare 1500", "rare 4500", "rare 7500", "rare 10500"],
                "{order} {desc}"
            );
            let all = tenant
                .walk(
                    &format!("query=often&desc={desc}&order_by={order}&include_anonymous=true"),
                    1_000,
                    "displayName",
                )
                .await;
            assert_eq!(all.len(), 11_992, "{order} {desc}");
        }
    }
}

/// More of them than an index may name, behind more others than a search passes for one page.
#[tokio::test]
async fn what_is_frequent_elsewhere_is_walked_to_in_steps() {
    let tenant = Tenant::start().await;
    tenant.sql(r#"insert into "ProjectUser" ("tenancyId", "displayName", "signedUpAt")
        select $T, case when n <= 11000 then 'zed ' else 'ann ' end || n, '2026-01-01'::timestamptz + n * interval '1 second' from generate_series(1, 22500) n"#).await;
    tenant.folded().await;
    let first = tenant.json("users?query=zed&desc=true&limit=1000").await;
    assert_eq!(first["users"].as_array().map(Vec::len), Some(0), "none so far");
    assert!(first["nextCursor"].is_string(), "but it goes on");
    let mut all = tenant.walk("query=zed&desc=true", 1_000, "displayName").await;
    assert_eq!((all.len(), all[0].as_str()), (11_000, "zed 11000"));
    all.dedup();
    assert_eq!(all.len(), 11_000, "each once");
    let all = tenant.walk("query=ann", 1_000, "displayName").await;
    assert_eq!((all.len(), all[0].as_str()), (11_500, "ann 11001"));
}

#[tokio::test]
async fn without_pg_trgm_the_beginning_is_searched_and_the_answer_says_so() {
    let stack = Stack::plan().externals(0).start().await;
    let id = stack.tenancy("acme").await;
    // A role that may read, and may neither create extensions nor own tables.
    let (role, url) = reader(stack.internal()).await;
    let mut stack = stack;
    let owner = stack.internal().url().to_owned();
    stack.set("database.url", &url);
    let console = Console::start(&stack).await;
    stack.set("database.url", &owner);
    stack.internal().sql(&format!(r#"insert into "ProjectUser" ("tenancyId", "displayName") values ('{id}', 'Ann 50%'), ('{id}', 'Joann')"#)).await;
    let find = async |text: &str| {
        get(&console, &format!("/api/v1/tenancies/{id}/users?query={}", encoded(text))).await.body
    };
    for (text, expected) in
        [("ann", vec!["Ann 50%"]), ("JOA", vec!["Joann"]), ("ann 50%", vec!["Ann 50%"]), ("ann%5", vec![])]
    {
        let page = find(text).await;
        assert_eq!(page["search"], "prefix", "{role}: {page}");
        assert_eq!(column(&page, "displayName"), expected, "{text}");
    }
}

async fn reader(database: &Database) -> (String, String) {
    let role = database.role("nosuperuser").await;
    database.sql(&format!(
        "grant usage on schema public to {0}; grant select, insert, update, delete on all tables in schema public to {0};
         grant usage on all sequences in schema public to {0}; grant execute on all functions in schema public to {0}", role.name)).await;
    (role.name, role.url)
}

#[tokio::test]
async fn every_parameter_that_cannot_be_used_is_named() {
    let tenant = Tenant::start().await;
    tenant.sql(USERS).await;
    let cursor = tenant.json("users?limit=1").await["nextCursor"].as_str().expect("a cursor").to_owned();
    for (query, field) in [
        ("limit=0".to_owned(), "limit"),
        ("limit=1001".into(), "limit"),
        ("limit=-1".into(), "limit"),
        ("limit=ten".into(), "limit"),
        ("order_by=name".into(), "order_by"),
        ("order_by=signed_up_at;drop".into(), "order_by"),
        ("desc=yes".into(), "desc"),
        ("include_anonymous=1x".into(), "include_anonymous"),
        ("only_anonymous=maybe".into(), "only_anonymous"),
        ("cursor=nonsense".into(), "cursor"),
        (format!("cursor={cursor}&desc=true"), "cursor"),
        (format!("cursor={cursor}&order_by=last_active_at"), "cursor"),
        (format!("query={}", "x".repeat(101)), "query"),
        ("offset=5".into(), "offset"),
        ("limit=1&limit=2".into(), "limit"),
    ] {
        let answer = tenant.get(&format!("users?{query}")).await;
        assert_eq!((answer.status, answer.body["field"].as_str()), (400, Some(field)), "{query}: {answer:?}");
        assert!(answer.answer.head.contains("application/problem+json"), "{answer:?}");
    }
    let unknown = get(&tenant.console, "/api/v1/tenancies/00000000-0000-0000-0000-000000000000/users").await;
    assert_eq!(unknown.status, 404, "{unknown:?}");
    let unreadable = get(&tenant.console, "/api/v1/tenancies/acme/users").await;
    assert_eq!(
        (unreadable.status, unreadable.body["field"].as_str()),
        (400, Some("tenancy_id")),
        "{unreadable:?}"
    );
}

/// 200 of many: what is read does not depend on how many there are.
#[tokio::test]
async fn a_page_reads_what_it_shows() {
    let mut stack = Stack::plan().externals(0).start().await;
    stack.set("console.admin_keys", "test:0123456789abcdef");
    let tenancy_id = stack.tenancy("acme").await;
    stack.internal().sql(&format!(r#"insert into "ProjectUser" ("tenancyId", "displayName", "signedUpAt", "isAnonymous")
        select '{tenancy_id}', 'User ' || n, now() - n * interval '1 minute', n % 20 = 0 from generate_series(1, 30000) n"#)).await;
    let console = tenant_sync_console::Console::new(Arc::new(stack.config()), CancellationToken::new())
        .expect("a console");
    let query =
        UsersQuery { limit: 200, anonymous: Anonymous::Included, desc: true, ..UsersQuery::of(tenancy_id) };
    for order_by in [OrderBy::SignedUpAt, OrderBy::LastActiveAt] {
        let query = UsersQuery { order_by, ..query.clone() };
        plan(&console, &query, true).await.expect("folded");
        stack.internal().sql("vacuum analyze").await;
        let said = plan(&console, &query, true).await.expect("a plan");
        let top = &said[0]["Plan"];
        assert_eq!(top["Actual Rows"].as_f64(), Some(201.0), "{said:#}");
        let blocks = |kind: &str| top[kind].as_u64().expect("a number");
        let read = blocks("Shared Hit Blocks") + blocks("Shared Read Blocks");
        assert!(read < 201 * 30, "{read} blocks: {said:#}");
    }
}
