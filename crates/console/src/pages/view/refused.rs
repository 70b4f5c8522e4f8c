//! Rows that a target refuses: which, why, since when.

use maud::{Markup, html};
use time::OffsetDateTime;

use super::format::{ago, count};
use super::parts;

/// A row that is refused.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) mapping: String,
    /// Columns of its key, with their values.
    pub(crate) key: Vec<(String, String)>,
    /// In our words.
    pub(crate) reason: String,
    pub(crate) since: OffsetDateTime,
    pub(crate) attempts: i32,
    pub(crate) next_attempt_at: OffsetDateTime,
}

/// Everything that the page of all of them shows.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    pub(crate) now: OffsetDateTime,
    /// Tenant and id.
    pub(crate) target: String,
    pub(crate) href: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) shown: String,
    pub(crate) first: Option<String>,
    pub(crate) next: Option<String>,
}

pub(crate) fn content(page: &Refused) -> Markup {
    html! {
        nav.crumbs aria-label="Where this is" { a href="/targets" { "Targets" } " / " a href=(page.href) { (page.target) } }
        div.head { h1 { "Refused rows" } p.muted { "As of the target’s last sync; they are tried again by themselves" } }
        section.card aria-label="Refused rows" {
            @if page.rows.is_empty() {
                (parts::empty("No row is refused", html! { "Everything that " a href=(page.href) { "the target" } " should have goes in." }))
            } @else {
                (table(page.now, &page.rows))
            }
            (parts::pager("refused rows", page.first.as_deref(), page.next.as_deref(), &page.shown))
        }
    }
}

/// The rows as a table.
pub(crate) fn table(now: OffsetDateTime, rows: &[Row]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Refused rows, scrollable" {
            table.stack {
                caption.unseen { "Rows that the target refuses" }
                thead { tr {
                    th scope="col" { "Mapping" } th scope="col" { "Key" } th scope="col" { "Reason" } th scope="col" { "Since" }
                    th.number scope="col" { "Attempts" } th scope="col" { "Next attempt" }
                } }
                tbody { @for row in rows { (self::row(now, row)) } }
            }
        }
    }
}

fn row(now: OffsetDateTime, row: &Row) -> Markup {
    html! {
        tr {
            th scope="row" { (row.mapping) }
            td data-label="Key" {
                span { @for (name, value) in &row.key { span.sub.code { (name) " = " (value) } } }
            }
            td.reason data-label="Reason" { (row.reason) }
            td data-label="Since" { (ago(now, row.since)) }
            td.number data-label="Attempts" { (count(i64::from(row.attempts))) }
            td data-label="Next attempt" { (ago(now, row.next_attempt_at)) }
        }
    }
}
