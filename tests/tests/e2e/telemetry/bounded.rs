//! Trouble that goes on is a few lines, however often something is tried; each names whom it is about.

use std::time::Duration;

use lapin::BasicProperties;
use lapin::options::BasicPublishOptions;
use serde_json::Value;
use tenant_sync_tests::console::Console;
use tenant_sync_tests::http;
use tenant_sync_tests::logs::Logs;
use tenant_sync_tests::proxy::Proxy;
use tenant_sync_tests::receiver::{Behaviour, Receiver};
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::{SOON, Tenant};
use tenant_sync_tests::wait::eventually;

/// The lines that say that something is wrong.
fn problems(logs: &Logs) -> Vec<Value> {
    let lines = logs.lines();
    let lines = lines.iter().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.filter(|line| line["level"] == "WARN" || line["level"] == "ERROR").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_endpoint_and_a_broken_target_are_a_line_each_however_often_they_are_tried() {
    let mut stack = Stack::start().await;
    stack.set("requests.retry_schedule", "10ms,10ms,10ms,10ms");
    stack.set("requests.breaker_base", "20ms");
    stack.set("requests.breaker_max", "20ms");
    stack.set("sync.retry_max", "50ms");
    let _sequencer = stack.sequencer().start().await;
    let _poller = stack.poller().start().await;
    let sync_worker = stack.sync_worker().allow("the target failed").start().await;
    let request_worker = stack
        .request_worker()
        .allow("a destination fails")
        .allow("requests have used up their attempts")
        .start()
        .await;
    let receiver = Receiver::start().await;
    receiver.behave(Behaviour::Status(500));
    let tenant = Tenant::create(&stack).await;
    let tenancy = tenant.id().to_string();
    let add = ["trigger", "add", "--tenancy", &tenancy, "--table", "ProjectUser", "--on", "insert"];
    let added = stack.cli().json(&[&add[..], &["--url", &receiver.url()]].concat()).await;
    let trigger = added["id"].as_str().expect("an id").to_owned();
    let proxy = Proxy::for_url(stack.external(0).url()).await;
    let target = tenant.target(stack.external(0)).through(&proxy.url(stack.external(0).url())).add().await;
    target.caught_up().await;
    proxy.cut();
    proxy.refuse();

    // Many events, a few at a time, each tried five times and then given up.
    let failures = r#"select coalesce(max("consecutiveFailures"), 0) from "ExternalDatabase""#;
    let mut users = 0;
    eventually(Duration::from_secs(120), "many failures of both", async || {
        tenant.user(&format!("user {users}")).await;
        users += 1;
        let failed: i64 = stack.internal().value(failures).await.parse().unwrap_or(0);
        let tried = receiver.count();
        if failed >= 6 && tried >= 100 { Ok(()) } else { Err(format!("{failed} and {tried}")) }
    })
    .await;
    let of_targets = problems(sync_worker.logs());
    assert!(matches!(of_targets.len(), 1..=3), "{of_targets:#?}");
    for line in &of_targets {
        assert_eq!((&line["tenancy"], &line["target"]), (&tenancy.as_str().into(), &"main".into()), "{line}");
        assert!(
            line["request"].is_string() && line["class"].is_string() && line["reason"].is_string(),
            "{line}"
        );
    }
    let of_endpoints = problems(request_worker.logs());
    assert!(matches!(of_endpoints.len(), 1..=3), "{} calls: {of_endpoints:#?}", receiver.count());
    for line in &of_endpoints {
        assert_eq!(
            (&line["tenancy"], &line["destination"]),
            (&tenancy.as_str().into(), &trigger.as_str().into()),
            "{line}"
        );
        assert!(line["request"].is_string() && line["not_told"].is_u64(), "{line}");
    }
    let first = of_endpoints.iter().find(|line| line["class"] == "serverError").expect("why it fails");
    assert_eq!(first["reason"], "The receiver failed.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_the_console_is_a_line_with_the_address_that_was_asked_and_not_one_a_look() {
    let stack = Stack::start().await;
    // A privilege that somebody took away.
    let role = stack.internal().role("nosuperuser").await;
    let grants = format!(
        r#"grant all on all tables in schema public to "{0}"; grant all on all sequences in schema public to "{0}";
           revoke all on "Fusebox" from "{0}""#,
        role.name
    );
    stack.internal().sql(&grants).await;
    let limited = Console::start_with(&stack, |setup| setup.set("database.url", &role.url).allow("")).await;
    let path = format!("{}/fusebox", Console::SYNC);
    let key = vec![format!("Authorization: Bearer {}", Console::KEY)];
    for _ in 0..20 {
        let answer =
            http::request(limited.address(), "GET", &format!("{path}?"), &key, "").await.expect("an answer");
        assert_eq!(answer.status, 500, "{answer:?}");
        assert!(!answer.body.contains("Fusebox"), "{answer:?}");
    }
    eventually(SOON, "the line", async || {
        let told = limited.worker.logs().matching("the console could not answer a request");
        if told.is_empty() { Err("not yet") } else { Ok(()) }
    })
    .await;
    let told = limited.worker.logs().matching("the console could not answer a request");
    assert_eq!(told.len(), 1, "{told:#?}");
    let line: Value = serde_json::from_str(&told[0]).expect("JSON");
    assert_eq!(
        (&line["level"], &line["method"], &line["path"]),
        (&"ERROR".into(), &"GET".into(), &path.as_str().into())
    );
    assert!(line["error"].as_str().is_some_and(|error| error.contains("permission denied")), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_guessed_and_messages_that_nobody_can_read_are_counted_not_listed() {
    let stack = Stack::start().await;
    let console = Console::start_with(&stack, |setup| setup.set("console.login_failures", 1_000)).await;
    for guess in 0..30 {
        let wrong = format!("Authorization: Bearer wrong-key-number-{guess}");
        let answer = console.raw("GET", &format!("{}/fusebox", Console::SYNC), &[&wrong], "").await;
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    let told = console.worker.logs().matching("refused a wrong admin key");
    assert!(matches!(told.len(), 1..=2), "{told:#?}");
    let metrics = console.worker.metrics().await;
    assert!(metrics.contains("tenant_sync_console_logins_total{outcome=\"refused\"} 30"), "{metrics}");

    let worker = stack.request_worker().allow("cannot read a message").start().await;
    let channel = stack.vhost().connect().await.create_channel().await.expect("a channel");
    for _ in 0..50 {
        let (queue, options) = ("tenant-sync.requests".into(), BasicPublishOptions::default());
        let properties = BasicProperties::default();
        channel.basic_publish("".into(), queue, options, b"nonsense", properties).await.expect("published");
    }
    eventually(SOON, "all of them to be buried", async || {
        let text = worker.metrics().await;
        let all = text.contains("tenant_sync_dead_messages_total{queue=\"tenant-sync.requests\"} 50");
        if all { Ok(()) } else { Err(text) }
    })
    .await;
    let told = worker.logs().matching("cannot read a message");
    assert_eq!(told.len(), 1, "{told:#?}");
}
