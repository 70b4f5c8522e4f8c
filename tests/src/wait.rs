//! Waiting for a condition, with a deadline. Tests wait for nothing else.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Asks `condition` until it says `Ok`, and returns what it said.
///
/// # Panics
/// It did not within `deadline`; the message holds `what` and the last reason.
pub async fn eventually<T, E: Display>(
    deadline: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let end = Instant::now() + deadline;
    let mut pause = Duration::from_millis(5);
    let mut reason = "it was never asked".to_owned();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, condition()).await {
            Ok(Ok(value)) => return value,
            Ok(Err(error)) => reason = error.to_string(),
            Err(_) => panic!("waited {deadline:?} for {what}: no answer; before that: {reason}"),
        }
        assert!(Instant::now() < end, "waited {deadline:?} for {what}: {reason}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// The same for a condition that needs no runtime, for use while dropping.
pub fn eventually_blocking(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    while !condition() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}
