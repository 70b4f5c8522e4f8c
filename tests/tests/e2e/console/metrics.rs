//! A tenant's metrics, against SQL written down once more.

use serde_json::Value;
use tenant_sync_tests::stack::Stack;

use super::tenant::{Tenant, get};

/// Two branches of a project and a stranger with the same user ids; events around midnight UTC, long ago, in the future; users
/// without any; countries that become known later, or never.
const ACTIVITY: &str = r#"
insert into "ProjectUser" ("tenancyId", "displayName", "createdAt", "signedUpAt", "isAnonymous")
select $T, 'User ' || n, now() - interval '90 days', case when n % 9 <> 0 then date_trunc('day', now() at time zone 'UTC') at time zone 'UTC'
       + interval '12 hours' - (n % 40 - 1) * interval '1 day' - (n % 3) * interval '12 hours' end, n % 8 = 0
from generate_series(1, 400) n;
insert into "AuthMethod" ("tenancyId", "projectUserId", "type", "provider")
select "tenancyId", "projectUserId", m."type", m.provider from "ProjectUser",
       (values ('password', null), ('oauth', 'github'), ('oauth', 'google'), ('passkey', null)) m ("type", provider)
where abs(hashtext("displayName" || m."type" || coalesce(m.provider, ''))) % 3 = 0;
insert into "EventIpInfo" ("ip", "countryCode") select '192.0.2.' || n, case when n % 5 <> 0 then (array['DE', 'FR', 'US', 'JP'])[1 + n % 4] end from generate_series(1, 60) n;
insert into "Event" ("eventStartedAt", "systemEventTypeIds", "data", "endUserIpInfoGuessId")
select date_trunc('day', now() at time zone 'UTC') at time zone 'UTC' - (h % 45 - 2) * interval '1 day' + (array['-1 microsecond', '0', '5 hours', '23:59:59.999999'])[1 + h % 4]::interval,
       case when e = 5 then '{$page-view}'::text[] else '{$user-activity}' end,
       jsonb_build_object('projectId', 'acme', 'branchId', case when e = 4 then 'dev' else 'main' end, 'userId', u."projectUserId", 'isAnonymous', u."isAnonymous"),
       case when h % 6 <> 0 then (select i."id" from "EventIpInfo" i where i."ip" = '192.0.2.' || (1 + h % 60)) end
from "ProjectUser" u, generate_series(1, 6) e, lateral (select abs(hashtext(u."displayName" || e)) as h) x
where u."displayName" not like '%7' and u."displayName" not like '%2';
insert into "Event" ("systemEventTypeIds", "data")
select '{$user-activity}', "data" || '{"isAnonymous": true}' from "Event" limit 20;
insert into "Event" ("systemEventTypeIds", "data")
select '{$user-activity}', "data" || '{"projectId": "stranger"}' from "Event" limit 50;
"#;

const ACTIVE: &str = r#"'$user-activity' = any (e."systemEventTypeIds") and e."data" ->> 'projectId' = 'acme' and e."data" ->> 'branchId' = 'main'"#;
const DAYS: &str = "generate_series((now() at time zone 'UTC')::date - 30, (now() at time zone 'UTC')::date, interval '1 day') d (day)";

/// When a user `u` was last active.
fn last_active() -> String {
    format!(
        r#"coalesce(greatest(u."lastActiveAt", (select max(e."eventStartedAt") from "Event" e where {ACTIVE} and e."data" ->> 'userId' = u."projectUserId"::text)), u."signedUpAt", u."createdAt")"#
    )
}

/// The latest known country of a user `u`.
fn latest_country() -> String {
    format!(
        r#"(select i."countryCode" from "Event" e join "EventIpInfo" i on i."id" = e."endUserIpInfoGuessId" where {ACTIVE}
        and e."data" ->> 'userId' = u."projectUserId"::text and i."countryCode" is not null order by e."eventStartedAt" desc limit 1)"#
    )
}

