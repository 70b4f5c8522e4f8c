//! What the facts mean: the verdict, and what has to be looked at. Pure.

use std::time::Duration;

use super::facts::{Broker, Facts, advice_of, words_of};
use crate::pages::shell::quoted;
use crate::pages::view::format::{count, counted, span, things};
use crate::pages::view::overview::{Cause, Problem, Verdict};
use crate::pages::view::parts::Level;

/// What waits longer than this does not move: a pass takes milliseconds, and comes every 50 ms.
pub(super) const STUCK_AFTER: Duration = Duration::from_secs(10);
/// What was due for this long, and nobody took up.
pub(super) const DUE_TOO_LONG: Duration = Duration::from_secs(60);
/// Targets that are further behind than this are told of.
pub(super) const BEHIND: Duration = Duration::from_secs(60);
/// Causes that the first page tells of; the page of targets has them all.
const CAUSES_MAX: usize = 4;
/// A destination lies in RabbitMQ for milliseconds if a worker has a place for it, and for a claim's lease at most.
pub(super) const QUEUED_TOO_LONG: Duration = Duration::from_secs(30);

/// A worker that the road needs, or a switch of it.
pub(super) struct Step<'a> {
    pub(super) kind: &'static str,
    pub(super) name: &'static str,
    pub(super) on: bool,
    pub(super) waits: Option<(String, Option<Duration>)>,
    pub(super) patience: Duration,
    facts: &'a Facts,
}

/// How a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Runs,
    Off,
    Missing,
    Stuck,
}

impl<'a> Step<'a> {
    pub(super) fn sequencer(facts: &'a Facts) -> Self {
        let waiting = facts.unsequenced;
        let changes = counted(waiting.count, waiting.at_least);
        let noun = if waiting.count == 1 && !waiting.at_least { "change waits" } else { "changes wait" };
        Self {
            kind: "sequencer",
            name: "sequencer",
            on: facts.switches.sequencer,
            waits: (waiting.count > 0).then(|| (format!("{changes} {noun} for an id"), waiting.oldest)),
            patience: STUCK_AFTER,
            facts,
        }
    }

    pub(super) fn poller(facts: &'a Facts) -> Self {
        let waiting = facts.due;
        let noun = if waiting.count == 1 { "target is" } else { "targets are" };
        let waits = format!("{} {noun} due", counted(waiting.count, waiting.at_least));
        Self {
            kind: "poller",
            name: "poller",
            on: facts.switches.poller,
            waits: (waiting.count > 0).then_some((waits, waiting.oldest)),
            patience: DUE_TOO_LONG,
            facts,
        }
    }

    pub(super) fn sync_workers(facts: &'a Facts) -> Self {
        let noun = if facts.taken == 1 { "job waits" } else { "jobs wait" };
        Self {
            kind: "sync-worker",
            name: "sync engine",
            on: facts.switches.sync_engine,
            waits: (facts.taken > 0).then(|| (format!("{} {noun}", count(facts.taken)), None)),
            patience: Duration::MAX,
            facts,
        }
    }

    pub(super) fn request_workers(facts: &'a Facts) -> Self {
        let (waiting, queued) = (facts.requests.waiting, facts.requests.queued);
        let noun = if waiting.count == 1 { "HTTP request waits" } else { "HTTP requests wait" };
        Self {
            kind: "request-worker",
            name: "sending of HTTP requests",
            on: facts.switches.requests,
            waits: (waiting.count > 0)
                .then(|| (format!("{} {noun}", counted(waiting.count, waiting.at_least)), queued.oldest)),
            patience: QUEUED_TOO_LONG,
            facts,
        }
    }

    /// Who sends no HTTP requests needs no request worker.
    pub(super) fn is_needed(&self) -> bool {
        self.kind != "request-worker" || self.waits.is_some()
    }

    pub(super) fn standing(&self) -> Standing {
        if !self.on {
            Standing::Off
        } else if self.facts.running(self.kind) == 0 {
            Standing::Missing
        } else if self
            .waits
            .as_ref()
            .and_then(|(_, oldest)| *oldest)
            .is_some_and(|oldest| oldest > self.patience)
        {
            Standing::Stuck
        } else {
            Standing::Runs
        }
    }

    /// "12 changes wait for an id, the oldest for 4 min."
    fn waiting(&self) -> String {
        match &self.waits {
            None => "Nothing waits at the moment.".to_owned(),
            Some((what, None)) => format!("{what}."),
            Some((what, Some(oldest))) => format!("{what}, the oldest for {}.", span(*oldest)),
        }
    }

