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
use tenant_sync_tests::receiver::{Received, Receiver};

use super::{SOON, road, stack};

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
