//! The way through a proxy of the operator's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tenant_sync_tests::endpoint::Endpoint;
use tenant_sync_tests::forward::Forward;
use tenant_sync_tests::ports::free_port;
use tenant_sync_tests::receiver::Receiver;

use super::{FAILS, SOON, road, stack, until};
use crate::dial::certificates::Authority;

/// What its worker says while requests cannot leave.
const OURS: &str = "cannot be sent from here";

#[tokio::test(flavor = "multi_thread")]
async fn requests_leave_through_tunnels_to_addresses_that_were_checked_here() {
    let mut stack = stack(&[]).await;
    let forward = Forward::start().await;
    let authority = Authority::new("The Root");
    let roots = stack.scratch().path().join("roots.pem");
    std::fs::write(&roots, &authority.root).expect("our own folder");
    stack.set("network.ca_file", roots.display());
    stack.set("requests.proxy", forward.url("ann:p%40ss@"));
    let good = authority.sign(&["localhost"]);
    let (tls, plain) = (Receiver::start_tls(&good.chain, &good.key).await, Receiver::start().await);
    let _road = road(&stack, &[]).await;
    for receiver in [&tls, &plain] {
        let endpoint = Endpoint::register(&stack, &receiver.url_of("localhost"), "").await;
        endpoint.send(0, 3, 0).await;
        endpoint.drained(SOON).await;
        assert_eq!(endpoint.counts().await, "0|0|3|0");
        let port = receiver.url_of("x").rsplit(':').next().expect("a port").replace("/hook", "");
        let asked: Vec<_> = forward.asked().into_iter().filter(|asked| asked.line.ends_with(&port)).collect();
        assert!(!asked.is_empty() && asked.len() <= 6, "connections are kept: {asked:?}");
        // Never a name: the proxy's resolver has no say. An address where nobody listens is followed by the other one.
        let lines = [format!("CONNECT 127.0.0.1:{port}"), format!("CONNECT [::1]:{port}")];
        assert!(asked.iter().all(|asked| lines.contains(&asked.line)), "{asked:?}");
        let credentials = format!("Basic {}", STANDARD.encode("ann:p@ss"));
        assert!(asked.iter().all(|asked| asked.authorization.as_deref() == Some(&credentials)), "{asked:?}");
        let received = &receiver.received()[0];
        assert!(received.header("host").starts_with("localhost:"), "{received:?}");
        assert!(received.header("user-agent").starts_with("tenant-sync/"), "{received:?}");
        assert!(received.header("proxy-authorization").is_empty(), "the proxy's alone: {received:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_address_is_refused_before_the_proxy_is_asked() {
    let forward = Forward::start().await;
    let proxy = forward.url("");
    let stack = stack(&[
        ("network.allow_private", "false"),
        ("requests.retry_schedule", "1h"),
        ("requests.proxy", &proxy),
    ])
    .await;
    let receiver = Receiver::start().await;
    let _road = road(&stack, &[FAILS]).await;
    for host in ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]", "169.254.169.254"] {
        let endpoint = Endpoint::register(&stack, &receiver.url_of(host), "").await;
        endpoint.send(0, 1, 0).await;
        until(host, async || endpoint.counts().await == "1|0|0|1").await;
        assert_eq!(endpoint.standing(r#""lastErrorClass""#).await, "addressRefused", "{host}");
    }
    assert_eq!((forward.asked(), receiver.count()), (Vec::new(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_proxy_does_not_do_is_told_apart_from_what_the_receiver_does_not() {
    let forward = Forward::start().await;
    let proxy = forward.url("");
    let stack = stack(&[("requests.retry_schedule", "1h"), ("requests.proxy", &proxy)]).await;
    let receiver = Receiver::start().await;
    let road = road(&stack, &[FAILS, OURS]).await;
    // It does not know us: that is no fault of the receiver, and no attempt.
    forward.answer(Some(407));
    let endpoint = Endpoint::register(&stack, &receiver.url(), "").await;
    endpoint.send(0, 1, 0).await;
    until("it to be told", async || !road.worker.logs().matching("other credentials (407)").is_empty()).await;
    assert_eq!(endpoint.counts().await, "1|0|0|0");
    // It lets nobody through to there: that is one.
    forward.answer(Some(403));
    until("an attempt", async || endpoint.counts().await == "1|0|0|1").await;
    assert_eq!(endpoint.standing(r#""lastErrorClass""#).await, "noConnection");
    assert!(endpoint.standing(r#""lastError""#).await.contains("it answered 403"));
    assert_eq!(receiver.count(), 0);
    forward.answer(None);
    let other = Endpoint::register(&stack, &receiver.url(), "").await;
    other.send(0, 1, 0).await;
    other.drained(SOON).await;
    assert_eq!(receiver.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_away_costs_no_attempt() {
    let proxy = format!("http://127.0.0.1:{}", free_port());
    let stack = stack(&[("requests.proxy", &proxy)]).await;
    let receiver = Receiver::start().await;
    let road = road(&stack, &[OURS]).await;
    let endpoint = Endpoint::register(&stack, &receiver.url(), "").await;
    endpoint.send(0, 1, 0).await;
    until("it to be told", async || {
        !road.worker.logs().matching("requests.proxy cannot be reached").is_empty()
    })
    .await;
    assert_eq!((endpoint.counts().await.as_str(), receiver.count()), ("1|0|0|0", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_of_the_environment_are_not_used() {
    let forward = Forward::start().await;
    let stack = stack(&[]).await;
    let receiver = Receiver::start().await;
    let mut poller = stack.poller().spawn();
    let mut worker = stack.request_worker();
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        worker = worker.env(name, forward.url(""));
    }
    let mut worker = worker.spawn();
    poller.wait_ready().await;
    worker.wait_ready().await;
    let endpoint = Endpoint::register(&stack, &receiver.url(), "").await;
    endpoint.send(0, 1, 0).await;
    endpoint.drained(SOON).await;
    assert_eq!((forward.asked(), receiver.count()), (Vec::new(), 1));
}