    fn problem(&self) -> Option<Problem> {
        let waiting = self.waiting();
        let to_switches = Some(("#switches-title".to_owned(), "To the switches"));
        let to_workers = Some(("#workers-title".to_owned(), "To the workers"));
        let (level, what, advice, link) = match self.standing() {
            _ if !self.is_needed() && self.on => return None,
            Standing::Runs => return None,
            Standing::Off => (
                Level::Off,
                format!("The {} is switched off", self.name),
                format!("{waiting} Switch it on again when what it was switched off for is done."),
                to_switches,
            ),
            Standing::Missing => (
                Level::Bad,
                format!("No {} runs", self.kind),
                format!("{waiting} Start at least one {}.", self.kind),
                to_workers,
            ),
            Standing::Stuck => (
                Level::Bad,
                format!("The {} does not get on", self.kind),
                format!("{waiting} Look at its log, and for long transactions in the internal Postgres."),
                to_workers,
            ),
        };
        Some(Problem { level, what, advice, link })
    }
}

/// The first line of the page.
pub(super) fn verdict(facts: &Facts) -> Verdict {
    let steps = [Step::sequencer(facts), Step::poller(facts), Step::sync_workers(facts)];
    let mut problems: Vec<Problem> = steps.iter().filter_map(Step::problem).collect();
    let halted = !problems.is_empty();
    let all_off = problems.iter().all(|problem| problem.level == Level::Off);
    problems.extend(Step::request_workers(facts).problem());
    problems.extend(of_requests(facts));
    problems.extend(broker(facts));
    problems.extend(lapsed(facts));
    problems.extend(of_targets(facts));
    problems.extend(behind(facts));
    let troubled = facts.in_state(&["broken", "refused", "retrying"]);
    let total = facts.targets();
    let (level, headline) = if halted && all_off {
        (Level::Off, "Changes are held back by a switch".to_owned())
    } else if halted {
        (Level::Bad, "Changes do not flow".to_owned())
    } else if total > 0 && troubled == total {
        (Level::Bad, "No target can be written".to_owned())
    } else if troubled > 0 {
        let are = if troubled == 1 { "is" } else { "are" };
        (Level::Warn, format!("Changes flow, but {} {are} in trouble", things(troubled, "target", "targets")))
    } else if !problems.is_empty() {
        (Level::Warn, "Changes flow, with something to look at".to_owned())
    } else {
        (Level::Good, "Everything flows".to_owned())
    };
    Verdict { level, headline, detail: detail(facts), problems }
}

fn detail(facts: &Facts) -> String {
    let total = facts.targets();
    if total == 0 {
        return "There is no target yet.".to_owned();
    }
    let well = facts.in_state(&["ok"]);
    let targets = if well == total {
        format!("{}, all of them ok", things(total, "target", "targets"))
    } else {
        format!("{}, {} of them ok", things(total, "target", "targets"), count(well))
    };
    match facts.lag {
        None => format!("{targets}."),
        Some(lag) if lag.p99.is_zero() => format!("{targets}; nothing is missing anywhere."),
        Some(lag) if lag.p50.is_zero() => {
            format!("{targets}; half of them lack nothing, 99 of 100 at most the last {}.", span(lag.p99))
        }
        Some(lag) => {
            format!(
                "{targets}; half of them lack at most the last {}, 99 of 100 {}.",
                span(lag.p50),
                span(lag.p99)
            )
        }
    }
}

fn broker(facts: &Facts) -> Option<Problem> {
    let problem = |level, what: String, advice: String| {
        Some(Problem { level, what, advice, link: Some(("/queues".to_owned(), "To the queues")) })
    };
    match &facts.queues {
        Broker::NotAsked => None,
        Broker::Silent(why) => problem(
            Level::Warn,
            "RabbitMQ cannot be asked".to_owned(),
            format!("{why}. If workers cannot reach it either, everything waits and nothing is lost."),
        ),
        Broker::Queues(queues) => {
            let dead = queues.iter().find(|queue| queue.name.ends_with(".dead") && queue.ready > 0)?;
            problem(
                Level::Warn,
                format!("{} could not be read", things(dead.ready, "message", "messages")),
                format!(
                    "They lie in {} with their reason as a header; the changes themselves are asked for again.",
                    dead.name
                ),
            )
        }
    }
}

fn lapsed(facts: &Facts) -> Option<Problem> {
    (facts.lapsed > 0 && facts.running("poller") > 0 && facts.switches.poller).then(|| Problem {
        level: Level::Warn,
        what: format!("{} nobody finished in time", things(facts.lapsed, "job that", "jobs that")),
        advice: "They are asked for again by themselves. If there are more and more, a worker dies or the broker loses messages.".to_owned(),
        link: Some(("#workers-title".to_owned(), "To the workers")),
    })
}

