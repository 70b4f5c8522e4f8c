//! A trigger in use gets another secret, and another URL, without an event that its receiver cannot verify.

use secrecy::SecretString;
use serde_json::Value;
use tenant_sync_core::http::sign;
use tenant_sync_tests::receiver::{Received, Receiver};
use tenant_sync_tests::stack::Stack;

use super::signatures::verifies;
use super::{road, stack, until};

async fn happens(stack: &Stack) {
    stack.internal().sql("select http_own_event('target.broken', null, '{}')").await;
}

async fn last(receiver: &Receiver, count: usize) -> Received {
    until("the event to arrive", async || receiver.count() == count).await;
    receiver.received().pop().expect("a request")
}

fn secret(report: &Value) -> SecretString {
    SecretString::from(report["secret"].as_str().unwrap_or_else(|| panic!("no secret: {report}")).to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_secret_signs_beside_the_old_one_until_that_is_dropped() {
    let mut stack = stack(&[]).await;
    stack.set("requests.allow_http", true);
    let cli = stack.cli();
    let (receiver, mover) = (Receiver::start().await, Receiver::start().await);
    let added =
        cli.json(&["trigger", "add", "--all", "--event", "target.broken", "--url", &receiver.url()]).await;
    let id = added["id"].as_str().expect("an id");
    let update = async |options: &[&str]| cli.json(&[&["trigger", "update", id], options].concat()).await;
    let old = secret(&added);
    // It waits, and is signed with what there is when it is sent.
    happens(&stack).await;
    let report = update(&["--new-secret"]).await;
    let new = secret(&report);
    assert_eq!(report["secretCount"], 2, "{report}");
    let _road = road(&stack, &[]).await;
    let both = last(&receiver, 1).await;
    assert!(verifies(&old, &both).is_ok() && verifies(&new, &both).is_ok(), "{both:?}");
    assert_eq!(both.header("webhook-signature").split(' ').count(), 2);

    let report = update(&["--drop-old-secrets"]).await;
    assert_eq!((&report["secretCount"], &report["secret"]), (&1.into(), &Value::Null), "{report}");
    happens(&stack).await;
    let one = last(&receiver, 2).await;
    assert!(verifies(&old, &one).is_err() && verifies(&new, &one).is_ok(), "{one:?}");

    update(&["--url", &mover.url()]).await;
    happens(&stack).await;
    verifies(&new, &last(&mover, 1).await).expect("another URL changes no secret");
    // One that got into wrong hands is replaced at once.
    let replaced = secret(&update(&["--new-secret", "--drop-old-secrets"]).await);
    happens(&stack).await;
    let after = last(&mover, 2).await;
    assert!(verifies(&new, &after).is_err() && verifies(&replaced, &after).is_ok(), "{after:?}");
    assert_eq!(receiver.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_a_trigger_are_bounded_and_what_cannot_be_is_refused() {
    let mut stack = stack(&[]).await;
    stack.set("requests.allow_http", true);
    let cli = stack.cli();
    let add = ["trigger", "add", "--all", "--event", "target.broken", "--url", "http://127.0.0.1:9/"];
    let added = cli.json(&add).await;
    let id = added["id"].as_str().expect("an id");
    for count in 2..=4 {
        assert_eq!(cli.json(&["trigger", "update", id, "--new-secret"]).await["secretCount"], count);
    }
    let stored = stack.internal().value(r#"select "secrets"::text from "HttpTrigger""#).await;
    let refuses = async |options: &[&str], input: &str, code: i32, words: &str| {
        let output = cli.run_with_input(&[&["trigger", "update"], options].concat(), input).await;
        assert!(output.code == Some(code) && output.stderr.contains(words), "{options:?}: {output:?}");
    };
    refuses(&[id, "--new-secret"], "", 1, "at most 4 secrets").await;
    refuses(&[id, "--secret-file", "-"], "whsec_c2hvcnQ=", 1, "24 to 64").await;
    refuses(&[id, "--new-secret", "--drop-old-secrets", "--url", "no url"], "", 1, "URL").await;
    refuses(&[id], "", 2, "such as --url, --on or --new-secret").await;
    refuses(&[id, "--new-secret", "--secret-file", "-"], "", 2, "cannot be used with").await;
    refuses(&[&uuid::Uuid::nil().to_string(), "--new-secret"], "", 1, "there is no trigger").await;
    assert_eq!(stack.internal().value(r#"select "secrets"::text from "HttpTrigger""#).await, stored);
    let given = sign::new_secret().expect("a secret");
    let given = secrecy::ExposeSecret::expose_secret(&given);
    let options = ["trigger", "update", id, "--secret-file", "-", "--drop-old-secrets", "--json"];
    assert_eq!(cli.run_with_input(&options, given).await.json()["secretCount"], 1);
}
