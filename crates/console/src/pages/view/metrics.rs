//! The metrics of a tenant: how many users, from where, by which way.

use maud::{Markup, html};
use time::OffsetDateTime;

use super::chart::{self, Days, Shares};
use super::format::ago;
use super::parts::{self, Level, Notice};

/// Somebody in a short list.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) address: Option<String>,
    pub(crate) at: OffsetDateTime,
}

/// Everything that the page shows.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) now: OffsetDateTime,
    pub(crate) head: Markup,
    pub(crate) total: i64,
    /// How old the numbers are.
    pub(crate) age: std::time::Duration,
    /// Address of the same page with, or without, anonymous users, and what the link says.
    pub(crate) other: (String, &'static str),
    /// Whether all activity was counted.
    pub(crate) complete: bool,
    pub(crate) sign_ups: Days,
    pub(crate) active: Days,
    pub(crate) countries: Shares,
    pub(crate) methods: Shares,
    pub(crate) registered: Vec<Person>,
    pub(crate) recently_active: Vec<Person>,
}

pub(crate) fn content(page: &Metrics) -> Markup {
    let sum = |days: &Days| days.days.iter().map(|d| d.1).sum::<i64>();
    let today = |days: &Days| days.days.last().map_or(0, |d| d.1);
    html! {
        (page.head)
        section.card aria-labelledby="figures-title" {
            div.card-head {
                h2 #figures-title { "Users" }
                p.muted { "As of " @if page.age.as_secs() == 0 { "now" } @else { (super::format::span(page.age)) " ago" } ", days in UTC. " a href=(page.other.0) { (page.other.1) } }
            }
            dl.figures {
                (parts::figure("Users", &super::format::count(page.total), "", ""))
                (parts::figure("Signed up today", &super::format::count(today(&page.sign_ups)), "", &format!("{} in 31 days", super::format::count(sum(&page.sign_ups)))))
                (parts::figure("Active today", &super::format::count(today(&page.active)), "", ""))
            }
        }
        @if !page.complete {
            (parts::notice(&Notice { level: Level::Warn, text: "Activity is still being counted after an import: active users and countries will grow.".to_owned() }))
        }
        section.card aria-label="Charts" {
            div.charts { (chart::days(&page.sign_ups)) (chart::days(&page.active)) (chart::shares(&page.countries)) (chart::shares(&page.methods)) }
        }
        div.columns {
            section.card aria-labelledby="registered-title" { h2 #registered-title { "Recently registered" } (people(page.now, &page.registered, "Registered")) }
            section.card aria-labelledby="active-title" { h2 #active-title { "Recently active" } (people(page.now, &page.recently_active, "Active")) }
        }
    }
}

fn people(now: OffsetDateTime, people: &[Person], when: &str) -> Markup {
    if people.is_empty() {
        return parts::empty("Nobody yet", html! { "The first one will be listed here." });
    }
    html! {
        table {
            caption.unseen { (when) " last" }
            thead { tr { th scope="col" { "User" } th scope="col" { (when) } } }
            tbody {
                @for person in people {
                    tr { th scope="row" { (person.name) @if let Some(address) = &person.address { span.sub { (address) } } } td { (ago(now, person.at)) } }
                }
            }
        }
    }
}
