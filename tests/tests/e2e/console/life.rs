//! Starting and stopping.

use std::time::Duration;

use tenant_sync_tests::console::Console;
use tenant_sync_tests::http;
use tenant_sync_tests::ports::free_port;
use tenant_sync_tests::proxy::Proxy;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::wait::eventually;
use tenant_sync_tests::worker::Setup;

use super::SOON;

#[tokio::test]
async fn it_starts_while_postgres_is_down_says_so_and_recovers() {
    let mut stack = Stack::start().await;
    let proxy = Proxy::for_url(stack.internal().url()).await;
    let url = proxy.url(stack.internal().url());
    stack.set("database.url", url);
    stack.set("database.connect_timeout", "1s");
    proxy.refuse();
    let address = format!("127.0.0.1:{}", free_port());
    let mut worker = stack
        .worker("console")
        .set("console.listen", &address)
        .set("console.admin_keys", format!("ann:{}", Console::KEY))
        .allow("waiting for")
        .allow("cannot")
        .allow("trying again")
        .spawn();
    let key = vec![format!("Authorization: Bearer {}", Console::KEY)];
    let path = format!("{}/fusebox", Console::SYNC);
    let ask = async |expected: u16| {
        eventually(SOON, "an answer", async || {
            let answer = http::request(&address, "GET", &path, &key, "").await?;
            if answer.status == expected { Ok(answer.body) } else { Err(format!("{answer:?}")) }
        })
        .await
    };
    let body = ask(503).await;
    assert!(body.contains("Postgres cannot be reached"), "{body}");
    proxy.pass();
    ask(200).await;
    worker.wait_ready().await;
    let heartbeats = r#"select count(*) from "WorkerHeartbeat" where kind = 'console'"#;
    eventually(SOON, "its heartbeat", async || {
        let seen = stack.internal().value(heartbeats).await;
        if seen == "1" { Ok(()) } else { Err(seen) }
    })
    .await;
    proxy.cut();
    ask(503).await;
    proxy.refuse();
    proxy.pass();
    ask(200).await;
    worker.terminate().await;
    assert_eq!(stack.internal().value(heartbeats).await, "0");
}

#[tokio::test]
async fn it_refuses_to_start_without_keys_and_never_shows_one() {
    let stack = Stack::start().await;
    for (keys, says) in [
        ("", "console.admin_keys is empty"),
        ("ann:", "console.admin_keys: the key \"ann\" (entry 1)"),
        (":hunter2hunter2hunter2", "console.admin_keys: the name of entry 1"),
        ("hunter2hunter2hunter2", "entry 1 is not of the form name:key"),
    ] {
        let setup = stack.worker("console").set("console.listen", format!("127.0.0.1:{}", free_port()));
        let mut worker = setup.set("console.admin_keys", keys).allow("console.admin_keys").spawn();
        assert_eq!(worker.wait_exit(SOON).await.code(), Some(1));
        let text = worker.logs().lines().join("\n").replace("\\\"", "\"");
        assert!(text.contains(says) && !text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn a_short_key_works_and_is_warned_of() {
    let stack = Stack::start().await;
    let short = |setup: Setup| setup.set("console.admin_keys", "ann:hunter2").allow("can be guessed");
    let mut console = Console::start_with(&stack, short).await;
    let bearer = ["Authorization: Bearer hunter2"];
    let path = format!("{}/fusebox", Console::SYNC);
    assert_eq!(console.raw("GET", &path, &bearer, "").await.status, 200);
    let text = console.worker.logs().lines().join("\n").replace("\\\"", "\"");
    let warned = text.lines().filter(|line| line.contains("WARN")).collect::<Vec<_>>();
    assert!(
        matches!(warned[..], [one] if one.contains("the key \"ann\" is shorter than 16 characters")),
        "{text}"
    );
    assert!(text.contains("openssl rand -hex 32") && !text.contains("hunter2"), "{text}");
    console.worker.terminate().await;
}

#[tokio::test]
async fn open_streams_do_not_hold_up_the_end() {
    let stack = Stack::start().await;
    let mut console = Console::start(&stack).await;
    let mut stream = console.listen().await;
    assert_eq!(stream.next().await.expect("an event").0, "overview");
    let began = std::time::Instant::now();
    console.worker.terminate().await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    while stream.next().await.is_some() {}
}
