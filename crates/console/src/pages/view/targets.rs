//! The table of targets: by cause, filtered, sorted, a page at a time.

use maud::{Markup, html};
use time::OffsetDateTime;

use super::format::{ago, ago_or, counted, span};
use super::overview::{Cause, causes};
use super::parts;

/// A target as a line.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) href: String,
    pub(crate) id: String,
    /// Project and branch, or what else names the tenant.
    pub(crate) tenant: String,
    pub(crate) tenancy_id: String,
    pub(crate) state: String,
    pub(crate) filling: bool,
    /// In words, with what is done next.
    pub(crate) error: Option<String>,
    pub(crate) next_attempt_at: Option<OffsetDateTime>,
    pub(crate) lag: std::time::Duration,
    pub(crate) behind: (i64, bool),
    pub(crate) created_at: OffsetDateTime,
    pub(crate) failures: i32,
    pub(crate) last_success_at: Option<OffsetDateTime>,
}

/// A choice in a list.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) value: String,
    pub(crate) words: String,
    pub(crate) chosen: bool,
}

/// A column by which can be sorted.
#[derive(Debug, Clone)]
pub(crate) struct Sort {
    pub(crate) href: String,
    pub(crate) words: &'static str,
    /// Its values are numbers.
    pub(crate) number: bool,
    /// `ascending` or `descending`, if it is the one.
    pub(crate) direction: Option<&'static str>,
}

/// Everything that the page shows.
#[derive(Debug, Clone)]
pub(crate) struct Targets {
    pub(crate) now: OffsetDateTime,
    pub(crate) causes: Vec<Cause>,
    pub(crate) search: String,
    pub(crate) states: Vec<Choice>,
    pub(crate) classes: Vec<Choice>,
    /// Kept by the filter's form.
    pub(crate) hidden: Vec<(&'static str, String)>,
    pub(crate) sorts: Vec<Sort>,
    /// What is not in a list of this order.
    pub(crate) left_out: Option<&'static str>,
    pub(crate) lines: Vec<Line>,
    pub(crate) shown: String,
    pub(crate) first: Option<String>,
    pub(crate) next: Option<String>,
    pub(crate) filtered: bool,
}

/// What moves by itself.
pub(crate) fn regions(page: &Targets) -> Vec<(&'static str, Markup)> {
    vec![("causes", by_cause(page)), ("lines", lines(page))]
}

pub(crate) fn content(page: &Targets) -> Markup {
    html! {
        div.head { h1 { "Targets" } p.muted { "The databases that tenants' rows go to" } }
        div data-region="causes" { (by_cause(page)) }
        section.card aria-label="Targets" {
            (filter(page))
            div data-region="lines" { (lines(page)) }
            (parts::pager("targets", page.first.as_deref(), page.next.as_deref(), &page.shown))
        }
    }
}

fn by_cause(page: &Targets) -> Markup {
    html! { @if !page.causes.is_empty() { h2.unseen { "By cause" } (causes(&page.causes)) } }
}

fn filter(page: &Targets) -> Markup {
    html! {
        form.filters method="get" action="/targets" role="search" {
            div.field.grow {
                label for="query" { "Search" }
                input #query type="search" name="query" value=(page.search) maxlength="200" placeholder="Project or tenant key, or tenancy id";
            }
            div.field { label for="state" { "State" } (select("state", &page.states)) }
            div.field { label for="cause" { "Cause" } (select("cause", &page.classes)) }
            @for (name, value) in &page.hidden { input type="hidden" name=(name) value=(value); }
            button.primary type="submit" { "Show" }
            @if page.filtered { a.button href="/targets" { "Clear" } }
        }
    }
}

fn select(name: &str, choices: &[Choice]) -> Markup {
    html! {
        select id=(name) name=(name) data-submits {
            @for choice in choices { option value=(choice.value) selected[choice.chosen] { (choice.words) } }
        }
    }
}

fn lines(page: &Targets) -> Markup {
    if page.lines.is_empty() && page.left_out.is_some() && !page.filtered {
        let all = html! { "Nothing is waited for. " a href="/targets" { "Show all targets" } " in the order of their tenants." };
        return parts::empty("No target is in this order", all);
    }
    if page.lines.is_empty() && page.filtered {
        return parts::empty(
            "No target is like that",
            html! { "Take a part of the filter away, or " a href="/targets" { "show all" } "." },
        );
    }
    if page.lines.is_empty() {
        return parts::empty(
            "No targets yet",
            html! { "A tenant's database becomes a target with " code { "tenant-sync target add" } "." },
        );
    }
    html! {
        @if let Some(left_out) = page.left_out { p.muted.small { (left_out) } }
        div.scroll tabindex="0" role="region" aria-label="Targets, scrollable" {
            table.stack {
                caption.unseen { "Targets" }
                thead { tr {
                    @for sort in &page.sorts {
                        th.number[sort.number] scope="col" aria-sort=[sort.direction] {
                            a href=(sort.href) { (sort.words) @match sort.direction { Some("ascending") => " ▲", Some(_) => " ▼", None => "" } }
                        }
                    }
                    th scope="col" { "Last error" }
                } }
                tbody { @for line in &page.lines { (self::line(page.now, line)) } }
            }
        }
    }
}

fn line(now: OffsetDateTime, line: &Line) -> Markup {
    html! {
        tr {
            th scope="row" { a href=(line.href) { (line.tenant) " / " (line.id) } span.sub.code { (line.tenancy_id) } }
            td data-label="Added" { (ago(now, line.created_at)) }
            td data-label="Failures" { (line.failures) }
            td data-label="State" { (parts::target_state(&line.state)) @if line.filling && line.state == "ok" { span.sub { "being filled" } } }
            td data-label="Last success" { (ago_or(now, line.last_success_at, "never")) }
            td.number data-label="Lag" { (lag(line.lag)) }
            td.number data-label="Rows behind" { (counted(line.behind.0, line.behind.1)) }
            td.reason data-label="Last error" {
                @match &line.error {
                    Some(error) => { span { (error) @if let Some(at) = line.next_attempt_at { span.sub { "next attempt " (ago(now, at)) } } } }
                    None => span.muted { "none" },
                }
            }
        }
    }
}

/// Zero means that nothing is missing.
pub(crate) fn lag(lag: std::time::Duration) -> String {
    if lag.is_zero() { "none".to_owned() } else { span(lag) }
}
