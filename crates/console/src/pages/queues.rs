//! The page of queues.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

use super::live;
use super::shell::{Shell, Trouble, quoted};
use super::view::frame::Section;
use super::view::parts::Level;
use super::view::queues::{self as view, Queue, Queues};
use crate::access::Operator;
use crate::http::Query;
use crate::state::Console;
use crate::status::model::{QueueStatus, QueuesStatus};

const EVERY: Duration = Duration::from_secs(2);

pub(super) fn router() -> Router<Console> {
    Router::new().route("/queues", get(show)).route("/live/queues", get(stream))
}

async fn show(State(console): State<Console>, shell: Shell, query: Query) -> Result<Response, Trouble> {
    query.none()?;
    let page = page(&console.queues.status().await);
    Ok(shell.page(Section::Queues, "Queues", Some("/live/queues"), &view::content(&page)))
}

async fn stream(State(console): State<Console>, _: Operator) -> Response {
    live::stream(&console, EVERY, async |console| Ok(view::regions(&page(&console.queues.status().await))))
}

fn page(status: &QueuesStatus) -> Queues {
    let url = status.management_url.as_deref();
    let shown = |queue: &QueueStatus| shown(queue, url);
    Queues {
        queues: if status.known {
            Ok(status.queues.iter().filter(|queue| queue.exists).map(shown).collect())
        } else {
            Err(match url {
                None => "Set rabbitmq.management_url to see depths and rates here; syncing does not need it."
                    .to_owned(),
                Some(_) => {
                    format!("Its management API: {}.", status.reason.as_deref().unwrap_or("no answer"))
                }
            })
        },
        management_url: status.management_url.clone(),
    }
}

fn shown(queue: &QueueStatus, url: Option<&str>) -> Queue {
    let ready = queue.ready.unwrap_or_default();
    let consumers = queue.consumers.unwrap_or_default();
    let dead = queue.name.ends_with(".dead");
    let note = if dead && ready > 0 {
        Some((Level::Warn, "to be looked at".to_owned()))
    } else if !dead && consumers == 0 {
        Some((if ready > 0 { Level::Bad } else { Level::Off }, "no consumer".to_owned()))
    } else {
        None
    };
    Queue {
        name: queue.name.clone(),
        purpose: purpose(&queue.name),
        ready,
        unacked: queue.unacknowledged,
        consumers,
        rates: queue.published_per_second.zip(queue.acknowledged_per_second),
        note,
        href: url.map(|url| format!("{url}/#/queues?filter={}", quoted(&queue.name))),
    }
}

fn purpose(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("live") => "Changes",
        Some("bulk") => "First copies and large imports, in slices",
        Some("requests") => "Destinations of HTTP requests, each with what is due for it",
        Some("dead") => "What no worker could read",
        _ => "",
    }
}
