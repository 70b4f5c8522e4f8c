//! The road as the facts draw it. Pure.

use std::time::Duration;

use super::facts::{Broker, Facts, Waiting};
use super::judge::{Standing, Step};
use crate::pages::view::format::{count, counted, short, span};
use crate::pages::view::parts::Level;
use crate::pages::view::road::{Flow, FlowState, Road, Station};

/// Stations and stretches, from the application to the tenants.
pub(super) fn road(facts: &Facts) -> Road {
    let (sequencer, poller, workers) =
        (Step::sequencer(facts), Step::poller(facts), Step::sync_workers(facts));
    let rates = facts.rates;
    Road {
        stations: vec![
            plain("Application"),
            postgres(facts),
            station(
                &sequencer,
                "Sequencer",
                vec![("running", running(facts, "sequencer"))],
                facts.unsequenced.oldest,
            ),
            outbox(facts, &poller),
            broker(facts),
            sync_workers(facts, &workers),
            targets(facts),
        ],
        flows: vec![
            flow(rates.changes, "changes/s", false),
            flow(rates.changes, "ids/s", halts(&sequencer)),
            flow(rates.changes, "changes/s", halts(&sequencer)),
            flow(rates.jobs, "jobs/s", halts(&poller)),
            flow(rates.jobs, "jobs/s", halts(&workers)),
            flow(rates.rows, "rows/s", halts(&workers)),
        ],
    }
}

fn plain(name: &'static str) -> Station {
    Station { name, href: None, level: None, why: None, facts: Vec::new() }
}

/// Whether something waits at a step that does not work.
pub(super) fn halts(step: &Step<'_>) -> bool {
    step.standing() != Standing::Runs && step.waits.is_some()
}

pub(super) fn flow(rate: Option<f64>, unit: &'static str, stuck: bool) -> Flow {
    let state = match rate {
        _ if stuck => FlowState::Stuck,
        Some(rate) if rate > 0.0 => FlowState::Moving,
        _ => FlowState::Idle,
    };
    Flow { rate: rate.map(short), unit, state }
}

pub(super) fn running(facts: &Facts, kind: &str) -> String {
    facts.running(kind).to_string()
}

pub(super) fn age(oldest: Option<Duration>) -> String {
    oldest.map_or_else(|| "none".to_owned(), span)
}

pub(super) fn waiting(waiting: Waiting) -> String {
    counted(waiting.count, waiting.at_least)
}

fn station(
    step: &Step<'_>,
    name: &'static str,
    mut facts: Vec<(&'static str, String)>,
    oldest: Option<Duration>,
) -> Station {
    facts.push(("oldest", age(oldest)));
    let (level, why) = standing(step);
    Station { name, href: Some("#workers-title"), level: Some(level), why, facts }
}

pub(super) fn standing(step: &Step<'_>) -> ((Level, &'static str), Option<String>) {
    match step.standing() {
        Standing::Runs => ((Level::Good, "runs"), None),
        Standing::Off => ((Level::Off, "off"), Some("Switched off in the fusebox".to_owned())),
        Standing::Missing => ((Level::Bad, "none runs"), Some(format!("Start a {}", step.kind))),
        Standing::Stuck => ((Level::Bad, "stuck"), Some("Does not get on".to_owned())),
    }
}

fn postgres(facts: &Facts) -> Station {
    Station {
        name: "Internal Postgres",
        href: None,
        level: Some((Level::Good, "answers")),
        why: None,
        facts: vec![("without id", waiting(facts.unsequenced))],
    }
}

fn outbox(facts: &Facts, step: &Step<'_>) -> Station {
    let mut shown = vec![("pollers", running(facts, "poller")), ("due", waiting(facts.due))];
    if facts.lapsed > 0 {
        shown.push(("lapsed", count(facts.lapsed)));
    }
    station(step, "Outbox and poller", shown, facts.due.oldest)
}

fn broker(facts: &Facts) -> Station {
    let (level, why, shown) = match &facts.queues {
        Broker::NotAsked => (None, Some("Set rabbitmq.management_url to see it".to_owned()), Vec::new()),
        Broker::Silent(_) => {
            (Some((Level::Warn, "no answer")), Some("Its management does not answer".to_owned()), Vec::new())
        }
        Broker::Queues(queues) => {
            let depth = |end: &str| {
                let ready: i64 =
                    queues.iter().filter(|queue| queue.name.ends_with(end)).map(|queue| queue.ready).sum();
                count(ready)
            };
            let shown = vec![("live waiting", depth(".live")), ("bulk waiting", depth(".bulk"))];
            (Some((Level::Good, "answers")), None, shown)
        }
    };
    Station { name: "RabbitMQ", href: Some("/queues"), level, why, facts: shown }
}

fn sync_workers(facts: &Facts, step: &Step<'_>) -> Station {
    let (level, why) = standing(step);
    let shown = vec![("running", running(facts, step.kind)), ("jobs taken", count(facts.taken))];
    Station { name: "Sync workers", href: Some("#workers-title"), level: Some(level), why, facts: shown }
}

fn targets(facts: &Facts) -> Station {
    let troubled = facts.in_state(&["broken", "refused", "retrying"]);
    let (level, why) = match facts.targets() {
        0 => (None, Some("No target yet".to_owned())),
        total if troubled == total => (Some((Level::Bad, "all in trouble")), None),
        total if troubled > 0 => {
            (Some((Level::Warn, "trouble")), Some(format!("{} of {total} in trouble", count(troubled))))
        }
        _ => (Some((Level::Good, "ok")), None),
    };
    let lag = |lag: Option<Duration>| {
        lag.map_or_else(|| "–".to_owned(), |lag| if lag.is_zero() { "none".to_owned() } else { span(lag) })
    };
    let shown = vec![
        ("targets", count(facts.targets())),
        ("p50 lag", lag(facts.lag.map(|lag| lag.p50))),
        ("p99 lag", lag(facts.lag.map(|lag| lag.p99))),
    ];
    Station { name: "Tenants’ databases", href: Some("/targets"), level, why, facts: shown }
}
