//! The branch of the road that HTTP requests take, from the outbox to the endpoints. Pure.

use super::facts::{Broker, Facts};
use super::judge::{DUE_TOO_LONG, Standing, Step};
use super::road::{age, flow, halts, running, standing, waiting};
use crate::pages::view::format::{count, things};
use crate::pages::view::parts::Level;
use crate::pages::view::road::{Road, Station};

const QUEUE: &str = "tenant-sync.requests";

/// Stations and stretches of HTTP requests.
pub(super) fn branch(facts: &Facts) -> Road {
    let (poller, workers) = (Step::poller(facts), Step::request_workers(facts));
    let jobs = queue(facts).and_then(|queue| queue.rates);
    let unclaimed = facts.requests.due.count > 0
        && (poller.standing() != Standing::Runs
            || facts.requests.due.oldest.is_some_and(|oldest| oldest > DUE_TOO_LONG));
    Road {
        stations: vec![
            outbox(facts, unclaimed),
            broker(facts),
            request_workers(facts, &workers),
            endpoints(facts),
        ],
        flows: vec![
            flow(jobs.map(|(published, _)| published), "jobs/s", unclaimed),
            flow(jobs.map(|(_, acknowledged)| acknowledged), "jobs/s", halts(&workers)),
            flow(facts.rates.requests, "requests/s", halts(&workers)),
        ],
    }
}

fn queue(facts: &Facts) -> Option<&super::facts::Depth> {
    match &facts.queues {
        Broker::Queues(queues) => queues.iter().find(|queue| queue.name == QUEUE),
        _ => None,
    }
}

fn outbox(facts: &Facts, unclaimed: bool) -> Station {
    let requests = facts.requests;
    let (level, why) = if unclaimed {
        ((Level::Bad, "stuck"), Some("Due, and no poller takes them up".to_owned()))
    } else if requests.dead.count > 0 {
        ((Level::Warn, "given up"), Some("Some were given up".to_owned()))
    } else {
        ((Level::Good, "ok"), None)
    };
    let shown = vec![
        ("waiting", waiting(requests.waiting)),
        ("given up", waiting(requests.dead)),
        ("oldest", age(requests.waiting.oldest)),
    ];
    Station { name: "Outbox", href: Some("/requests"), level: Some(level), why, facts: shown }
}

fn broker(facts: &Facts) -> Station {
    let shown = queue(facts).map(|queue| vec![("waiting", count(queue.ready))]).unwrap_or_default();
    let level = queue(facts).map(|_| (Level::Good, "answers"));
    Station { name: "RabbitMQ, requests", href: Some("/queues"), level, why: None, facts: shown }
}

fn request_workers(facts: &Facts, step: &Step<'_>) -> Station {
    let (level, why) = match step.standing() {
        Standing::Missing if !step.is_needed() => {
            ((Level::Off, "none runs"), Some("None is needed yet".to_owned()))
        }
        _ => standing(step),
    };
    let shown = vec![("running", running(facts, step.kind)), ("sending to", count(facts.requests.running))];
    Station { name: "Request workers", href: Some("#workers-title"), level: Some(level), why, facts: shown }
}

fn endpoints(facts: &Facts) -> Station {
    let requests = facts.requests;
    let (level, why) = if requests.broken_triggers > 0 {
        let broken = things(requests.broken_triggers, "trigger is", "triggers are");
        (Some((Level::Bad, "trigger broken")), Some(format!("{broken} broken")))
    } else if requests.broken_destinations > 0 {
        let failing = things(requests.broken_destinations, "endpoint fails", "endpoints fail");
        (Some((Level::Warn, "trouble")), Some(failing))
    } else if requests.paused_triggers > 0 {
        let paused = things(requests.paused_triggers, "trigger is", "triggers are");
        (Some((Level::Off, "paused")), Some(format!("{paused} paused")))
    } else if requests.active_triggers > 0 {
        (Some((Level::Good, "ok")), None)
    } else {
        (None, None)
    };
    let shown = vec![
        ("active triggers", count(requests.active_triggers)),
        ("paused", count(requests.paused_triggers)),
        ("broken", count(requests.broken_triggers)),
    ];
    Station { name: "Endpoints", href: Some("/triggers"), level, why, facts: shown }
}
