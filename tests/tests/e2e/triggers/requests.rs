//! Plain requests by SQL.

use tenant_sync_tests::database;

use super::kit::{ONE, Place};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_a_row_with_all_that_was_said() {
    let place = Place::start().await;
    let id = place
        .value(&format!(
            r#"select enqueue_http_request('https://Example.org/a?b=c', 'put', '{{"X-A": "1"}}', '{{"n": 1.10}}', 'key',
                   jsonb_build_object('not_before', now() + interval '1 hour', 'order_key', 'o', 'timeout_ms', 500, 'tenancy_id', '{ONE}'))"#
        ))
        .await;
    let row = place
        .value(&format!(
            r#"select concat_ws(' | ', kind, state, method, url, headers, body, "deduplicationKey", "orderKey", "timeoutMillis", "tenancyId",
                      "dueAt" > now() + interval '59 minutes', "destinationId" = http_origin_id('https://example.org:443'))
               from "OutgoingRequest" where id = '{id}'"#
        ))
        .await;
    assert_eq!(
        row,
        format!(
            r#"http | pending | PUT | https://Example.org/a?b=c | {{"X-A": "1"}} | {{"n": 1.10}} | key | o | 500 | {ONE} | t | t"#
        )
    );
    let json = place
        .value(r#"select enqueue_http_request('https://example.org', 'POST', '{}', '{"b": 1.10}'::jsonb)"#)
        .await;
    assert_eq!(
        place.value(&format!(r#"select body from "OutgoingRequest" where id = '{json}'"#)).await,
        r#"{"b": 1.10}"#
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_means_the_same_request_while_it_waits() {
    let place = Place::start().await;
    let ask = |url: &str, body: &str| {
        format!("select enqueue_http_request('{url}', body => '{body}', deduplication_key => 'k')")
    };
    let first = place.value(&ask("https://a.example", "1")).await;
    assert_eq!(place.value(&ask("https://a.example", "2")).await, first, "the first one counts");
    assert_ne!(place.value(&ask("https://b.example", "2")).await, first, "another destination");
    assert_eq!(
        place.rows(r#"select body from "OutgoingRequest" where kind = 'http' order by position"#).await,
        ["1", "2"]
    );
    place.sql(&format!(r#"delete from "OutgoingRequest" where id = '{first}'"#)).await;
    assert_ne!(place.value(&ask("https://a.example", "3")).await, first, "it has left");
    place.sql(&format!("begin; {}; rollback", ask("https://c.example", "1"))).await;
    assert_eq!(place.value(r#"select count(*) from "OutgoingRequest" where kind = 'http'"#).await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_input_is_refused_with_what_is_wrong() {
    let place = Place::start().await;
    place.sql(r#"update "HttpSettings" set "allowHttp" = false, "maxBodyBytes" = 10"#).await;
    let url = |url: &str| format!("'{url}'");
    let cases = [
        (url(""), "there is no URL"),
        ("null".into(), "there is no URL"),
        (url("example.org/x"), "the URL is none"),
        (url("ftp://example.org"), "scheme is ftp"),
        (url("http://example.org"), "requests.allow_http"),
        (url("https://u:p@example.org"), "a user or a password"),
        (url("https://example.org/#x"), "fragment"),
        (url("https://example.org/a b"), "percent-encoded"),
        ("E'https://example.org/\\r\\nX: y'".into(), "percent-encoded"),
        (url("https://2130706433/"), "no IPv4 address"),
        (url("https://0x7f.1/"), "no IPv4 address"),
        (url("https://[::g]/"), "host cannot be read"),
        (url("https://example.org:70000/"), "port is not between"),
        (format!("'https://example.org/' || repeat('x', 2100)"), "may have 2048"),
        ("'https://example.org', 'TRACE'".into(), "the method is \"TRACE\""),
        ("'https://example.org', 'GET', '{}', 'x'".into(), "a GET request has no body"),
        ("'https://example.org', body => '12345678901'".into(), "requests.max_body_bytes"),
        ("'https://example.org', headers => '[]'".into(), "no JSON object"),
        (r#"'https://example.org', headers => '{"a b": "x"}'"#.into(), "header name \"a b\""),
        (r#"'https://example.org', headers => '{"A": "x\r\nB: y"}'"#.into(), "line break"),
        (r#"'https://example.org', headers => '{"A": 1}'"#.into(), "no string"),
        (r#"'https://example.org', headers => '{"Webhook-Id": "1"}'"#.into(), "set by tenant-sync itself"),
        (r#"'https://example.org', headers => '{"A": "1", "a": "2"}'"#.into(), "there twice"),
        (r#"'https://example.org', options => '{"notBefore": 1}'"#.into(), "there is no option notBefore"),
        (r#"'https://example.org', options => '{"not_before": "soon"}'"#.into(), "not_before is no time"),
        (r#"'https://example.org', options => '{"not_before": "2999-01-01"}'"#.into(), "366 days"),
        (r#"'https://example.org', options => '{"timeout_ms": 1}'"#.into(), "timeout_ms is no number"),
        (r#"'https://example.org', options => '{"order_key": ""}'"#.into(), "order_key is no string"),
        (r#"'https://example.org', options => '{"tenancy_id": "x"}'"#.into(), "tenancy_id is no tenancy"),
        ("'https://example.org', deduplication_key => ''".into(), "deduplication key"),
    ];
    for (arguments, words) in cases {
        let message = place.refused(&format!("select enqueue_http_request({arguments})")).await;
        assert!(
            message.starts_with("enqueue_http_request: ") && message.contains(words),
            "{arguments}: {message}"
        );
    }
    assert_eq!(place.value(r#"select count(*) from "OutgoingRequest""#).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_may_call_it_who_was_not_allowed_to() {
    let place = Place::start().await;
    let role = place.stack.internal().role("nosuperuser").await;
    place.sql(&format!(r#"revoke all on "OutgoingRequest", "HttpSettings" from {}"#, role.name)).await;
    let application = database::connect(&role.url).await;
    let call = "select public.enqueue_http_request('https://example.org')";
    let refused = application.batch_execute(call).await.expect_err("not yet");
    assert_eq!(refused.code(), Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE));
    place
        .sql(&format!(
            "grant execute on function enqueue_http_request(text, text, jsonb, text, text, jsonb) to {}",
            role.name
        ))
        .await;
    application.batch_execute(&format!("set search_path = ''; {call}")).await.expect("now it may");
    assert_eq!(place.value(r#"select count(*) from "OutgoingRequest" where kind = 'http'"#).await, "1");
}
