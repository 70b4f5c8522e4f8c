//! Streams of server-sent events: the regions of a page, each when it has changed.
//!
//! | event | data |
//! |---|---|
//! | `beat` | the server's time; comes with every look, so a page knows that what it shows is true |
//! | `region` | name of the region, a line break, its HTML |
//! | `trouble` | why there is nothing new, in words |
//! | `again` | the stream ends: connect again |

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use maud::Markup;
use time::OffsetDateTime;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::view::format;
use crate::http::Problem;
use crate::state::Console;

/// Regions of a page by name.
pub(super) type Regions = Vec<(&'static str, Markup)>;

/// A stream ends after this, so that a session that is over does not go on for longer.
const LASTS: Duration = Duration::from_secs(600);

/// What a stream remembers.
struct Stream<L> {
    console: Console,
    load: L,
    ticks: Interval,
    ends: Instant,
    /// Hash of what was sent last.
    sent: HashMap<&'static str, u64>,
    over: bool,
    _place: OwnedSemaphorePermit,
}

/// Looks `every` so often, and sends what differs from what was sent before.
pub(super) fn stream<L, F>(console: &Console, every: Duration, load: L) -> Response
where
    L: Fn(Console) -> F + Send + 'static,
    F: Future<Output = Result<Regions, Problem>> + Send + 'static,
{
    let place = match console.events.place() {
        Ok(place) => place,
        Err(problem) => return problem.into_response(),
    };
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let begun = Stream {
        console: console.clone(),
        load,
        ticks,
        ends: Instant::now() + LASTS,
        sent: HashMap::new(),
        over: false,
        _place: place,
    };
    let events = stream::unfold(begun, |mut stream| async move {
        let events = stream.next().await?;
        Some((stream::iter(events.into_iter().map(Ok::<_, Infallible>)), stream))
    });
    Sse::new(events.flatten()).into_response()
}

impl<L, F> Stream<L>
where
    L: Fn(Console) -> F,
    F: Future<Output = Result<Regions, Problem>>,
{
    /// What is to be sent next; `None` = the end.
    async fn next(&mut self) -> Option<Vec<Event>> {
        if self.over || self.console.stopping.run_until_cancelled(self.ticks.tick()).await.is_none() {
            return None;
        }
        if Instant::now() >= self.ends {
            self.over = true;
            return Some(vec![Event::default().event("again").data("now")]);
        }
        match self.console.stopping.run_until_cancelled((self.load)(self.console.clone())).await? {
            Ok(regions) => Some(self.changed(regions)),
            Err(problem) => {
                self.console.told.fault_in_stream("/live", &problem);
                Some(vec![Event::default().event("trouble").data(problem.detail())])
            }
        }
    }

    fn changed(&mut self, regions: Regions) -> Vec<Event> {
        let beat = Event::default().event("beat").data(format::machine(OffsetDateTime::now_utc()));
        let mut events = vec![beat];
        for (name, html) in regions {
            let html = html.into_string();
            let mut hasher = DefaultHasher::new();
            html.hash(&mut hasher);
            if self.sent.insert(name, hasher.finish()) != Some(hasher.finish()) {
                // A carriage return cannot be sent; HTML takes it as a line break.
                let data = format!("{name}\n{html}").replace('\r', "\n");
                events.push(Event::default().event("region").data(data));
            }
        }
        events
    }
}
