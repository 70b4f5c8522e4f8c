//! One target: how it is, why, and what can be done about it.

use maud::{Markup, html};
use time::OffsetDateTime;

use super::chart::{self, Lines};
use super::format::{ago, ago_or, count, counted, things};
use super::parts::{self, Asked, Level, sign};
use super::refused;
use super::targets::lag;

/// Everything that the page shows.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) now: OffsetDateTime,
    pub(crate) id: String,
    pub(crate) tenant: String,
    pub(crate) tenant_href: Option<String>,
    pub(crate) state: String,
    /// A worker writes to it right now.
    pub(crate) running: bool,
    pub(crate) trouble: Option<Trouble>,
    /// Schema in the target.
    pub(crate) schema: String,
    /// Name and value.
    pub(crate) facts: Vec<(&'static str, String)>,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) last_success_at: Option<OffsetDateTime>,
    pub(crate) mappings: Vec<Mapping>,
    /// The first rows that it refuses, as of its last sync.
    pub(crate) refused: Vec<refused::Row>,
    /// Where all of them are, if these are not all.
    pub(crate) refused_href: Option<String>,
    pub(crate) actions: Actions,
}

/// Why it is not well.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    pub(crate) what: String,
    /// In words that can be sent to the customer.
    pub(crate) advice: String,
    /// Who has to do something.
    pub(crate) whose: &'static str,
    pub(crate) failures: i32,
    pub(crate) next_attempt_at: Option<OffsetDateTime>,
}

/// A mapping in it.
#[derive(Debug, Clone)]
pub(crate) struct Mapping {
    pub(crate) name: String,
    pub(crate) watermark: i64,
    pub(crate) behind: (i64, bool),
    pub(crate) lag: std::time::Duration,
    pub(crate) complete_as_of: Option<OffsetDateTime>,
    pub(crate) fill: Option<Fill>,
    pub(crate) refused: i32,
}

/// A fill under way: first copy, resync, repair.
#[derive(Debug, Clone)]
pub(crate) struct Fill {
    pub(crate) started_at: Option<OffsetDateTime>,
    /// From 0 to 1; `None` = it has not begun.
    pub(crate) share: Option<f64>,
    pub(crate) words: String,
}

/// What can be done now.
#[derive(Debug, Clone)]
pub(crate) struct Actions {
    pub(crate) sync_now: String,
    pub(crate) pause: Option<Asked>,
    pub(crate) resume: Option<String>,
    pub(crate) resync: Asked,
}

/// What moves by itself.
pub(crate) fn regions(page: &Target) -> Vec<(&'static str, Markup)> {
    vec![("state", state(page)), ("facts", facts(page)), ("mappings", mappings(page))]
}