fn of_targets(facts: &Facts) -> Vec<Problem> {
    causes(facts, None)
        .into_iter()
        .take(CAUSES_MAX)
        .map(|cause| Problem {
            level: cause.level,
            what: format!("{}: {}", things(cause.targets, "target", "targets"), cause.words),
            advice: cause.advice,
            link: Some((cause.href, "Show them")),
        })
        .collect()
}

/// What has to be looked at of HTTP requests. Changes flow all the same.
fn of_requests(facts: &Facts) -> Vec<Problem> {
    let requests = facts.requests;
    let problem = |what: String, advice: &str, href: &str| Problem {
        level: Level::Warn,
        what,
        advice: advice.to_owned(),
        link: Some((href.to_owned(), "Show them")),
    };
    let mut problems = Vec::new();
    if requests.due.oldest.is_some_and(|oldest| oldest > DUE_TOO_LONG) {
        problems.push(problem(
            format!(
                "{} due and nobody takes them up",
                things(requests.due.count, "endpoint is", "endpoints are")
            ),
            "The poller hands them to RabbitMQ: look at its switch and its log.",
            "/requests?state=pending",
        ));
    }
    if requests.dead.count > 0 {
        let dead = counted(requests.dead.count, requests.dead.at_least);
        let noun = if requests.dead.count == 1 { "request was" } else { "requests were" };
        problems.push(problem(
            format!("{dead} HTTP {noun} given up"),
            "Their last failure says why; they can be sent again.",
            "/requests?state=dead",
        ));
    }
    if requests.broken_triggers > 0 {
        problems.push(problem(
            format!("{} broken", things(requests.broken_triggers, "trigger is", "triggers are")),
            "They make no events: tenant-sync trigger show tells why.",
            "/requests",
        ));
    }
    problems
}

fn behind(facts: &Facts) -> Option<Problem> {
    let lag = facts.lag.filter(|lag| lag.p99 > BEHIND)?;
    Some(Problem {
        level: Level::Warn,
        what: format!("Some targets lack changes of the last {}", span(lag.p99)),
        advice: "A first copy or a large import takes its time; else start more sync workers.".to_owned(),
        link: Some(("/targets".to_owned(), "Show targets")),
    })
}

/// Targets by what troubles them.
pub(crate) fn causes(facts: &Facts, chosen: Option<&str>) -> Vec<Cause> {
    facts.causes.iter().map(|(class, targets)| cause(class, *targets, chosen)).collect()
}

