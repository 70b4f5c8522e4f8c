//! Tenants: finding one.

use maud::{Markup, html};
use time::OffsetDateTime;

use super::format::{ago, count};
use super::parts;

/// A tenant as a line.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) tenant_key: String,
    pub(crate) tenancy_id: String,
    pub(crate) targets: i64,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) users_href: String,
    pub(crate) metrics_href: String,
    pub(crate) targets_href: String,
}

/// Everything that the page shows.
#[derive(Debug, Clone)]
pub(crate) struct Tenants {
    pub(crate) now: OffsetDateTime,
    pub(crate) search: String,
    pub(crate) lines: Vec<Line>,
    pub(crate) first: Option<String>,
    pub(crate) next: Option<String>,
}

pub(crate) fn content(page: &Tenants) -> Markup {
    html! {
        div.head { h1 { "Tenants" } }
        section.card aria-label="Tenants" {
            form.filters method="get" action="/tenants" role="search" {
                div.field.grow {
                    label for="query" { "Search" }
                    input #query type="search" name="query" value=(page.search) maxlength="200" placeholder="Project, tenant key or tenancy id";
                }
                button.primary type="submit" { "Search" }
                @if !page.search.is_empty() { a.button href="/tenants" { "Clear" } }
            }
            (lines(page))
            (parts::pager("tenants", page.first.as_deref(), page.next.as_deref(), ""))
        }
    }
}

fn lines(page: &Tenants) -> Markup {
    if page.lines.is_empty() && !page.search.is_empty() {
        return parts::empty("No tenant is like that", html! { a href="/tenants" { "Show all" } });
    }
    if page.lines.is_empty() {
        return parts::empty(
            "No tenants yet",
            html! { "They are made with " code { "tenant-sync tenancy create --project NAME" } "." },
        );
    }
    html! {
        div.scroll tabindex="0" role="region" aria-label="Tenants, scrollable" {
            table.stack {
                caption.unseen { "Tenants" }
                thead { tr { th scope="col" { "Project" } th scope="col" { "Tenant key" } th.number scope="col" { "Targets" } th scope="col" { "Created" } th scope="col" { "Look at" } } }
                tbody {
                    @for line in &page.lines {
                        tr {
                            th scope="row" { a href=(line.users_href) { (line.name) } span.sub.code { (line.tenancy_id) } }
                            td data-label="Tenant key" {
                                @if line.tenant_key == line.tenancy_id { span.muted { "as the tenancy" } } @else { (line.tenant_key) }
                            }
                            td.number data-label="Targets" { (count(line.targets)) }
                            td data-label="Created" { (ago(page.now, line.created_at)) }
                            td data-label="Look at" {
                                span.actions {
                                    a href=(line.users_href) { "Users" span.unseen { " of " (line.name) } }
                                    a href=(line.metrics_href) { "Metrics" span.unseen { " of " (line.name) } }
                                    a href=(line.targets_href) { "Targets" span.unseen { " of " (line.name) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What the pages of one tenant have in common: whose they are, and the way from one to another.
pub(crate) fn head(name: &str, users: &str, metrics: &str, targets: &str, at: &str) -> Markup {
    html! {
        nav.crumbs aria-label="Where this is" { a href="/tenants" { "Tenants" } " / " (name) }
        div.head {
            h1 { (at) " of " (name) }
            nav.actions aria-label="Pages of this tenant" {
                a.button href=(users) aria-current=[(at == "Users").then_some("page")] { "Users" }
                a.button href=(metrics) aria-current=[(at == "Metrics").then_some("page")] { "Metrics" }
                a.button href=(targets) { "Targets" }
            }
        }
    }
}
