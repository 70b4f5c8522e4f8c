//! Values arrive as they were.

use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::Tenant;
use uuid::Uuid;

/// Texts that break what is quoted, counted or escaped carelessly.
const TEXTS: &[&str] = &[
    "",
    " ",
    "O'Brien",
    "\"double\" and `back` and $$dollar$$",
    "back\\slash \\N \\x41 \\",
    "tab\tnew\nline\r\nreturn",
    "';drop table \"ProjectUser\";--",
    "%s %d {} {{tenancy}} $1 ?",
    "null",
    "∅|,|\u{1}\u{7f}\u{a0}",
    "日本語 Ελληνικά Привет",
    "مرحبا بالعالم \u{202e}right to left\u{202c}",
    "😀👩‍👩‍👧‍👦🏳️‍🌈𝒳𐍈",
    "e\u{301} and é",
    "\u{feff}byte order mark\u{fffd}\u{10ffff}",
];

/// JSON that is more than an object of strings.
const JSON: &[&str] = &[
    "null",
    "[]",
    "[1, \"two\", null, [3, {\"four\": 4}]]",
    "\"a string\"",
    "\"\"",
    "true",
    "12345678901234567890.12345678901234567890",
    "1e100",
    "-0.0",
    "{}",
    r#"{"": "empty key", "a\"b": "quote", "\\": "\\", "é": "\u00e9", "😀": "\ud83d\ude00"}"#,
    r#"{"__proto__": {"x": null}, "nested": {"null": null, "list": [[], {}, [[]]]}}"#,
];

#[tokio::test]
async fn every_text_arrives_as_it_was() {
    let stack = Stack::start().await;
    let _workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    target.caught_up().await;
    let client = stack.internal().connect().await;
    for text in TEXTS {
        let user: Uuid = client
            .query_one(
                r#"insert into "ProjectUser" ("tenancyId", "displayName", "profileImageUrl", "clientMetadata")
                   values ($1, $2, $2, jsonb_build_object('text', $2::text)) returning "projectUserId""#,
                &[&tenant.id(), &text],
            )
            .await
            .expect("inserts")
            .get(0);
        let channel = r#"insert into "ContactChannel" ("tenancyId", "projectUserId", "type", "value", "isPrimary")
                         values ($1, $2, 'EMAIL', $3, true), ($1, $2, $3, $3, false)"#;
        client.execute(channel, &[&tenant.id(), &user, &text]).await.expect("inserts");
    }
    let long = "x😀'\\".repeat(50_000);
    let user = r#"insert into "ProjectUser" ("tenancyId", "displayName", "serverMetadata")
                  values ($1, $2, jsonb_build_array($2::text))"#;
    client.execute(user, &[&tenant.id(), &long]).await.expect("inserts");
    target.caught_up().await;
    assert_eq!(
        target.value("select count(*) filter (where display_name = primary_email) from users").await,
        TEXTS.len().to_string()
    );
    // Once more through a fill, which takes other statements.
    target.sql("truncate users, contact_channels").await;
    target.ask().await;
    target.caught_up().await;
}

/// Enough rows for COPY: straight into an empty table, then by way of a temporary one, and once more in a comparison.
#[tokio::test]
async fn every_text_arrives_by_copy_as_it_was() {
    let stack = Stack::start().await;
    let tenant = Tenant::create(&stack).await;
    let controls: String = (1..=0x20).chain([0x7f, 0x85, 0xa0]).filter_map(char::from_u32).collect();
    let texts: Vec<&str> = TEXTS.iter().copied().chain(["\\.", "\\N", "\n\\.\n", &controls]).collect();
    let client = stack.internal().connect().await;
    let users = r#"insert into "ProjectUser" ("tenancyId", "displayName", "profileImageUrl", "clientMetadata")
                   select $1, texts[n % cardinality(texts) + 1], nullif(texts[n % 7 + 1], ' '),
                          jsonb_build_object(texts[n % cardinality(texts) + 1], n)
                   from generate_series(1, 1500) n, (select $2::text[] as texts) t"#;
    client.execute(users, &[&tenant.id(), &texts]).await.expect("inserts");
    let target = tenant.target(stack.external(0)).add().await;
    let _workers = stack.start_workers().await;
    target.caught_up().await;
    tenant
        .sql(
            r#"update "ProjectUser" set "displayName" = "displayName" || '+', "profileImageUrl" = "displayName",
                 "serverMetadata" = to_jsonb("displayName")"#,
        )
        .await;
    target.caught_up().await;
    target.sql("update users set display_name = null, profile_image_url = ''; delete from users where id::text > '8'").await;
    stack.cli().json(&["sync", "resync", "--tenancy", &tenant.id().to_string()]).await;
    target.caught_up().await;
    let kinds = format!("select count(distinct display_name) = {} from users", texts.len());
    assert_eq!(target.value(&kinds).await, "t");
}

