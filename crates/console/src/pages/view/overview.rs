//! The first page: whether everything flows, where it does not, and the switches.

use maud::{Markup, html};
use time::OffsetDateTime;

use super::chart::{self, Lines};
use super::format::{ago, ago_or, count, things};
use super::parts::{self, Asked, Level, badge, sign};
use super::road::{self, Road};

/// Everything that the page shows.
#[derive(Debug, Clone)]
pub(crate) struct Overview {
    pub(crate) now: OffsetDateTime,
    pub(crate) verdict: Verdict,
    pub(crate) road: Road,
    /// What HTTP requests take.
    pub(crate) branch: Road,
    pub(crate) figures: Vec<Figure>,
    pub(crate) states: States,
    pub(crate) causes: Vec<Cause>,
    pub(crate) workers: Vec<Worker>,
    pub(crate) changes: Vec<Change>,
    /// When a switch was last thrown, and by whom.
    pub(crate) switched: Option<(OffsetDateTime, String)>,
}

/// The first line, and what has to be looked at.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(crate) level: Level,
    pub(crate) headline: String,
    pub(crate) detail: String,
    pub(crate) problems: Vec<Problem>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) level: Level,
    pub(crate) what: String,
    /// What to do.
    pub(crate) advice: String,
    /// Where, and what the link says.
    pub(crate) link: Option<(String, &'static str)>,
}

/// A number that stands alone.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    pub(crate) label: &'static str,
    pub(crate) value: String,
    pub(crate) unit: &'static str,
    pub(crate) hint: String,
}

/// How many targets are in each state.
#[derive(Debug, Clone, Default)]
pub(crate) struct States {
    /// State, number; in the order in which they are shown.
    pub(crate) counts: Vec<(String, i64)>,
}

/// Targets with the same trouble.
#[derive(Debug, Clone)]
pub(crate) struct Cause {
    pub(crate) level: Level,
    pub(crate) targets: i64,
    /// In words: "password refused".
    pub(crate) words: String,
    pub(crate) advice: String,
    pub(crate) href: String,
    /// It is the one that is shown.
    pub(crate) chosen: bool,
}

/// A running worker.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) seen_at: OffsetDateTime,
    pub(crate) started_at: OffsetDateTime,
    pub(crate) last_iteration_at: Option<OffsetDateTime>,
    /// What it says of its work, in words with units.
    pub(crate) work: String,
    pub(crate) alive: bool,
}

/// An entry of the audit log.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) at: OffsetDateTime,
    pub(crate) by: String,
    pub(crate) what: String,
    /// What it was done to, and where that is.
    pub(crate) to: Option<(String, String)>,
}

/// A switch of the fusebox.
#[derive(Debug, Clone)]
pub(crate) struct Switch {
    pub(crate) name: &'static str,
    pub(crate) on: bool,
    /// What it does, as a consequence of the state that it is in.
    pub(crate) meaning: &'static str,
    pub(crate) asked: Asked,
}

/// What moves by itself, and the names of its regions.
pub(crate) fn regions(page: &Overview) -> Vec<(&'static str, Markup)> {
    vec![
        ("verdict", verdict(page)),
        ("road", road::road(&page.road)),
        ("branch", road::branch(&page.branch)),
        ("figures", figures(page)),
        ("targets", targets(page)),
        ("workers", workers(page)),
        ("changes", changes(page)),
    ]
}

