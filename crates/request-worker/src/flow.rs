//! Sending the chains of one read: how many at once, how fast, and when to stop.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tenant_sync_core::config::Requests;
use tenant_sync_core::http::outcome::{Action, Class};
use tenant_sync_core::http::{Client, retry};
use tenant_sync_core::outbox::requests::{Attempted, Due, Fate, Settled, Standing};
use tenant_sync_core::queue::Places;
use tenant_sync_core::trace::Context;
use tokio_util::sync::CancellationToken;

use crate::breaker::Breaker;
use crate::call::{Called, Common};
use crate::chains::Chain;
use crate::meter::Meter;
use crate::pace::{Leave, Pace};
use crate::spans;

/// A destination gives its place up after this long, however much is left.
const TURN_TIME: Duration = Duration::from_secs(10);
/// What is under way this long after the worker was asked to stop is dropped; it comes again.
const STOP_WITHIN: Duration = Duration::from_secs(4);
/// A slower rate than one call in this time does not wait in a place.
pub(crate) const WAIT_IN_PLACE: Duration = Duration::from_secs(1);

/// Why nothing more is sent in this turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The destination rests: its breaker opened, it asked for a pause, or its rate says so.
    Rest(Duration),
    /// A batch that is not full waits for so long.
    Fill(Duration),
    /// The turn has had its time or its share, or the trigger is not what it was.
    Share,
    /// The receiver wants nothing more.
    Gone,
    /// A fault of ours.
    Ours(String),
    /// The worker stops.
    Shutdown,
}

/// One destination's turn, as far as it is about sending.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) client: Client,
    pub(crate) common: Arc<Common>,
    pub(crate) requests: Requests,
    pub(crate) stopping: CancellationToken,
    pub(crate) is_trigger: bool,
    pub(crate) parallelism: usize,
    pub(crate) breaker: Breaker,
    pub(crate) pace: Pace,
    pub(crate) places: Places,
    pub(crate) meter: Meter,
    pub(crate) began: Instant,
    /// The turn, if it is traced.
    pub(crate) trace: Option<Context>,
    /// Requests tried in this turn.
    pub(crate) tried: usize,
    /// Whether one of them was delivered.
    pub(crate) delivered: bool,
    /// The last failure of this turn.
    pub(crate) failed: Option<Class>,
    pub(crate) stop: Option<Stop>,
}

