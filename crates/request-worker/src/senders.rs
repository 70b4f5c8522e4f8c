//! Senders: tasks that send one request after the other for the turn whose stream they belong to. What they share, they
//! hold for as long as it takes to write an answer down and to take the next request.

use std::fmt;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenant_sync_core::http::Client;
use tenant_sync_core::outbox::requests::Due;
use tenant_sync_core::trace::Context;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};

use crate::ahead::{Ahead, Unsettled};
use crate::call::{Called, Common};
use crate::flow::Flow;
use crate::pace::Leave;
use crate::spans;

/// What the senders of a turn share with the one who reads and settles for them.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) flow: Flow,
    pub(crate) ahead: Ahead,
    pub(crate) unsettled: Unsettled,
    /// Calls that were begun and have not ended.
    pub(crate) under_way: usize,
    /// Whether somebody reads already.
    pub(crate) reading: bool,
}

/// Whether another call may begin.
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart where it is made; a box would be made for each request"
)]
enum Begin {
    Now(Due),
    /// The rate says: not yet.
    Later(Duration),
    Not,
}

impl Progress {
    fn begin(&mut self) -> Begin {
        let Self { flow, ahead, unsettled, under_way, .. } = self;
        let room = *under_way < flow.at_once() && unsettled.have_room_beside(*under_way);
        if ahead.is_empty() || !room || !flow.goes_on() {
            return Begin::Not;
        }
        if let Leave::After(wait) = flow.pace.ask() {
            return Begin::Later(wait);
        }
        let Some(row) = ahead.next() else { return Begin::Not };
        *under_way += 1;
        Begin::Now(row)
    }

    /// Writes down what a call came to. `true`: something is to be done that no sender does.
    fn take_in(&mut self, called: Called) -> bool {
        self.under_way -= 1;
        let Self { flow, unsettled, .. } = self;
        let is_news = unsettled.grows(|attempts| flow.take_in(called, attempts));
        is_news || (!self.reading && self.ahead.reads_from().is_some())
    }
}

/// The senders of one turn. Dropped, what they have under way is dropped with them.
pub(crate) struct Senders {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

struct Shared {
    progress: Mutex<Progress>,
    /// Somebody else is to look.
    news: Notify,
    client: Client,
    common: Arc<Common>,
    trace: Option<Context>,
}

impl fmt::Debug for Senders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Senders({})", self.tasks.len())
    }
}

impl Senders {
    /// Nothing is sent yet.
    pub(crate) fn new(flow: Flow, page: Vec<Due>) -> Self {
        let shared = Shared {
            news: Notify::new(),
            client: flow.client.clone(),
            common: Arc::clone(&flow.common),
            trace: flow.trace,
            progress: Mutex::new(Progress {
                flow,
                ahead: Ahead::of(page),
                unsettled: Unsettled::default(),
                under_way: 0,
                reading: false,
            }),
        };
        Self { shared: Arc::new(shared), tasks: JoinSet::new() }
    }

    /// What they have come to. They wait while it is held.
    pub(crate) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.shared.progress()
    }

    /// Begins as many calls as may begin. Returns how long the rate holds back what else could.
    pub(crate) fn start(&mut self) -> Option<Duration> {
        loop {
            let begin = self.progress().begin();
            match begin {
                Begin::Now(row) => {
                    self.tasks.spawn(send(Arc::clone(&self.shared), row));
                }
                Begin::Later(wait) => return Some(wait),
                Begin::Not => return None,
            }
        }
    }

    /// Returns when something may have changed for the one who reads, settles and starts.
    pub(crate) async fn news(&mut self) {
        tokio::select! {
            () = self.shared.news.notified() => {}
            Some(ended) = self.tasks.join_next() => ended.unwrap_or_else(pass_on),
        }
    }

    /// Drops what is under way.
    pub(crate) async fn drop_calls(&mut self) {
        self.tasks.shutdown().await;
        self.progress().under_way = 0;
    }

    /// The turn's flow again, once they all have ended.
    pub(crate) async fn end(mut self) -> Option<Flow> {
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap_or_else(pass_on);
        }
        let shared = Arc::into_inner(self.shared)?;
        Some(shared.progress.into_inner().unwrap_or_else(PoisonError::into_inner).flow)
    }
}

/// A panic is the turn's, as if the call were made in it.
fn pass_on(error: JoinError) {
    if let Ok(panic) = error.try_into_panic() {
        resume_unwind(panic);
    }
}

impl Shared {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what a call came to, and takes the next request if its call may begin at once.
    fn go_on(&self, called: Called) -> Option<Due> {
        let mut progress = self.progress();
        if progress.take_in(called) {
            self.news.notify_one();
        }
        match progress.begin() {
            Begin::Now(row) => Some(row),
            // Whoever waits for this sender's end looks again.
            Begin::Later(_) | Begin::Not => None,
        }
    }
}

/// A sender: sends `row`, and what comes next for as long as it may.
async fn send(shared: Arc<Shared>, row: Due) {
    let mut next = Some(row);
    while let Some(row) = next {
        let called = spans::call(shared.trace, &shared.client, &shared.common, vec![row]).await;
        next = shared.go_on(called);
    }
}