/// No address is too long: an end user who may choose it cannot keep a row, or a target, from being synchronised.
#[tokio::test]
async fn an_address_of_any_length_arrives_and_is_found_by_the_index() {
    let stack = Stack::start().await;
    let workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    tenant.users(1, 300).await;
    let user = tenant.user("long").await;
    // Random, so that compression does not make it short.
    let long = "(select string_agg(md5(random()::text || n), '') from generate_series(1, 1000) n)";
    let channel = tenant.primary(user, "short@example.com").await;
    tenant.sql(&format!(r#"update "ContactChannel" set "value" = {long} where "id" = '{channel}'"#)).await;
    target.caught_up().await;
    assert!(workers.sync_worker.logs().matching("refuses a row").is_empty());
    assert_eq!(target.value("select max(length(primary_email)) from users").await, "32000");
    let found =
        "set enable_seqscan = off; explain (costs off) select id from users where primary_email = 'x'";
    assert!(target.rows(found).await.concat().contains("users_primary_email_idx"));
    let index = "select pg_get_indexdef('users_primary_email_idx'::regclass)";
    assert_eq!(
        target.value(index).await,
        "CREATE INDEX users_primary_email_idx ON tenant_sync.users USING hash (primary_email)"
    );
}

#[tokio::test]
async fn json_times_and_flags_arrive_as_they_were() {
    let stack = Stack::start().await;
    let _workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    let deep = format!("{}1{}", "[".repeat(1000), "]".repeat(1000));
    for json in JSON.iter().copied().chain([deep.as_str()]) {
        let json = json.replace('\'', "''");
        tenant
            .sql(&format!(
                r#"insert into "ProjectUser" ("tenancyId", "displayName", "clientMetadata", "clientReadOnlyMetadata",
                     "serverMetadata")
                   values ('{{tenancy}}', 'json', '{json}', null, '{{"inside": {json}}}')"#
            ))
            .await;
    }
    for time in [
        "infinity",
        "-infinity",
        "4713-01-01 00:00:00+00 BC",
        "294276-12-31 23:59:59.999999+00",
        "2000-01-01 00:00:00.000001+14",
        "1883-11-18 12:03:57-05",
        "epoch",
    ] {
        tenant
            .sql(&format!(
                r#"insert into "ProjectUser" ("tenancyId", "displayName", "signedUpAt", "createdAt", "isAnonymous")
                   values ('{{tenancy}}', 'time', '{time}', 'infinity', true), ('{{tenancy}}', 'time', null, '{time}', false)"#
            ))
            .await;
    }
    target.caught_up().await;
    let kinds = "select jsonb_typeof(client_metadata), count(*) from users where display_name = 'json' group by 1 order by 1";
    assert_eq!(
        target.rows(kinds).await,
        ["array|3", "boolean|1", "null|1", "number|3", "object|3", "string|2"]
    );
    let missing = "select count(*) from users where client_read_only_metadata = '{}'";
    assert_eq!(target.value(missing).await, target.value("select count(*) from users").await);
    assert_eq!(target.value("select count(*) from users where not isfinite(signed_up_at)").await, "4");

    // What looks equal to a comparison of values is a change: its text differs.
    tenant
        .sql(r#"update "ProjectUser" set "clientMetadata" = '{"n": 1.0}' where "clientMetadata" = 'null'"#)
        .await;
    target.caught_up().await;
    tenant.sql(r#"update "ProjectUser" set "clientMetadata" = '{"n": 1.00}' where "clientMetadata" = '{"n": 1}'"#).await;
    target.shows("select client_metadata ->> 'n' from users where client_metadata ? 'n'", &["1.00"]).await;
    target.caught_up().await;
}
