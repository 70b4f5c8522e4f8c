//! Signatures, as receivers check them: with the specification's own libraries.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use standardwebhooks::Webhook;
use tenant_sync_core::http::sign;
use tenant_sync_tests::endpoint::Endpoint;
use tenant_sync_tests::pids::project_root;
use tenant_sync_tests::ports::free_port;
use tenant_sync_tests::receiver::{Received, Receiver};
use tokio::net::TcpStream;

use super::{FAILS, SOON, road, stack, until};

fn verifies(secret: &SecretString, received: &Received) -> Result<(), standardwebhooks::WebhookError> {
    let mut headers = reqwest::header::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, received.header(name).parse().expect("a header"));
    }
    Webhook::new(secret.expose_secret())?.verify(received.body.as_bytes(), &headers)
}

/// Checks a request with the Rust library.
pub(super) fn verified(secret: &SecretString, received: &Received) {
    verifies(secret, received).unwrap_or_else(|error| panic!("{error}: {received:?}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_secret_verifies_while_one_replaces_another() {
    let stack = stack(&[]).await;
    let receiver = Receiver::start().await;
    let mut endpoint = Endpoint::register(&stack, &receiver.url(), "").await;
    let _road = road(&stack, &[]).await;
    let old = endpoint.secrets[0].clone();
    let new = sign::new_secret().expect("a secret");
    let asymmetric = SecretString::from(format!("whsk_{}", STANDARD.encode(rand::random::<[u8; 32]>())));
    let generations = [
        vec![old.clone()],
        vec![new.clone(), old.clone()],
        vec![new.clone()],
        vec![asymmetric.clone(), new.clone()],
    ];
    for (turn, secrets) in generations.into_iter().enumerate() {
        endpoint.rotate(secrets).await;
        endpoint.send(turn, 1, 0).await;
        endpoint.drained(SOON).await;
    }
    let received = receiver.received();
    assert_eq!(received.len(), 4);
    let by = |secret: &SecretString| received.iter().map(|r| verifies(secret, r).is_ok()).collect::<Vec<_>>();
    assert_eq!(by(&old), [true, true, false, false]);
    assert_eq!(by(&new), [false, true, true, true]);

    let last = &received[3];
    let public = sign::public_key(&asymmetric).expect("a key").expect("a public one");
    let public = STANDARD.decode(public.trim_start_matches("whpk_")).expect("base64");
    let signature = last.header("webhook-signature").split(' ').find_map(|part| part.strip_prefix("v1a,"));
    let signature = STANDARD.decode(signature.expect("an asymmetric one")).expect("base64");
    let signed = format!("{}.{}.{}", last.id(), last.header("webhook-timestamp"), last.body);
    UnparsedPublicKey::new(&ED25519, &public).verify(signed.as_bytes(), &signature).expect("verifies");
}

/// Reads `{secret, body, headers}` and fails unless the library of JavaScript accepts it.
const SCRIPT: &str = r"
const { Webhook } = require('standardwebhooks');
const request = JSON.parse(require('fs').readFileSync(0, 'utf8'));
new Webhook(request.secret).verify(request.body, request.headers);
";

#[tokio::test(flavor = "multi_thread")]
async fn the_library_of_another_language_accepts_what_is_sent_and_nothing_else() {
    let Some(modules) = std::env::var_os("TENANT_SYNC_TEST_WEBHOOKS").map(PathBuf::from) else {
        return eprintln!(
            "skipped: the library standardwebhooks of JavaScript is not here (deploy/with-services --versions)"
        );
    };
    let accepts = |secret: &str, body: &str, received: &Received| {
        let mut node = Command::new("node")
            .args(["-e", SCRIPT])
            .env("NODE_PATH", &modules)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("node");
        let request = json!({"secret": secret, "body": body, "headers": received.headers});
        node.stdin.take().expect("a pipe").write_all(request.to_string().as_bytes()).expect("written");
        node.wait().expect("node ends").success()
    };
    let stack = stack(&[]).await;
    let receiver = Receiver::start().await;
    let endpoint = Endpoint::register(&stack, &receiver.url(), "").await;
    let _road = road(&stack, &[]).await;
    endpoint.send(0, 3, 0).await;
    endpoint.drained(SOON).await;
    let secret = endpoint.secrets[0].expose_secret();
    for received in receiver.received() {
        assert!(accepts(secret, &received.body, &received), "{received:?}");
        assert!(!accepts(secret, &received.body.replace("test", "best"), &received));
    }
    let other = sign::new_secret().expect("a secret");
    let received = &receiver.received()[0];
    assert!(!accepts(other.expose_secret(), &received.body, received));
}

/// The program of the README, as it stands there.
fn receiver_of_the_readme() -> String {
    let readme = std::fs::read_to_string(project_root().join("README.md")).expect("the README");
    let begun = readme.split("```python\n").nth(1).expect("a program in Python");
    begun.split("```").next().expect("its end").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receiver_of_the_readme_takes_each_event_once_and_nothing_unsigned() {
    if Command::new("python3").arg("--version").output().is_err() {
        return eprintln!("skipped: python3 is not installed");
    }
    let program = receiver_of_the_readme();
    assert_eq!(program.lines().filter(|line| !line.is_empty()).count(), 15, "it is as short as it says");
    let stack = stack(&[("requests.retry_schedule", "100ms,1h")]).await;
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}/");
    let endpoint = Endpoint::register(&stack, &url, "").await;
    // One that signs with another secret.
    let stranger = Endpoint::register(&stack, &url, "").await;
    let mut python = Command::new("python3")
        .args(["-c", &program])
        .env("WEBHOOK_SECRET", endpoint.secrets[0].expose_secret())
        .env("PORT", port.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("python3");
    until("it to listen", async || TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
    let _road = road(&stack, &[FAILS]).await;
    endpoint.send(0, 3, 0).await;
    stranger.send(0, 1, 0).await;
    endpoint.drained(SOON).await;
    until("the stranger to be refused", async || {
        stranger.standing(r#""lastErrorClass", "lastStatus""#).await == "refused|401"
    })
    .await;
    let again = format!(
        r#"insert into "OutgoingRequest" (id, kind, "destinationId", position, "eventType", body)
           select "requestId", 'http', "destinationId", nextval('outgoing_request_seq'), "eventType", body
           from "HttpAttempt" where "destinationId" = '{0}' limit 1;
           insert into "OutgoingRequest" (kind, "destinationId", "askedBy") values ('deliveryAsk', '{0}', pg_current_xact_id())"#,
        endpoint.id
    );
    stack.internal().sql(&again).await;
    endpoint.drained(SOON).await;
    assert_eq!(endpoint.counts().await, "0|0|4|0");
    let _ = python.kill();
    let output = python.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().collect::<Vec<_>>(), ["test.event"; 3]);
}
