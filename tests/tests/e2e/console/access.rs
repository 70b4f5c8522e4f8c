//! Who gets in.

use serde_json::{Value, json};
use tenant_sync_tests::console::Console;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::Tenant;

const FUSEBOX: &str = "/api/v1/internal/external-db-sync/fusebox";
const JSON: &str = "Content-Type: application/json";

#[tokio::test]
async fn only_a_right_key_gets_in_and_guessing_is_slowed_down() {
    let stack = Stack::start().await;
    let console = Console::start_with(&stack, |setup| setup.set("console.login_failures", 3)).await;
    let status = async |headers: &[&str]| console.raw("GET", FUSEBOX, headers, "").await.status;
    let right = format!("Authorization: Bearer {}", Console::KEY);
    assert_eq!(status(&[&right]).await, 200);
    let named = format!("Authorization: Bearer ann:{}", Console::KEY);
    assert_eq!(status(&[&named]).await, 200);

    let nobody = console.raw("GET", FUSEBOX, &[], "").await;
    assert_eq!((nobody.status, nobody.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(nobody.header("content-type"), Some("application/problem+json"));
    assert_eq!(status(&["Authorization: Basic abc"]).await, 401);

    let wrong = "Authorization: Bearer 0123456789abcdef-kex";
    for _ in 0..3 {
        assert_eq!(status(&[wrong]).await, 401);
    }
    let limited = console.raw("GET", FUSEBOX, &[wrong], "").await;
    assert_eq!(limited.status, 429, "{limited:?}");
    assert!(
        limited.header("retry-after").is_some_and(|seconds| seconds.parse::<u8>().is_ok()),
        "{limited:?}"
    );
    assert_eq!(status(&[&right]).await, 429, "or it could go on guessing");

    for line in console.worker.logs().lines() {
        assert!(!line.contains("0123456789abcdef"), "a key in the log: {line}");
    }
}

#[tokio::test]
async fn a_session_is_a_cookie_that_other_sites_cannot_use() {
    let stack = Stack::start().await;
    let console = Console::start(&stack).await;
    let body = json!({ "key": Console::KEY }).to_string();
    let login = console.raw("POST", "/api/v1/session", &[JSON], &body).await;
    assert_eq!(login.status, 204, "{login:?}");
    let cookie = login.header("set-cookie").expect("a cookie").to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains(Console::KEY));
    let cookie = format!("Cookie: {}", cookie.split(';').next().expect("a pair"));

    assert_eq!(console.raw("GET", FUSEBOX, &[&cookie], "").await.status, 200);
    let own = "Sec-Fetch-Site: same-origin";
    let off = json!({ "requestsEnabled": false }).to_string();
    let ours = console.raw("POST", FUSEBOX, &[&cookie, JSON, own], &off).await;
    assert_eq!(ours.status, 200, "{ours:?}");
    for foreign in ["Sec-Fetch-Site: cross-site", "Origin: http://evil.example", "X-Nothing: 1"] {
        let on = json!({ "requestsEnabled": true }).to_string();
        let answer = console.raw("POST", FUSEBOX, &[&cookie, JSON, foreign], &on).await;
        assert_eq!(answer.status, 403, "{foreign}: {answer:?}");
    }
    assert_eq!(console.get("…/fusebox").await["requestsEnabled"], false);

    let forged = cookie.replace("ann", "bob");
    assert_eq!(console.raw("GET", FUSEBOX, &[&forged], "").await.status, 401);
    let wrong = json!({ "key": "wrong" }).to_string();
    assert_eq!(console.raw("POST", "/api/v1/session", &[JSON], &wrong).await.status, 401);
    let elsewhere = ["Origin: http://evil.example", JSON];
    assert_eq!(console.raw("POST", "/api/v1/session", &elsewhere, &body).await.status, 403);
    let out = console.raw("DELETE", "/api/v1/session", &[own], "").await;
    assert!(out.header("set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=0")), "{out:?}");
}

