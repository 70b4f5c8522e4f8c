//! What HTTP requests are measured against: a loop of nothing but `reqwest`, in a process of its own as the worker is,
//! so that both have the same way to the receiver.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::json;

use super::cost::cpu_seconds;

/// What a loop took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Took {
    pub(crate) per_second: f64,
    /// CPU of the loop's process for each request.
    pub(crate) cpu_micros: f64,
}

/// Runs the loop in a process of its own.
pub(crate) async fn run(url: &str, requests: usize, at_once: usize) -> Took {
    let own = std::env::current_exe().expect("the program's own path");
    let arguments = ["bare-loop".to_owned(), url.to_owned(), requests.to_string(), at_once.to_string()];
    let output = tokio::task::spawn_blocking(move || Command::new(own).args(arguments).output());
    let output = output.await.expect("waited for").expect("the loop runs");
    assert!(output.status.success(), "the loop failed: {output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let mut numbers = text.split_whitespace().map(|number| number.parse().expect("a number"));
    let mut next = || numbers.next().expect("two numbers");
    Took { per_second: next(), cpu_micros: next() }
}

/// The process itself: sends, and prints requests a second and microseconds of CPU for each.
pub(crate) async fn main(mut arguments: impl Iterator<Item = String>) {
    let mut next = || arguments.next().expect("bare-loop URL REQUESTS AT_ONCE");
    let (url, requests, at_once): (String, usize, usize) =
        (next(), next().parse().expect("a number"), next().parse().expect("a number"));
    // The library wants one, also for http.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client =
        reqwest::Client::builder().no_proxy().pool_max_idle_per_host(at_once).build().expect("a client");
    let left = Arc::new(AtomicUsize::new(requests));
    let body =
        json!({"type": "test.event", "timestamp": "2026-01-01T00:00:00Z", "data": {"n": 12345}}).to_string();
    let (began, cpu) = (Instant::now(), cpu_seconds(std::process::id()));
    let mut senders = Vec::new();
    for _ in 0..at_once {
        let (client, left, url, body) = (client.clone(), Arc::clone(&left), url.clone(), body.clone());
        senders.push(tokio::spawn(async move {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                let sent =
                    client.post(&url).header("content-type", "application/json").body(body.clone()).send();
                assert!(sent.await.expect("an answer").bytes().await.is_ok());
            }
        }));
    }
    for sender in senders {
        sender.await.expect("ends");
    }
    let per_second = requests as f64 / began.elapsed().as_secs_f64();
    let micros = (cpu_seconds(std::process::id()) - cpu) * 1e6 / requests as f64;
    println!("{per_second} {micros}");
}