pub(crate) fn content(page: &Target, history: &Lines) -> Markup {
    html! {
        nav.crumbs aria-label="Where this is" { a href="/targets" { "Targets" } " / " (page.tenant) }
        div.head {
            h1 { (page.tenant) " / " (page.id) }
            div.actions data-region="actions" { (actions(page)) }
        }
        section.card aria-label="State" { div data-region="state" { (state(page)) } }
        section.card aria-labelledby="mappings-title" { h2 #mappings-title { "Mappings" } div data-region="mappings" { (mappings(page)) } }
        div.columns {
            section.card aria-labelledby="facts-title" { h2 #facts-title { "About it" } div data-region="facts" { (facts(page)) } }
            section.card aria-labelledby="history-title" { h2 #history-title { "History" } div data-region="history" { (chart::lines(history)) } }
        }
    }
}

/// Buttons; which ones depends on the state.
pub(crate) fn actions(page: &Target) -> Markup {
    let actions = &page.actions;
    html! {
        @if let Some(resume) = &actions.resume { (parts::action(resume, "Resume")) }
        @else { (parts::action(&actions.sync_now, "Sync now")) }
        (parts::asked(&actions.resync))
        @if let Some(pause) = &actions.pause { (parts::asked(pause)) }
    }
}

fn state(page: &Target) -> Markup {
    let behind: i64 = page.mappings.iter().map(|m| m.behind.0).sum();
    let at_least = page.mappings.iter().any(|m| m.behind.1);
    let filling = page.mappings.iter().any(|m| m.fill.is_some());
    let level = match page.state.as_str() {
        "ok" => Level::Good,
        "paused" => Level::Off,
        "retrying" => Level::Warn,
        _ => Level::Bad,
    };
    let headline = match page.state.as_str() {
        "paused" => "Paused: nothing is sent until it is resumed, and nothing is lost".to_owned(),
        "ok" if filling => "Being filled".to_owned(),
        "ok" if behind == 0 => "Everything is there".to_owned(),
        "ok" => format!("{} on the way", rows(behind, at_least)),
        "retrying" => "Failing, and tried again".to_owned(),
        "refused" => "Refused until something is changed".to_owned(),
        _ => "Broken".to_owned(),
    };
    html! {
        div.verdict data-say=(headline) {
            (sign(level))
            div {
                h2 { (headline) " " (parts::target_state(&page.state)) }
                p { "Last success " (ago_or(page.now, page.last_success_at, "never")) @if behind > 0 { ", " (rows(behind, at_least)) " behind" } @if page.running { ", a worker is at it" } }
            }
        }
        @if let Some(trouble) = &page.trouble {
            div.problems {
                div class={ "problem " (level.class()) } {
                    (sign(level))
                    div {
                        strong { (trouble.what) } (trouble.advice)
                        p.muted.small {
                            (trouble.whose) " " (things(i64::from(trouble.failures), "failure", "failures")) " in a row"
                            @if let Some(at) = trouble.next_attempt_at { ", next attempt " (ago(page.now, at)) }
                            "."
                        }
                    }
                }
            }
        }
    }
}

fn rows(n: i64, at_least: bool) -> String {
    if at_least { format!("{} or more rows", count(n)) } else { things(n, "row", "rows") }
}

fn facts(page: &Target) -> Markup {
    html! {
        dl.pairs {
            @if let Some(href) = &page.tenant_href { dt { "Tenant" } dd { a href=(href) { (page.tenant) } } }
            @for (name, value) in &page.facts { dt { (name) } dd { (value) } }
            dt { "Added" } dd { (ago(page.now, page.created_at)) }
        }
    }
}

fn mappings(page: &Target) -> Markup {
    if page.mappings.is_empty() {
        return parts::empty(
            "No mapping goes here",
            html! { "The target names mappings that do not exist; " code { "tenant-sync mapping show" } " lists those there are." },
        );
    }
    html! {
        div.scroll tabindex="0" role="region" aria-label="Mappings, scrollable" {
            table.stack {
                caption.unseen { "What goes into this target, and how far it is" }
                thead { tr {
                    th scope="col" { "Mapping" } th.number scope="col" { "Lag" } th.number scope="col" { "Rows behind" } th.number scope="col" { "Refused rows" }
                    th scope="col" { "Complete as of" } th.number scope="col" { "Watermark" } th scope="col" { "Fill" }
                } }
                tbody { @for mapping in &page.mappings { (self::mapping(page.now, mapping)) } }
            }
        }
        (set_aside(page))
    }
}

/// Which rows are set aside, and why.
fn set_aside(page: &Target) -> Markup {
    let total: i64 = page.mappings.iter().map(|mapping| i64::from(mapping.refused)).sum();
    html! {
        @if total > 0 {
            div.problems {
                div.problem.warn {
                    (sign(Level::Warn))
                    div {
                        strong { (things(total, "row is", "rows are")) " set aside because the database refuses " (if total == 1 { "it" } else { "them" }) }
                        "The others go on, and these are tried again by themselves. Usually it is a constraint or a trigger that was added there. In the target: "
                        code { "select * from " (page.schema) "._sync_refused" }
                    }
                }
            }
            @if !page.refused.is_empty() { (refused::table(page.now, &page.refused)) }
            @if let Some(href) = &page.refused_href { p { a href=(href) { "All refused rows" } } }
        }
    }
}

fn mapping(now: OffsetDateTime, mapping: &Mapping) -> Markup {
    html! {
        tr {
            th scope="row" { (mapping.name) }
            td.number data-label="Lag" { (lag(mapping.lag)) }
            td.number data-label="Rows behind" { (counted(mapping.behind.0, mapping.behind.1)) }
            td.number data-label="Refused rows" {
                @if mapping.refused > 0 { (parts::badge(Level::Warn, &count(i64::from(mapping.refused)))) } @else { "0" }
            }
            td data-label="Complete as of" { (ago_or(now, mapping.complete_as_of, "never")) }
            td.number data-label="Watermark" { (count(mapping.watermark)) }
            td data-label="Fill" {
                @match &mapping.fill {
                    Some(fill) => {
                        div {
                            (parts::progress(&format!("Fill of {}", mapping.name), fill.share, &fill.words))
                            @if let Some(at) = fill.started_at { span.sub { "asked for " (ago(now, at)) } }
                        }
                    }
                    None => span.muted { "through" },
                }
            }
        }
    }
}