impl Flow {
    /// Sends chains side by side until all are done or there is a reason to stop; then what is under way is waited
    /// for, and the rest is left as it was.
    pub(crate) async fn send(&mut self, chains: Vec<Chain>) -> Vec<Attempted> {
        let mut attempts = Vec::new();
        let mut waiting: VecDeque<_> = chains.into_iter().map(Vec::into_iter).collect();
        let mut running = FuturesUnordered::new();
        let mut dropped = pin!(self.drops_calls());
        loop {
            let mut hold_back = None;
            while running.len() < self.at_once() && !waiting.is_empty() && self.goes_on() {
                if let Leave::After(wait) = self.pace.ask() {
                    hold_back = Some(wait);
                    break;
                }
                let Some(mut chain) = waiting.pop_front() else { break };
                let Some(call) = chain.next() else { continue };
                let (client, common, trace) = (self.client.clone(), Arc::clone(&self.common), self.trace);
                running.push(async move { (spans::call(trace, &client, &common, call).await, chain) });
            }
            if running.is_empty() {
                match hold_back {
                    None => break,
                    Some(wait) if wait > WAIT_IN_PLACE => {
                        self.stop = Some(Stop::Rest(wait));
                        break;
                    }
                    Some(_) => {}
                }
            }
            let paced = async {
                match hold_back {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some((called, rest)) = running.next() => {
                    let well = called.class == Class::Delivered;
                    self.take_in(called, &mut attempts);
                    // A chain goes on only behind what was delivered or is dead.
                    let settled = well || attempts.last().is_some_and(|last: &Attempted| last.fate == Fate::Dead);
                    if settled && rest.len() > 0 {
                        waiting.push_front(rest);
                    }
                }
                () = paced => {}
                () = &mut dropped => break,
            }
        }
        attempts
    }

    /// Returns when the worker was asked to stop and what is under way has had its time.
    pub(crate) fn drops_calls(&self) -> impl Future<Output = ()> + Send + use<> {
        let stopping = self.stopping.clone();
        async move {
            stopping.cancelled().await;
            tokio::time::sleep(STOP_WITHIN).await;
        }
    }

    /// How many calls may be under way.
    pub(crate) fn at_once(&self) -> usize {
        if self.breaker.probing() { 1 } else { self.parallelism }
    }

    /// Whether another call may begin.
    pub(crate) fn goes_on(&mut self) -> bool {
        if self.stop.is_none() {
            if self.stopping.is_cancelled() {
                self.stop = Some(Stop::Shutdown);
            } else if self.has_had_its_share() || self.began.elapsed() >= TURN_TIME {
                self.stop = Some(Stop::Share);
            }
        }
        self.stop.is_none()
    }

    /// While places are free nobody waits for this one, and coming back through the queue would be for nothing.
    fn has_had_its_share(&self) -> bool {
        self.tried >= self.requests.turn_rows && self.places.are_taken()
    }

    /// What a call means for its requests, for the destination, and for what is still to be sent.
    pub(crate) fn take_in(&mut self, called: Called, attempts: &mut Vec<Attempted>) {
        let class = called.class;
        let policy = class.policy();
        self.meter.count(policy.code, called.rows.len() as u64, called.took);
        self.breaker.record(class);
        self.tried += called.rows.len();
        match policy.action {
            Action::Done => self.delivered = true,
            Action::GiveBack => {
                self.stop = Some(Stop::Ours(called.error.unwrap_or_default()));
                return;
            }
            Action::Hold => self.rest(called.retry_after.unwrap_or_default()),
            Action::Pause if self.is_trigger => self.stop = Some(Stop::Gone),
            Action::Pause | Action::Retry => {}
        }
        if policy.action != Action::Done {
            self.failed = Some(class);
        }
        if self.breaker.is_open() && self.stop.is_none() {
            self.rest(self.breaker.wait(&self.requests, rand::random()));
        }
        let error = (policy.action != Action::Done).then(|| match &called.error {
            Some(detail) => format!("{} ({detail})", policy.sentence),
            None => policy.sentence.to_owned(),
        });
        // One for all of a batch, so that they are due together again.
        let luck = rand::random();
        for row in &called.rows {
            attempts.push(Attempted {
                id: row.id,
                fate: self.fate(row, policy.action, called.retry_after, luck),
                began: called.began,
                took: called.took,
                status: called.status,
                error_class: error.is_some().then_some(policy.code),
                error: error.clone(),
                excerpt: called.excerpt.clone(),
            });
        }
    }

    fn rest(&mut self, wait: Duration) {
        if !matches!(&self.stop, Some(Stop::Rest(longer)) if *longer >= wait) {
            self.stop = Some(Stop::Rest(wait));
        }
    }

    fn fate(&self, row: &Due, action: Action, retry_after: Option<Duration>, luck: f64) -> Fate {
        let schedule = &self.requests.retry_schedule;
        match (action, retry_after) {
            (Action::Done, _) => Fate::Delivered,
            // Whoever asks for pauses for longer than the schedule lasts fails like everybody else.
            (Action::Hold, Some(after)) if row.age < schedule.iter().sum::<Duration>() => {
                Fate::Again { after, counts: false }
            }
            _ => {
                let failures = usize::try_from(row.attempts).unwrap_or(0);
                match retry::after_failure(schedule, failures, luck) {
                    Some(after) => Fate::Again { after, counts: true },
                    None => Fate::Dead,
                }
            }
        }
    }

    /// Takes in what a settlement said; `false` = the turn is another worker's.
    pub(crate) fn learns(&mut self, settled: Settled) -> bool {
        if settled == Settled::Changed && self.stop.is_none() {
            self.stop = Some(Stop::Share);
        }
        settled != Settled::Lost
    }

    /// How the destination is doing after `attempts`.
    pub(crate) fn standing(&self, attempts: &[Attempted]) -> Standing {
        let rests_for = match &self.stop {
            Some(Stop::Rest(wait)) if self.failed.is_some() => Some(*wait),
            _ => None,
        };
        let delivered = attempts.iter().any(|attempt| attempt.fate == Fate::Delivered);
        let state = match () {
            () if self.breaker.is_open() => "broken",
            () if delivered || self.failed.is_none() => "ok",
            () => "retrying",
        };
        Standing { state, failures: self.breaker.failures(), rests_for }
    }
}
