//! RabbitMQ as far as it concerns us: a line a queue.

use maud::{Markup, html};

use super::format::{count, short};
use super::parts::{self, Level, badge};

/// Everything that the page shows.
#[derive(Debug, Clone)]
pub(crate) struct Queues {
    pub(crate) queues: Result<Vec<Queue>, String>,
    /// The RabbitMQ UI.
    pub(crate) management_url: Option<String>,
}

/// A queue.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    pub(crate) name: String,
    pub(crate) purpose: &'static str,
    pub(crate) ready: i64,
    pub(crate) unacked: Option<i64>,
    pub(crate) consumers: i64,
    /// Messages a second, in and out.
    pub(crate) rates: Option<(f64, f64)>,
    pub(crate) note: Option<(Level, String)>,
    pub(crate) href: Option<String>,
}

/// What moves by itself.
pub(crate) fn regions(page: &Queues) -> Vec<(&'static str, Markup)> {
    vec![("queues", queues(page))]
}

pub(crate) fn content(page: &Queues) -> Markup {
    html! {
        div.head {
            h1 { "Queues" }
            div.actions {
                @if let Some(url) = &page.management_url { a.button href=(url) rel="noreferrer" { "Open the RabbitMQ UI" } }
            }
        }
        section.card aria-labelledby="queues-title" {
            div.card-head { h2 #queues-title { "RabbitMQ" } p.muted { "Messages are copies: deleting every queue loses no change" } }
            div data-region="queues" { (queues(page)) }
        }
    }
}

fn queues(page: &Queues) -> Markup {
    let queues = match &page.queues {
        Ok(queues) => queues,
        Err(why) => return parts::failed("RabbitMQ cannot be asked", why),
    };
    if queues.is_empty() {
        return parts::empty("No queues yet", html! { "The first worker that reaches RabbitMQ makes them." });
    }
    html! {
        div.scroll tabindex="0" role="region" aria-label="Queues, scrollable" {
            table.stack {
                caption.unseen { "Queues in RabbitMQ" }
                thead { tr {
                    th scope="col" { "Queue" } th scope="col" { "State" } th.number scope="col" { "Waiting" } th.number scope="col" { "Being worked on" }
                    th.number scope="col" { "Consumers" } th.number scope="col" { "In, messages/s" } th.number scope="col" { "Out, messages/s" }
                } }
                tbody { @for queue in queues { (self::queue(queue)) } }
            }
        }
    }
}

fn queue(queue: &Queue) -> Markup {
    let dash = || "–".to_owned();
    html! {
        tr {
            th scope="row" {
                @match &queue.href { Some(href) => a href=(href) rel="noreferrer" { (queue.name) }, None => (queue.name) }
                span.sub { (queue.purpose) }
            }
            td data-label="State" {
                @match &queue.note { Some((level, why)) => (badge(*level, why)), None => (badge(Level::Good, "ok")) }
            }
            td.number data-label="Waiting" { (count(queue.ready)) }
            td.number data-label="Being worked on" { (queue.unacked.map_or_else(dash, count)) }
            td.number data-label="Consumers" { (count(queue.consumers)) }
            td.number data-label="In, messages/s" { (queue.rates.map_or_else(dash, |r| short(r.0))) }
            td.number data-label="Out, messages/s" { (queue.rates.map_or_else(dash, |r| short(r.1))) }
        }
    }
}