/// Each part of the metrics, as plain SQL says it: one line an entry.
async fn expected(tenant: &Tenant, anonymous: bool) -> Vec<(&'static str, Vec<String>)> {
    let (users, events) = if anonymous {
        ("true", "true")
    } else {
        (r#"not u."isAnonymous""#, r#"coalesce(e."data" ->> 'isAnonymous', 'false') <> 'true'"#)
    };
    let (last, country) = (last_active(), latest_country());
    let parts = [
        (
            "totalUsers",
            format!(r#"select count(*) from "ProjectUser" u where u."tenancyId" = $T and {users}"#),
        ),
        (
            "dailySignUps",
            format!(
                r#"select d.day::date, (select count(*) from "ProjectUser" u where u."tenancyId" = $T and {users}
            and (coalesce(u."signedUpAt", u."createdAt") at time zone 'UTC')::date = d.day) from {DAYS} order by 1"#
            ),
        ),
        (
            "dailyActiveUsers",
            format!(
                r#"select d.day::date, (select count(distinct e."data" ->> 'userId') from "Event" e where {ACTIVE} and {events}
            and (e."eventStartedAt" at time zone 'UTC')::date = d.day) from {DAYS} order by 1"#
            ),
        ),
        (
            "usersByCountry",
            format!(
                r#"select c.country, count(*) from (select {country} as country from "ProjectUser" u where u."tenancyId" = $T and {users}) c
            where c.country is not null group by 1 order by 2 desc, 1"#
            ),
        ),
        (
            "usersWithoutCountry",
            format!(
                r#"select count(*) from "ProjectUser" u where u."tenancyId" = $T and {users} and {country} is null"#
            ),
        ),
        (
            "recentlyRegistered",
            format!(
                r#"select u."projectUserId" from "ProjectUser" u where u."tenancyId" = $T and {users} order by coalesce(u."signedUpAt", u."createdAt") desc, 1 desc limit 10"#
            ),
        ),
        (
            "recentlyActive",
            format!(
                r#"select u."projectUserId" from "ProjectUser" u where u."tenancyId" = $T and {users} order by {last} desc, 1 desc limit 10"#
            ),
        ),
        (
            "signInMethods",
            format!(
                r#"select m."type", m."provider", count(distinct m."projectUserId") from "AuthMethod" m join "ProjectUser" u using ("tenancyId", "projectUserId")
            where m."tenancyId" = $T and {users} group by 1, 2 order by 3 desc, 1, 2"#
            ),
        ),
    ];
    let mut all = Vec::new();
    for (name, sql) in parts {
        all.push((name, tenant.rows(&sql).await));
    }
    all
}

