//! HTTP requests, and the attempts of one.

use maud::{Markup, html};
use time::OffsetDateTime;

use super::format::{ago, ago_or, span};
use super::parts::{self, Asked, Level, badge};
use super::targets::Choice;

/// A request as a line.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) href: String,
    pub(crate) id: String,
    /// Name of the event, or the method.
    pub(crate) what: String,
    pub(crate) url: Option<String>,
    pub(crate) level: Level,
    pub(crate) state: &'static str,
    pub(crate) attempts: i32,
    pub(crate) created_at: Option<OffsetDateTime>,
    pub(crate) due_at: Option<OffsetDateTime>,
    pub(crate) ended_at: Option<OffsetDateTime>,
    pub(crate) error: Option<String>,
    /// Of the last answer.
    pub(crate) status: Option<i32>,
}

/// Everything that the list shows.
#[derive(Debug, Clone)]
pub(crate) struct Requests {
    pub(crate) now: OffsetDateTime,
    pub(crate) states: Vec<Choice>,
    pub(crate) event: String,
    /// As a browser's field takes it.
    pub(crate) since: String,
    /// Kept by the filter's form.
    pub(crate) hidden: Vec<(&'static str, String)>,
    /// Of whom alone they are, and its id.
    pub(crate) only: Vec<(&'static str, String)>,
    pub(crate) lines: Vec<Line>,
    pub(crate) shown: String,
    pub(crate) first: Option<String>,
    pub(crate) next: Option<String>,
    pub(crate) filtered: bool,
    /// All that the filter means.
    pub(crate) replay: Option<Asked>,
}

/// An attempt.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) number: i32,
    pub(crate) at: OffsetDateTime,
    pub(crate) delivered: bool,
    pub(crate) lasted: std::time::Duration,
    pub(crate) status: Option<i32>,
    pub(crate) error: Option<String>,
    /// The beginning of the answer.
    pub(crate) answer: Option<String>,
}

/// Everything that the page of one request shows.
#[derive(Debug, Clone)]
pub(crate) struct Detail {
    pub(crate) now: OffsetDateTime,
    pub(crate) line: Line,
    /// Its id, and where its other requests are.
    pub(crate) tenancy: Option<(String, String)>,
    /// Its id, and where it is.
    pub(crate) trigger: Option<(String, String)>,
    pub(crate) method: String,
    pub(crate) body: Option<String>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) replay: Option<Asked>,
}

/// What moves by itself.
pub(crate) fn regions(page: &Requests) -> Vec<(&'static str, Markup)> {
    vec![("lines", lines(page))]
}

pub(crate) fn content(page: &Requests) -> Markup {
    html! {
        div.head {
            h1 { "Requests" }
            p.muted { "HTTP requests to the tenants’ endpoints: those that are tried last or ended last stand first" }
            @if let Some(replay) = &page.replay { div.actions { (parts::asked(replay)) } }
        }
        section.card aria-label="Requests" {
            @for (what, id) in &page.only { p { "Only of the " (what) " " span.code { (id) } } }
            form.filters method="get" action="/requests" role="search" {
                div.field.grow {
                    label for="event" { "Event" }
                    input #event type="search" name="event" value=(page.event) maxlength="200" placeholder="Such as user.created";
                }
                div.field {
                    label for="state" { "State" }
                    select #state name="state" data-submits {
                        @for choice in &page.states { option value=(choice.value) selected[choice.chosen] { (choice.words) } }
                    }
                }
                div.field {
                    label for="since" { "Made since (UTC)" }
                    input #since type="datetime-local" name="since" value=(page.since) step="1";
                }
                @for (name, value) in &page.hidden { input type="hidden" name=(name) value=(value); }
                button.primary type="submit" { "Show" }
                @if page.filtered { a.button href="/requests" { "Clear" } }
            }
            div data-region="lines" { (lines(page)) }
            (parts::pager("requests", page.first.as_deref(), page.next.as_deref(), &page.shown))
        }
    }
}

fn lines(page: &Requests) -> Markup {
    if page.lines.is_empty() && page.next.is_some() {
        return parts::empty(
            "None among those that were looked at",
            html! { "There are more requests: " a href=[page.next.as_deref()] { "look further" } },
        );
    }
    if page.lines.is_empty() && page.filtered {
        return parts::empty("No request is like that", html! { a href="/requests" { "Show all" } });
    }
    if page.lines.is_empty() {
        return parts::empty(
            "No requests",
            html! { "A trigger makes them: " code { "tenant-sync trigger add" } ". Delivered ones are kept for a while." },
        );
    }
    html! {
        div.scroll tabindex="0" role="region" aria-label="Requests, scrollable" {
            table.stack {
                caption.unseen { "Requests" }
                thead { tr {
                    th scope="col" { "Request" } th scope="col" { "State" } th.number scope="col" { "Attempts" } th scope="col" { "Made" }
                    th scope="col" { "Next, or ended" } th scope="col" { "Last failure" }
                } }
                tbody { @for line in &page.lines { (self::line(page.now, line)) } }
            }
        }
    }
}