/// Targets with one trouble.
pub(crate) fn cause(class: &str, targets: i64, chosen: Option<&str>) -> Cause {
    Cause {
        level: Level::Bad,
        targets,
        words: words_of(class),
        advice: advice_of(class).to_owned(),
        href: format!("/targets?cause={}", quoted(class)),
        chosen: chosen == Some(class),
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::super::facts::{Depth, Lag, Rates, Requests, Running, Switched, Waiting};
    use super::*;

    fn running(kind: &str) -> Running {
        let now = OffsetDateTime::UNIX_EPOCH;
        Running {
            kind: kind.to_owned(),
            id: format!("{kind}-1"),
            version: "1".to_owned(),
            started_at: now,
            seen_at: now,
            alive: true,
            last_iteration_at: None,
            throughput: None,
        }
    }

    fn good() -> Facts {
        Facts {
            now: OffsetDateTime::UNIX_EPOCH,
            switches: Switched { sequencer: true, poller: true, sync_engine: true, requests: true },
            unsequenced: Waiting { count: 3, at_least: false, oldest: Some(Duration::from_millis(40)) },
            due: Waiting::default(),
            taken: 2,
            lapsed: 0,
            requests: Requests::default(),
            queues: Broker::Queues(Vec::new()),
            workers: ["sequencer", "poller", "sync-worker"].map(running).to_vec(),
            states: vec![("ok".to_owned(), 10), ("paused".to_owned(), 1)],
            causes: Vec::new(),
            lag: Some(Lag { p50: Duration::from_millis(41), p99: Duration::from_millis(73) }),
            rates: Rates::default(),
        }
    }

    fn judged(change: impl Fn(&mut Facts)) -> (Level, String, Vec<String>) {
        let mut facts = good();
        change(&mut facts);
        let verdict = verdict(&facts);
        (verdict.level, verdict.headline, verdict.problems.into_iter().map(|problem| problem.what).collect())
    }

    #[test]
    fn nothing_to_do_is_said_in_two_words() {
        assert_eq!(judged(|_| ()), (Level::Good, "Everything flows".to_owned(), vec![]));
        let detail = verdict(&good()).detail;
        assert_eq!(
            detail,
            "11 targets, 10 of them ok; half of them lack at most the last 41 ms, 99 of 100 73 ms."
        );
    }

    #[test]
    fn a_switch_is_told_from_a_fault() {
        let (level, headline, problems) = judged(|facts| facts.switches.sequencer = false);
        assert_eq!((level, headline.as_str()), (Level::Off, "Changes are held back by a switch"));
        assert_eq!(problems, ["The sequencer is switched off"]);
        let (level, headline, problems) = judged(|facts| facts.workers.retain(|w| w.kind != "sync-worker"));
        assert_eq!((level, headline.as_str()), (Level::Bad, "Changes do not flow"));
        assert_eq!(problems, ["No sync-worker runs"]);
        let (level, _, problems) = judged(|facts| {
            facts.switches.poller = false;
            facts.workers[0].alive = false;
        });
        assert_eq!(level, Level::Bad);
        assert_eq!(problems, ["No sequencer runs", "The poller is switched off"]);
    }

    #[test]
    fn what_waits_too_long_is_stuck() {
        let waits =
            |seconds| Waiting { count: 12, at_least: false, oldest: Some(Duration::from_secs(seconds)) };
        assert_eq!(judged(|facts| facts.unsequenced = waits(9)).2, [""; 0]);
        assert_eq!(judged(|facts| facts.unsequenced = waits(11)).2, ["The sequencer does not get on"]);
        assert_eq!(judged(|facts| facts.due = waits(61)).2, ["The poller does not get on"]);
        let mut facts = good();
        facts.unsequenced = waits(250);
        let advice = verdict(&facts).problems.remove(0).advice;
        assert!(advice.starts_with("12 changes wait for an id, the oldest for 4 min."), "{advice}");
    }

    #[test]
    fn requests_do_not_stop_changes_and_are_told_of() {
        let waits =
            |seconds| Waiting { count: 3, at_least: false, oldest: Some(Duration::from_secs(seconds)) };
        assert_eq!(judged(|_| ()).2, [""; 0], "who sends nothing needs no worker for it");
        let (level, headline, problems) = judged(|facts| facts.requests.waiting = waits(5));
        assert_eq!((level, headline.as_str()), (Level::Warn, "Changes flow, with something to look at"));
        assert_eq!(problems, ["No request-worker runs"]);
        let with_worker = |facts: &mut Facts| {
            facts.workers.push(running("request-worker"));
            facts.requests.waiting = waits(90_000);
        };
        assert_eq!(judged(with_worker).2, [""; 0], "it may wait for its next attempt");
        let stuck = judged(|facts| {
            with_worker(facts);
            facts.requests.queued = waits(31);
        });
        assert_eq!(stuck.2, ["The request-worker does not get on"]);
        let off = judged(|facts| facts.switches.requests = false);
        assert_eq!(off.2, ["The sending of HTTP requests is switched off"]);
        let rest = judged(|facts| {
            facts.requests.due = waits(61);
            facts.requests.dead = Waiting { count: 1, ..Waiting::default() };
            facts.requests.broken_triggers = 2;
        });
        assert_eq!(
            rest.2,
            [
                "3 endpoints are due and nobody takes them up",
                "1 HTTP request was given up",
                "2 triggers are broken"
            ]
        );
    }

    #[test]
    fn targets_in_trouble_do_not_stop_the_road() {
        let (level, headline, problems) = judged(|facts| {
            facts.states.push(("broken".to_owned(), 12));
            facts.causes = vec![("passwordRefused".to_owned(), 11), ("unreachable".to_owned(), 1)];
        });
        assert_eq!((level, headline.as_str()), (Level::Warn, "Changes flow, but 12 targets are in trouble"));
        assert_eq!(problems, ["11 targets: password refused", "1 target: unreachable"]);
        let (level, headline, _) = judged(|facts| facts.states = vec![("broken".to_owned(), 2)]);
        assert_eq!((level, headline.as_str()), (Level::Bad, "No target can be written"));
    }

    #[test]
    fn the_broker_and_a_long_lag_are_told_of() {
        let dead =
            Depth { name: "tenant-sync.dead".to_owned(), ready: 1, unacked: 0, consumers: 0, rates: None };
        let told = judged(|facts| facts.queues = Broker::Queues(vec![dead.clone()]));
        assert_eq!(told.2, ["1 message could not be read"]);
        assert_eq!(judged(|facts| facts.queues = Broker::Silent("refused".to_owned())).0, Level::Warn);
        let late = Lag { p50: Duration::ZERO, p99: Duration::from_secs(7200) };
        assert_eq!(judged(|facts| facts.lag = Some(late)).2, ["Some targets lack changes of the last 2 h"]);
    }
}