/// The same of an answer.
fn shown(metrics: &Value) -> Vec<(&'static str, Vec<String>)> {
    let text = |value: &Value| match value {
        Value::Null => "∅".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let lines = |name: &str, fields: &[&str]| -> Vec<String> {
        let entries = metrics[name].as_array().unwrap_or_else(|| panic!("{name}: {metrics}"));
        entries
            .iter()
            .map(|entry| fields.iter().map(|field| text(&entry[*field])).collect::<Vec<_>>().join("|"))
            .collect()
    };
    vec![
        ("totalUsers", vec![text(&metrics["totalUsers"])]),
        ("dailySignUps", lines("dailySignUps", &["day", "users"])),
        ("dailyActiveUsers", lines("dailyActiveUsers", &["day", "users"])),
        ("usersByCountry", lines("usersByCountry", &["countryCode", "users"])),
        ("usersWithoutCountry", vec![text(&metrics["usersWithoutCountry"])]),
        ("recentlyRegistered", lines("recentlyRegistered", &["id"])),
        ("recentlyActive", lines("recentlyActive", &["id"])),
        ("signInMethods", lines("signInMethods", &["type", "provider", "users"])),
    ]
}

/// Lets every entry be loaded anew at the next question.
async fn forget(tenant: &Tenant) {
    tenant.sql(r#"delete from "CacheEntry""#).await;
}

async fn agrees(tenant: &Tenant) {
    for (path, anonymous) in [("metrics", false), ("metrics?include_anonymous=true", true)] {
        let metrics = tenant.json(path).await;
        assert_eq!(metrics["activityComplete"], true);
        assert_eq!(shown(&metrics), expected(tenant, anonymous).await, "{path}");
    }
}

#[tokio::test]
async fn every_number_is_what_plain_sql_says() {
    let tenant = Tenant::start().await;
    tenant.stack.tenancy("stranger").await;
    tenant.sql(ACTIVITY).await;
    agrees(&tenant).await;
    // More of everything, and what was not known becomes so.
    tenant
        .sql(
            r#"update "EventIpInfo" set "countryCode" = 'CH' where "countryCode" is null and "ip" like '%0'"#,
        )
        .await;
    tenant.sql(r#"insert into "Event" ("eventStartedAt", "systemEventTypeIds", "data")
        select now() - n * interval '1 day', '{$user-activity}', jsonb_build_object('projectId', 'acme', 'branchId', 'main', 'userId', u."projectUserId", 'isAnonymous', false)
        from "ProjectUser" u, generate_series(0, 3) n where u."displayName" like '%7'"#).await;
    tenant.sql(r#"update "ProjectUser" set "lastActiveAt" = now() where "displayName" = 'User 42'"#).await;
    forget(&tenant).await;
    for (path, anonymous) in [("metrics", false), ("metrics?include_anonymous=true", true)] {
        let (shown, expected) = (shown(&tenant.json(path).await), expected(&tenant, anonymous).await);
        for (shown, expected) in shown.iter().zip(&expected) {
            // A country that becomes known later counts for the latest event of a user only.
            if !shown.0.contains("Country") {
                assert_eq!(shown, expected, "{path}");
            }
        }
    }
}

#[tokio::test]
async fn another_branch_and_another_time_zone_change_nothing() {
    let stack = Stack::plan().externals(0).start().await;
    stack.internal().sql(&format!("alter database {} set timezone = 'Pacific/Kiritimati'; alter database {0} set datestyle = 'German'", stack.internal().name())).await;
    let tenant = Tenant::on(stack).await;
    let made = tenant.stack.cli().json(&["tenancy", "create", "--project", "acme", "--branch", "dev"]).await;
    tenant.sql(ACTIVITY).await;
    let dev = made["tenancyId"].as_str().expect("an id");
    tenant
        .sql(&format!(r#"insert into "ProjectUser" ("tenancyId", "displayName") values ('{dev}', 'of dev')"#))
        .await;
    let client = tenant.stack.internal().connect().await;
    client.batch_execute("set datestyle = 'ISO'").await.expect("set");
    let metrics = tenant.json("metrics").await;
    let days = tenant_sync_tests::database::rows(&client, &format!(
        r#"select d.day::date, (select count(distinct e."data" ->> 'userId') from "Event" e where {ACTIVE} and coalesce(e."data" ->> 'isAnonymous', 'false') <> 'true'
           and (e."eventStartedAt" at time zone 'UTC')::date = d.day) from {DAYS} order by 1"#)).await.expect("rows");
    assert_eq!(shown(&metrics)[2].1, days);
    let other = get(&tenant.console, &format!("/api/v1/tenancies/{dev}/metrics")).await.body;
    assert_eq!(other["totalUsers"], 1);
    let active =
        other["dailyActiveUsers"].as_array().expect("days").iter().filter(|day| day["users"] != 0).count();
    assert!(active > 5, "events of the branch count there: {other}");
}

#[tokio::test]
async fn a_tenant_without_anything_has_zeros() {
    let tenant = Tenant::start().await;
    let metrics = tenant.json("metrics").await;
    assert_eq!(metrics["totalUsers"], 0);
    for series in ["dailySignUps", "dailyActiveUsers"] {
        let days = metrics[series].as_array().expect("days");
        assert!(days.len() == 31 && days.iter().all(|day| day["users"] == 0), "{series}: {metrics}");
    }
    assert_eq!(metrics["recentlyActive"], serde_json::json!([]));
}

#[tokio::test]
async fn what_cannot_be_used_is_named() {
    let tenant = Tenant::start().await;
    for (path, field) in
        [("metrics?include_anonymous=perhaps", "include_anonymous"), ("metrics?days=7", "days")]
    {
        let answer = tenant.get(path).await;
        assert_eq!((answer.status, answer.body["field"].as_str()), (400, Some(field)), "{answer:?}");
    }
    let unknown =
        get(&tenant.console, "/api/v1/tenancies/00000000-0000-0000-0000-000000000000/metrics").await;
    assert_eq!(unknown.status, 404, "{unknown:?}");
    assert_eq!(
        tenant.rows(r#"select * from "CacheEntry" where "namespace" like 'metrics%'"#).await.len(),
        0,
        "a refusal is not kept"
    );
}

/// Rows from before the columns were there, a clock of transactions that stepped back, and what nobody is shown any more.
#[tokio::test]
async fn what_is_older_than_the_fold_counts_and_what_is_old_goes() {
    let tenant = Tenant::start().await;
    tenant.sql(ACTIVITY).await;
    // What changes the state of folds waits for the one that runs.
    let lock = "select pg_advisory_xact_lock(1952805749, hashtext(current_schema()));";
    tenant.sql(&format!(r#"{lock} update "Event" set "changedBy" = null;
        truncate "UserFeed", "UserSearch", "UserActivity", "UserActivityDay", "ActivityDay"; update "ActivityFold" set "phase" = 'older', "until" = null"#)).await;
    agrees(&tenant).await;
    tenant.sql(&format!(r#"{lock} truncate "UserSearch", "UserActivity", "UserActivityDay", "ActivityDay"; update "ActivityFold" set "seen" = '9000000:9000000:'"#)).await;
    forget(&tenant).await;
    agrees(&tenant).await;
    tenant.sql(r#"insert into "ActivityDay" values ($T, current_date - 40, 1, 0); insert into "UserActivityDay" values ($T, current_date - 40, gen_random_uuid(), false);
        insert into "UserActivity" ("tenancyId", "projectUserId", "lastActiveAt") values ($T, gen_random_uuid(), now())"#).await;
    tenant.rows("select purge_activity(100000)").await;
    let left = r#"select (select count(*) from "ActivityDay" where "day" < current_date - 35), (select count(*) from "UserActivityDay" where "day" < current_date - 35),
        (select count(*) from "UserActivity" a where not exists (select from "ProjectUser" u where u."projectUserId" = a."projectUserId"))"#;
    assert_eq!(tenant.rows(left).await, ["0|0|0"], "old days, their counts, and rows of nobody");
    forget(&tenant).await;
    agrees(&tenant).await;
}
