//! The table of triggers, and the page of one.

use maud::{Markup, html};
use time::OffsetDateTime;

use super::format::{ago, ago_or, counted};
use super::parts::{self, Asked, Level, badge, sign};
use super::targets::Choice;

/// A trigger as a line.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) href: String,
    pub(crate) listens_to: String,
    pub(crate) url: String,
    /// Whose changes it tells.
    pub(crate) whose: String,
    pub(crate) level: Level,
    pub(crate) state: &'static str,
    /// Why, as a sentence.
    pub(crate) reason: Option<String>,
    pub(crate) waiting: (i64, bool),
    pub(crate) oldest_waiting_at: Option<OffsetDateTime>,
    pub(crate) dead: (i64, bool),
    pub(crate) last_success_at: Option<OffsetDateTime>,
}

/// Everything that the list shows.
#[derive(Debug, Clone)]
pub(crate) struct Triggers {
    pub(crate) now: OffsetDateTime,
    pub(crate) search: String,
    pub(crate) states: Vec<Choice>,
    /// Kept by the filter's form.
    pub(crate) hidden: Vec<(&'static str, String)>,
    pub(crate) lines: Vec<Line>,
    pub(crate) shown: String,
    pub(crate) first: Option<String>,
    pub(crate) next: Option<String>,
    pub(crate) filtered: bool,
}

/// Everything that the page of one shows.
#[derive(Debug, Clone)]
pub(crate) struct Detail {
    pub(crate) now: OffsetDateTime,
    pub(crate) line: Line,
    /// What the state means for events and requests.
    pub(crate) headline: &'static str,
    /// What the operator may do about it.
    pub(crate) advice: Option<&'static str>,
    pub(crate) since: OffsetDateTime,
    /// Nothing is tried before this.
    pub(crate) next_attempt_at: Option<OffsetDateTime>,
    pub(crate) missed: Option<String>,
    pub(crate) requests_href: String,
    pub(crate) dead_href: String,
    pub(crate) facts: Vec<(&'static str, String)>,
    pub(crate) actions: Vec<Asked>,
}

/// What moves by itself.
pub(crate) fn regions(page: &Triggers) -> Vec<(&'static str, Markup)> {
    vec![("lines", lines(page))]
}

pub(crate) fn content(page: &Triggers) -> Markup {
    html! {
        div.head { h1 { "Triggers" } p.muted { "Whom committed changes are told, the newest trigger first" } }
        section.card aria-label="Triggers" {
            form.filters method="get" action="/triggers" role="search" {
                div.field.grow {
                    label for="query" { "Search" }
                    input #query type="search" name="query" value=(page.search) maxlength="200" placeholder="Beginning of a URL, project or tenant key, or an id";
                }
                div.field {
                    label for="state" { "State" }
                    select #state name="state" data-submits {
                        @for choice in &page.states { option value=(choice.value) selected[choice.chosen] { (choice.words) } }
                    }
                }
                @for (name, value) in &page.hidden { input type="hidden" name=(name) value=(value); }
                button.primary type="submit" { "Show" }
                @if page.filtered { a.button href="/triggers" { "Clear" } }
            }
            div data-region="lines" { (lines(page)) }
            (parts::pager("triggers", page.first.as_deref(), page.next.as_deref(), &page.shown))
        }
    }
}

fn lines(page: &Triggers) -> Markup {
    if page.lines.is_empty() && page.filtered {
        return parts::empty("No trigger is like that", html! { a href="/triggers" { "Show all" } });
    }
    if page.lines.is_empty() {
        return parts::empty(
            "No triggers yet",
            html! { code { "tenant-sync trigger add" } " tells a URL of each committed change of a table." },
        );
    }
    html! {
        div.scroll tabindex="0" role="region" aria-label="Triggers, scrollable" {
            table.stack {
                caption.unseen { "Triggers" }
                thead { tr {
                    th scope="col" { "Trigger" } th scope="col" { "Of" } th scope="col" { "State" } th.number scope="col" { "Waiting" }
                    th scope="col" { "Oldest waiting" } th.number scope="col" { "Given up" } th scope="col" { "Last success" } th scope="col" { "Why" }
                } }
                tbody { @for line in &page.lines { (self::line(page.now, line)) } }
            }
        }
    }
}

fn line(now: OffsetDateTime, line: &Line) -> Markup {
    html! {
        tr {
            th scope="row" { a href=(line.href) { (line.listens_to) } span.sub { (line.url) } }
            td data-label="Of" { (line.whose) }
            td data-label="State" { (badge(line.level, line.state)) }
            td.number data-label="Waiting" { (counted(line.waiting.0, line.waiting.1)) }
            td data-label="Oldest waiting" { (ago_or(now, line.oldest_waiting_at, "none")) }
            td.number data-label="Given up" { (counted(line.dead.0, line.dead.1)) }
            td data-label="Last success" { (ago_or(now, line.last_success_at, "never")) }
            td.reason data-label="Why" { @match &line.reason { Some(reason) => (reason), None => span.muted { "–" } } }
        }
    }
}

/// What moves by itself on the page of one.
pub(crate) fn regions_of_one(page: &Detail) -> Vec<(&'static str, Markup)> {
    vec![("state", state(page)), ("facts", facts(page)), ("actions", actions(page))]
}

/// The page of one trigger.
pub(crate) fn one(page: &Detail) -> Markup {
    html! {
        nav.crumbs aria-label="Where this is" { a href="/triggers" { "Triggers" } " / " (page.line.whose) }
        div.head {
            h1 { (page.line.listens_to) }
            div.actions data-region="actions" { (actions(page)) }
        }
        section.card aria-label="State" { div data-region="state" { (state(page)) } }
        section.card aria-labelledby="facts-title" { h2 #facts-title { "About it" } div data-region="facts" { (facts(page)) } }
    }
}

fn actions(page: &Detail) -> Markup {
    html! { @for asked in &page.actions { (parts::asked(asked)) } }
}

fn state(page: &Detail) -> Markup {
    let line = &page.line;
    html! {
        div.verdict data-say=(page.headline) {
            (sign(line.level))
            div {
                h2 { (page.headline) " " (badge(line.level, line.state)) }
                p { "Its state changed " (ago(page.now, page.since)) ", last success " (ago_or(page.now, line.last_success_at, "never")) }
            }
        }
        @if line.reason.is_some() || page.missed.is_some() {
            div.problems {
                @if let Some(reason) = &line.reason {
                    div class={ "problem " (line.level.class()) } {
                        (sign(line.level))
                        div {
                            strong { (reason) } @if let Some(advice) = page.advice { " " (advice) }
                            @if let Some(at) = page.next_attempt_at { p.muted.small { "Next attempt " (ago(page.now, at)) } }
                        }
                    }
                }
                @if let Some(missed) = &page.missed { div.problem.warn { (sign(Level::Warn)) div { strong { (missed) } } } }
            }
        }
        dl.pairs {
            dt { "Waiting" } dd {
                a href=(page.requests_href) { (counted(line.waiting.0, line.waiting.1)) }
                @if let Some(at) = line.oldest_waiting_at { ", the oldest made " (ago(page.now, at)) }
            }
            dt { "Given up" } dd { a href=(page.dead_href) { (counted(line.dead.0, line.dead.1)) } }
        }
    }
}

fn facts(page: &Detail) -> Markup {
    html! { dl.pairs { @for (name, value) in &page.facts { dt { (name) } dd { (value) } } } }
}
