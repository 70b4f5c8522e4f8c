//! What the first page is made from, as plain values.

use std::time::Duration;

use tenant_sync_core::target::class::ErrorClass;
use time::OffsetDateTime;

/// How the installation is at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) now: OffsetDateTime,
    pub(crate) switches: Switched,
    /// Changed rows without an id.
    pub(crate) unsequenced: Waiting,
    /// Targets with something to do that nobody took up yet.
    pub(crate) due: Waiting,
    /// Targets that were handed to RabbitMQ, or are worked on.
    pub(crate) taken: i64,
    /// Of those, the ones whose lease is over.
    pub(crate) lapsed: i64,
    /// HTTP requests.
    pub(crate) requests: Requests,
    pub(crate) queues: Broker,
    pub(crate) workers: Vec<Running>,
    /// How many targets are in each state.
    pub(crate) states: Vec<(String, i64)>,
    /// How many are in trouble for each reason, most first.
    pub(crate) causes: Vec<(String, i64)>,
    pub(crate) lag: Option<Lag>,
    pub(crate) rates: Rates,
}

/// Which switches are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Switched {
    pub(crate) sequencer: bool,
    pub(crate) poller: bool,
    pub(crate) sync_engine: bool,
    pub(crate) requests: bool,
}

/// Something that waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) count: i64,
    /// It was counted up to a limit only.
    pub(crate) at_least: bool,
    /// How long the oldest has waited.
    pub(crate) oldest: Option<Duration>,
}

/// How HTTP requests stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Requests {
    /// Requests that wait.
    pub(crate) waiting: Waiting,
    /// Requests that were given up.
    pub(crate) dead: Waiting,
    /// Destinations that are due and that nobody took up.
    pub(crate) due: Waiting,
    /// Destinations in RabbitMQ that no worker has begun.
    pub(crate) queued: Waiting,
    /// Destinations that a worker sends to.
    pub(crate) running: i64,
    /// Destinations that answer with failures only.
    pub(crate) broken_destinations: i64,
    pub(crate) active_triggers: i64,
    pub(crate) paused_triggers: i64,
    pub(crate) broken_triggers: i64,
}

/// What is known of RabbitMQ.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Broker {
    /// `rabbitmq.management_url` is not set.
    NotAsked,
    /// Its management does not answer: why.
    Silent(String),
    Queues(Vec<Depth>),
}

/// A queue.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Depth {
    pub(crate) name: String,
    pub(crate) ready: i64,
    pub(crate) unacked: i64,
    pub(crate) consumers: i64,
    /// Messages a second in, and out.
    pub(crate) rates: Option<(f64, f64)>,
}

/// A worker that runs, or did a moment ago.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Running {
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) started_at: OffsetDateTime,
    pub(crate) seen_at: OffsetDateTime,
    pub(crate) alive: bool,
    pub(crate) last_iteration_at: Option<OffsetDateTime>,
    /// What it does a second, with its unit.
    pub(crate) throughput: Option<(f64, &'static str)>,
}

/// How old the oldest missing change is, over the targets that are looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lag {
    /// Of half of the targets it is no more.
    pub(crate) p50: Duration,
    /// Of 99 in 100 it is no more.
    pub(crate) p99: Duration,
}

/// What moves in a second; `None` = nobody knows yet.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Rates {
    /// Changes that got an id.
    pub(crate) changes: Option<f64>,
    /// Jobs that were published.
    pub(crate) jobs: Option<f64>,
    /// Rows written to targets.
    pub(crate) rows: Option<f64>,
    /// HTTP requests that arrived.
    pub(crate) requests: Option<f64>,
}

impl Facts {
    pub(super) fn running(&self, kind: &str) -> usize {
        self.workers.iter().filter(|worker| worker.kind == kind && worker.alive).count()
    }

    pub(super) fn in_state(&self, states: &[&str]) -> i64 {
        self.states.iter().filter(|(state, _)| states.contains(&state.as_str())).map(|(_, n)| n).sum()
    }

    pub(super) fn targets(&self) -> i64 {
        self.states.iter().map(|(_, n)| n).sum()
    }
}

/// The name of an error class for people: `passwordRefused` is "password refused".
pub(crate) fn words_of(class: &str) -> String {
    let mut words = String::with_capacity(class.len() + 4);
    for letter in class.chars() {
        if letter.is_uppercase() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    match class {
        "ours" => "a fault of this installation".to_owned(),
        "unknown" => "an unknown error".to_owned(),
        "tlsFailed" => "TLS failed".to_owned(),
        _ => words,
    }
}

/// What to do about an error class.
pub(crate) fn advice_of(class: &str) -> &'static str {
    ErrorClass::from_code(class).map_or("Look at the targets for more.", ErrorClass::advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_reads_as_words() {
        assert_eq!(words_of("passwordRefused"), "password refused");
        for class in ErrorClass::ALL {
            let words = words_of(class.code());
            assert!(!words.is_empty() && words.trim() == words, "{words}");
            assert!(advice_of(class.code()).ends_with('.'), "{class}");
        }
    }
}
