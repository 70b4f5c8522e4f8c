//! Addresses that are not public are not called, by whatever name.

use tenant_sync_tests::endpoint::Endpoint;
use tenant_sync_tests::receiver::{Behaviour, Receiver};

use super::{FAILS, road, stack, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_private_address_is_refused_by_name_by_number_and_in_other_clothes() {
    let stack = stack(&[("network.allow_private", "false"), ("requests.retry_schedule", "1h")]).await;
    let receiver = Receiver::start().await;
    let _road = road(&stack, &[FAILS]).await;
    for host in
        ["localhost", "127.0.0.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "[::1]", "169.254.169.254"]
    {
        let endpoint = Endpoint::register(&stack, &receiver.url_of(host), "").await;
        endpoint.send(0, 1, 0).await;
        until(host, async || endpoint.counts().await == "1|0|0|1").await;
        let log = format!(
            r#"select "errorClass", error like '%not public%', error !~ '[0-9]+[.][0-9]+[.][0-9]+' from "HttpAttempt"
               where "destinationId" = '{}'"#,
            endpoint.id
        );
        assert_eq!(stack.internal().value(&log).await, "addressRefused|t|t", "{host}");
    }
    assert_eq!(receiver.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_an_address_that_is_not_allowed_leads_nowhere() {
    let stack = stack(&[
        ("network.allow_private", "false"),
        ("network.allow_cidrs", "127.0.0.1"),
        ("requests.retry_schedule", "1h"),
    ])
    .await;
    let (receiver, inside) = (Receiver::start().await, Receiver::start().await);
    let location = format!("Location: {}", inside.url_of("[::ffff:127.0.0.1]"));
    receiver.behave(Behaviour::Answer(301, location, String::new()));
    let _road = road(&stack, &[FAILS]).await;
    let endpoint = Endpoint::register(&stack, &receiver.url(), "").await;
    endpoint.send(0, 1, 0).await;
    until("it to be tried", async || endpoint.counts().await == "1|0|0|1").await;
    assert_eq!((receiver.count(), inside.count()), (1, 0));
    assert_eq!(endpoint.standing(r#""lastErrorClass", "lastStatus""#).await, "redirected|301");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_nothing_is_called_unless_it_is_allowed() {
    let stack = stack(&[("requests.allow_http", "false"), ("requests.retry_schedule", "1h")]).await;
    let receiver = Receiver::start().await;
    let _road = road(&stack, &[FAILS]).await;
    let endpoint = Endpoint::register(&stack, &receiver.url(), "").await;
    endpoint.send(0, 1, 0).await;
    until("it to be refused", async || endpoint.standing(r#""lastErrorClass""#).await == "unsendable").await;
    assert!(endpoint.standing(r#""lastError""#).await.contains("requests.allow_http"));
    assert_eq!(receiver.count(), 0);
}