/// The whole page but for its frame.
pub(crate) fn content(page: &Overview, charts: &[Lines], switches: &[Switch]) -> Markup {
    let region = |name: &str| regions(page).into_iter().find(|(n, _)| *n == name).map(|(_, html)| html);
    let live = |name: &'static str| html! { div data-region=(name) { @if let Some(html) = region(name) { (html) } } };
    html! {
        h1.unseen { "Overview" }
        section.card aria-label="Verdict" { (live("verdict")) }
        section.card aria-labelledby="road-title" {
            div.card-head { h2 #road-title { "The road of a change" } p.muted { "As of the last seconds" } }
            (live("road"))
            h3.branch-title { "The branch of HTTP requests" }
            (live("branch"))
        }
        div.columns {
            section.card aria-labelledby="figures-title" { h2 #figures-title { "Right now" } (live("figures")) }
            section.card aria-labelledby="targets-title" { h2 #targets-title { "Targets" } (live("targets")) }
        }
        section.card aria-labelledby="charts-title" {
            h2 #charts-title { "The last hour" }
            div.charts data-region="charts" { (self::charts(charts)) }
        }
        section.card aria-labelledby="switches-title" {
            div.card-head { h2 #switches-title { "Fusebox" } p.muted { "Workers honour a switch within a second. Nothing is lost while one is off." } }
            div data-region="switches" { (self::switches(page.now, switches, page.switched.as_ref())) }
        }
        section.card aria-labelledby="workers-title" { h2 #workers-title { "Workers" } (live("workers")) }
        section.card aria-labelledby="changes-title" { h2 #changes-title { "Last actions of operators" } (live("changes")) }
    }
}

pub(crate) fn charts(charts: &[Lines]) -> Markup {
    html! { @for lines in charts { (chart::lines(lines)) } }
}

fn verdict(page: &Overview) -> Markup {
    let verdict = &page.verdict;
    html! {
        div.verdict data-say=(verdict.headline) {
            (sign(verdict.level))
            div { h2 { (verdict.headline) } p { (verdict.detail) } }
        }
        @if !verdict.problems.is_empty() {
            ul.problems {
                @for problem in &verdict.problems {
                    li class={ "problem " (problem.level.class()) } {
                        (sign(problem.level))
                        div { strong { (problem.what) } (problem.advice) }
                        @if let Some((href, text)) = &problem.link { a.button href=(href) { (text) } }
                    }
                }
            }
        }
    }
}

fn figures(page: &Overview) -> Markup {
    html! { dl.figures { @for f in &page.figures { (parts::figure(f.label, &f.value, f.unit, &f.hint)) } } }
}

fn targets(page: &Overview) -> Markup {
    let total: i64 = page.states.counts.iter().map(|(_, n)| n).sum();
    if total == 0 {
        return parts::empty(
            "No targets yet",
            html! { "A tenant's database becomes a target with " code { "tenant-sync target add" } "." },
        );
    }
    html! {
        (state_bar(&page.states, total))
        ul.state-list {
            @for (state, n) in &page.states.counts {
                @if *n > 0 { li { a href={ "/targets?state=" (state) } { (count(*n)) (parts::target_state(state)) } } }
            }
        }
        @if !page.causes.is_empty() { h3.unseen { "By cause" } div.problems { (causes(&page.causes)) } }
    }
}

/// Targets that are in trouble, by what troubles them.
pub(crate) fn causes(causes: &[Cause]) -> Markup {
    html! {
        div.causes {
            @for cause in causes {
                a class={ "cause " (cause.level.class()) } href=(cause.href) aria-current=[cause.chosen.then_some("true")] {
                    strong { (things(cause.targets, "target", "targets")) ": " (cause.words) }
                    span { (cause.advice) }
                }
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a width in pixels")]
fn state_bar(states: &States, total: i64) -> Markup {
    let mut left = 0.0;
    let mut parts = Vec::new();
    for (state, n) in states.counts.iter().filter(|(_, n)| *n > 0) {
        // A single broken target among thousands is seen, too.
        let width = (*n as f64 / total as f64 * 1000.0).max(6.0);
        let class = match state.as_str() {
            "ok" => "good",
            "retrying" => "warn",
            "paused" => "off",
            _ => "bad",
        };
        parts.push((class, left, width));
        left += width;
    }
    html! {
        div.states aria-hidden="true" {
            svg viewBox={ "0 0 " (format!("{left:.0}")) " 10" } preserveAspectRatio="none" {
                @for (class, x, width) in &parts { rect class=(class) x=(format!("{x:.1}")) width=(format!("{width:.1}")) height="10" {} }
            }
        }
    }
}

/// The four switches.
pub(crate) fn switches(
    now: OffsetDateTime,
    switches: &[Switch],
    last: Option<&(OffsetDateTime, String)>,
) -> Markup {
    html! {
        @if let Some((at, by)) = last { p.muted.small.last-thrown { "Last thrown " (ago(now, *at)) " by " strong { (by) } "." } }
        div.switches {
            @for switch in switches {
                div.switch.off[!switch.on] {
                    h3 { (switch.name) " " @if switch.on { (badge(Level::Good, "on")) } @else { (badge(Level::Off, "off")) } }
                    (parts::asked(&switch.asked))
                    p.muted.small { (switch.meaning) }
                }
            }
        }
    }
}

fn workers(page: &Overview) -> Markup {
    if page.workers.is_empty() {
        return parts::empty(
            "No worker runs",
            html! { "Start " code { "sequencer" } ", " code { "poller" } " and " code { "sync-worker" } "; each shows up here within five seconds." },
        );
    }
    html! {
        div.scroll tabindex="0" role="region" aria-label="Workers, scrollable" {
            table.stack {
                caption.unseen { "Workers that are running, or were a moment ago" }
                thead { tr {
                    th scope="col" { "Kind" } th scope="col" { "State" } th scope="col" { "Last heartbeat" }
                    th scope="col" { "Last iteration" } th scope="col" { "Work" } th scope="col" { "Started" } th scope="col" { "Version" } th scope="col" { "Instance" }
                } }
                tbody {
                    @for worker in &page.workers {
                        tr {
                            th scope="row" { (worker.kind) }
                            td data-label="State" { @if worker.alive { (badge(Level::Good, "runs")) } @else { (badge(Level::Bad, "silent")) } }
                            td data-label="Last heartbeat" { (ago(page.now, worker.seen_at)) }
                            td data-label="Last iteration" { (ago_or(page.now, worker.last_iteration_at, "not told")) }
                            td data-label="Work" { (worker.work) }
                            td data-label="Started" { (ago(page.now, worker.started_at)) }
                            td data-label="Version" { (worker.version) }
                            td data-label="Instance" { span.code { (worker.id) } }
                        }
                    }
                }
            }
        }
    }
}

fn changes(page: &Overview) -> Markup {
    if page.changes.is_empty() {
        return parts::empty(
            "Nobody did anything yet",
            html! { "Every switch, pause and resync is recorded here with its author." },
        );
    }
    html! {
        table.stack {
            caption.unseen { "Last actions of operators" }
            thead { tr { th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "What" } th scope="col" { "To what" } } }
            tbody {
                @for change in &page.changes {
                    tr { th scope="row" { (ago(page.now, change.at)) } td data-label="Who" { (change.by) } td data-label="What" { (change.what) } td data-label="To what" { @match &change.to { Some((name, href)) => a href=(href) { (name) }, None => "–" } } }
                }
            }
        }
    }
}