fn line(now: OffsetDateTime, line: &Line) -> Markup {
    html! {
        tr {
            th scope="row" { a href=(line.href) { (line.what) } span.sub { (line.url.as_deref().unwrap_or("its trigger is gone")) } }
            td data-label="State" { (badge(line.level, line.state)) }
            td.number data-label="Attempts" { (line.attempts) }
            td data-label="Made" { (ago_or(now, line.created_at, "not known")) }
            td data-label="Next, or ended" { (ago_or(now, line.due_at.or(line.ended_at), "–")) }
            td.reason data-label="Last failure" { (failure(line)) }
        }
    }
}

fn failure(line: &Line) -> Markup {
    html! {
        @match (&line.error, line.status) {
            (Some(error), _) => (error),
            (None, Some(status)) if status >= 300 => { "answered " (status) },
            _ => span.muted { "none" },
        }
    }
}

/// The page of one request.
pub(crate) fn one(page: &Detail) -> Markup {
    let line = &page.line;
    html! {
        nav.crumbs aria-label="Where this is" { a href="/requests" { "Requests" } " / " (line.what) }
        div.head {
            h1 { (line.what) " " span data-region="state" { (badge(line.level, line.state)) } }
            div.actions data-region="actions" { (actions(page)) }
        }
        div.columns {
            section.card aria-labelledby="about-title" {
                h2 #about-title { "About it" }
                div data-region="about" { (about(page)) }
            }
            section.card aria-labelledby="body-title" {
                h2 #body-title { "What is sent" }
                @match &page.body {
                    Some(body) => pre.code.body tabindex="0" aria-label="Body" { (body) },
                    None => p.muted { "It has no body, or it is not kept any more." },
                }
            }
        }
        section.card aria-labelledby="attempts-title" { h2 #attempts-title { "Attempts" } div data-region="attempts" { (attempts(page)) } }
    }
}

/// What moves by itself on the page of one.
pub(crate) fn regions_of_one(page: &Detail) -> Vec<(&'static str, Markup)> {
    let state = badge(page.line.level, page.line.state);
    vec![("state", state), ("actions", actions(page)), ("about", about(page)), ("attempts", attempts(page))]
}

fn actions(page: &Detail) -> Markup {
    html! { @if let Some(replay) = &page.replay { (parts::asked(replay)) } }
}

fn about(page: &Detail) -> Markup {
    let line = &page.line;
    html! {
        dl.pairs {
            dt { "Id" } dd { span.code { (line.id) } }
            dt { "Goes to" } dd { (page.method) " " (line.url.as_deref().unwrap_or("its trigger is gone")) }
            @if let Some((id, href)) = &page.trigger { dt { "Trigger" } dd { a href=(href) { (id) } } }
            @if let Some((id, href)) = &page.tenancy { dt { "Tenancy" } dd { a href=(href) { (id) } } }
            dt { "Made" } dd { (ago_or(page.now, line.created_at, "not known")) }
            @if let Some(at) = line.due_at { dt { "Tried next" } dd { (ago(page.now, at)) } }
            @if let Some(at) = line.ended_at { dt { "Ended" } dd { (ago(page.now, at)) } }
            dt { "Attempts" } dd { (line.attempts) }
            dt { "Last failure" } dd { (failure(line)) }
        }
    }
}

fn attempts(page: &Detail) -> Markup {
    if page.attempts.is_empty() {
        return parts::empty(
            "Not tried yet",
            html! { "Each attempt is listed here with what was answered." },
        );
    }
    html! {
        div.scroll tabindex="0" role="region" aria-label="Attempts, scrollable" {
            table.stack {
                caption.unseen { "Attempts, the first one first" }
                thead { tr {
                    th scope="col" { "Attempt" } th scope="col" { "When" } th scope="col" { "Outcome" } th.number scope="col" { "Took" }
                    th.number scope="col" { "Status" } th scope="col" { "What went wrong" } th scope="col" { "Answer" }
                } }
                tbody {
                    @for attempt in &page.attempts {
                        tr {
                            th scope="row" { (attempt.number) }
                            td data-label="When" { (ago(page.now, attempt.at)) }
                            td data-label="Outcome" {
                                @if attempt.delivered { (badge(Level::Good, "delivered")) } @else { (badge(Level::Bad, "failed")) }
                            }
                            td.number data-label="Took" { (span(attempt.lasted)) }
                            td.number data-label="Status" { @match attempt.status { Some(status) => (status), None => "–" } }
                            td.reason data-label="What went wrong" { (attempt.error.as_deref().unwrap_or("–")) }
                            td.reason data-label="Answer" { span.code { (attempt.answer.as_deref().unwrap_or("–")) } }
                        }
                    }
                }
            }
        }
    }
}