/// Each page that acts asks first, and acts only for a form of its own: the browser says so, or where the form came from.
#[tokio::test]
async fn every_page_that_acts_refuses_forms_from_elsewhere() {
    let stack = Stack::start().await;
    let console = Console::start(&stack).await;
    let tenant = Tenant::create(&stack).await;
    tenant.target(stack.external(0)).add().await;
    let trigger =
        ["trigger", "add", "--table", "users", "--on", "insert", "--all", "--url", "https://acme.example/"];
    let trigger = stack.cli().json(&trigger).await;
    let request = "select enqueue_http_request('https://example.com/', body => 'x'::text)";
    let request = stack.internal().value(request).await;
    let dies = r#"update "OutgoingRequest" set state = 'dead', "diedAt" = now() where kind = 'http'"#;
    stack.internal().sql(dies).await;
    let pages = [
        ("/switches/requests/off".to_owned(), "Switch the requests off?"),
        (format!("/targets/{}/main/pause", tenant.id()), "Pause"),
        (format!("/triggers/{}/pause", trigger["id"].as_str().expect("an id")), "Pause this trigger?"),
        (format!("/requests/{request}/replay"), "again?"),
        ("/requests/replay?state=dead".to_owned(), "again?"),
    ];
    let state = r#"select (select "requestsEnabled" from "Fusebox"), (select state from "ExternalDatabase"),
                     (select state from "HttpTrigger"), (select count(*) from "OutgoingRequest" where state = 'dead'),
                     (select count(*) from "AuditEntry")"#;
    let before = stack.internal().rows(state).await;
    let (cookie, own) = (console.cookie().await, format!("Origin: http://{}", console.address()));
    for (page, question) in &pages {
        let asked = console.raw("GET", page, &[&cookie], "").await;
        assert!(asked.status == 200 && asked.body.contains(question), "{page}: {asked:?}");
        for foreign in ["Sec-Fetch-Site: cross-site", "Origin: http://evil.example", "X-Nothing: 1"] {
            let answer = console.raw("POST", page, &[&cookie, foreign], "").await;
            assert_eq!(answer.status, 403, "{page}, {foreign}: {answer:?}");
        }
        let nobody = console.raw("POST", page, &[&own], "").await;
        assert!(nobody.header("location").is_some_and(|to| to.starts_with("/login")), "{page}: {nobody:?}");
    }
    assert_eq!(stack.internal().rows(state).await, before, "nothing was done");
    for (page, _) in &pages {
        let done = console.raw("POST", page, &[&cookie, &own], "").await;
        assert_eq!(done.status, 303, "{page}: {done:?}");
    }
    assert_eq!(
        stack.internal().value(r#"select count(*) from "AuditEntry""#).await,
        "5",
        "and now all of it"
    );
}

#[tokio::test]
async fn every_answer_is_guarded_and_every_mistake_is_a_problem() {
    let stack = Stack::start().await;
    let console = Console::start_with(&stack, |setup| setup.set("console.max_body_bytes", "2KiB")).await;
    let good = console.call("GET", FUSEBOX, None).await;
    let policy = good.answer.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(good.answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(good.answer.header("cache-control"), Some("no-store"));

    let key = format!("Authorization: Bearer {}", Console::KEY);
    let problem = async |method: &str, path: &str, headers: &[&str], body: &str| -> (u16, Value) {
        let answer = console.raw(method, path, headers, body).await;
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
        assert!(answer.header("content-security-policy").is_some());
        (answer.status, serde_json::from_str(&answer.body).expect("JSON"))
    };
    assert_eq!(problem("GET", "/api/v1/nothing", &[&key], "").await.0, 404);
    assert_eq!(problem("PATCH", FUSEBOX, &[&key], "").await.0, 405);
    assert_eq!(problem("POST", FUSEBOX, &[&key], "{}").await.0, 415);
    assert_eq!(problem("POST", FUSEBOX, &[&key, JSON], &"x".repeat(3000)).await.0, 413);
    let (status, said) = problem("POST", FUSEBOX, &[&key, JSON], r#"{"sequencerEnabled": "hunter2"}"#).await;
    assert_eq!((status, &said["field"]), (400, &json!("sequencerEnabled")));
    assert!(!said.to_string().contains("hunter2"), "{said}");
    let (status, said) = problem("POST", FUSEBOX, &[&key, JSON], r#"{"sequencer": true}"#).await;
    assert_eq!((status, &said["field"]), (400, &json!("sequencer")));
    let (status, said) = problem("POST", FUSEBOX, &[&key, JSON], "{}").await;
    assert_eq!((status, &said["field"]), (400, &json!("body")));
}

#[tokio::test]
async fn where_there_is_nothing_a_browser_sees_a_page_and_a_program_a_problem() {
    let stack = Stack::start().await;
    let console = Console::start(&stack).await;
    let browser = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";
    let page = console.raw("GET", "/no/such/page", &[browser], "").await;
    assert_eq!(page.status, 404, "{page:?}");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.body.contains("<h1>There is no such page</h1>"), "{}", page.body);
    assert!(!page.body.contains("Log out"), "nobody is logged in: {}", page.body);
    assert!(page.header("content-security-policy").is_some());

    let cookie = console.cookie().await;
    let page = console.raw("GET", "/no/such/page", &[browser, &cookie], "").await;
    assert_eq!(page.status, 404);
    assert!(
        page.body.contains("There is no such page") && page.body.contains("href=\"/targets\""),
        "{}",
        page.body
    );

    let key = format!("Authorization: Bearer {}", Console::KEY);
    for (path, headers) in [
        ("/no/such/page", vec!["Accept: */*"]),
        ("/no/such/page", vec![]),
        ("/api/v1/no-such", vec![browser, &key]),
        ("/api/no-such", vec![browser]),
    ] {
        let answer = console.raw("GET", path, &headers, "").await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn the_login_form_and_the_api_count_wrong_keys_together() {
    let stack = Stack::start().await;
    let console = Console::start_with(&stack, |setup| setup.set("console.login_failures", 3)).await;
    let form = ["Content-Type: application/x-www-form-urlencoded", "Sec-Fetch-Site: same-origin"];
    let log_in = async |key: &str| console.raw("POST", "/login", &form, &format!("key={key}&next=%2F")).await;
    for _ in 0..2 {
        let wrong = log_in("hunter2-hunter2-hunter2").await;
        assert_eq!((wrong.status, wrong.header("set-cookie")), (401, None), "{wrong:?}");
        assert!(wrong.body.contains("is not among") && !wrong.body.contains("hunter2"), "{}", wrong.body);
    }
    let wrong = "Authorization: Bearer hunter2-hunter2-hunter2";
    assert_eq!(console.raw("GET", FUSEBOX, &[wrong], "").await.status, 401);
    let waiting = log_in(Console::KEY).await;
    assert_eq!(waiting.status, 429, "{waiting:?}");
    assert!(waiting.body.contains("Too many wrong keys"), "{}", waiting.body);
    let right = format!("Authorization: Bearer {}", Console::KEY);
    assert_eq!(console.raw("GET", FUSEBOX, &[&right], "").await.status, 429);
    let elsewhere = ["Content-Type: application/x-www-form-urlencoded", "Sec-Fetch-Site: cross-site"];
    assert_eq!(console.raw("POST", "/login", &elsewhere, "key=x").await.status, 403);
    for line in console.worker.logs().lines() {
        assert!(!line.contains("hunter2") && !line.contains(Console::KEY), "a key in the log: {line}");
    }
}
