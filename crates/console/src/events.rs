//! `…/events`: the state of everything as server-sent events, about once a second.
//!
//! One look serves all streams of a process, and nobody looks while nobody listens. A stream holds only the newest state,
//! so a slow reader misses some and piles up none.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, stream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::api::sync;
use crate::http::{Problem, Query};
use crate::routes::{Routes, endpoint};
use crate::state::Console;
use crate::status::{Overview, overview};

const EVERY: Duration = Duration::from_secs(1);
/// A comment that keeps proxies from closing a silent stream.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// What the streams share.
#[derive(Debug)]
pub(crate) struct Events {
    room: Arc<Semaphore>,
    newest: watch::Sender<Option<Arc<News>>>,
    wanted: Notify,
}

/// One event.
#[derive(Debug)]
struct News {
    number: u64,
    name: &'static str,
    data: String,
}

impl Events {
    pub(crate) fn new(streams_max: usize) -> Self {
        let room = Arc::new(Semaphore::new(streams_max));
        Self { room, newest: watch::Sender::new(None), wanted: Notify::new() }
    }

    /// Room for one more stream, as long as it is held.
    pub(crate) fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let place = Arc::clone(&self.room).try_acquire_owned();
        place.map_err(|_| Problem::busy("console.max_streams streams are open already"))
    }
}

/// Looks while somebody listens, until `stopping`.
pub(crate) async fn run(console: Console, stopping: CancellationToken) -> Result<(), Infallible> {
    let mut number = 0;
    while !stopping.is_cancelled() {
        let wanted = console.events.wanted.notified();
        if console.events.newest.receiver_count() == 0 {
            stopping.run_until_cancelled(wanted).await;
            continue;
        }
        let Some(seen) = stopping.run_until_cancelled(overview(&console)).await else { break };
        number += 1;
        let (name, data) = match seen {
            Ok(overview) => ("overview", serde_json::to_string(&overview)),
            Err(problem) => {
                console.told.fault_in_stream(sync!("/events"), &problem);
                ("problem", serde_json::to_string(&problem))
            }
        };
        match data {
            Ok(data) => drop(console.events.newest.send_replace(Some(Arc::new(News { number, name, data })))),
            Err(error) => console.told.fault("GET", sync!("/events"), &error.to_string()),
        }
        let pause = async {
            tokio::select! {
                () = wanted => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        };
        stopping.run_until_cancelled(pause).await;
    }
    Ok(())
}

pub(crate) fn routes() -> Routes {
    let summary = "The state of everything, about once a second: events `overview`, or `problem` where it cannot be told";
    Routes::default().get(sync!("/events"), listen, endpoint(summary).streams::<Overview>())
}

struct Listening {
    newest: watch::Receiver<Option<Arc<News>>>,
    stopping: CancellationToken,
    _place: OwnedSemaphorePermit,
}

async fn listen(
    State(console): State<Console>,
    query: Query,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    query.none()?;
    let place = console.events.place()?;
    let mut newest = console.events.newest.subscribe();
    // What was seen while others listened may be old: this stream begins with the next look.
    newest.mark_unchanged();
    console.events.wanted.notify_one();
    let listening = Listening { newest, stopping: console.stopping.clone(), _place: place };
    let events = stream::unfold(listening, |mut listening| async move {
        let changed = listening.stopping.run_until_cancelled(listening.newest.changed()).await;
        if !matches!(changed, Some(Ok(()))) {
            return None;
        }
        let news = listening.newest.borrow_and_update().clone()?;
        let event = Event::default().id(news.number.to_string()).event(news.name).data(&news.data);
        Some((Ok(event), listening))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(SIGN_OF_LIFE)))
}
