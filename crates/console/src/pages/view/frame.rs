//! The frame around every page: head, navigation, what is said of the connection.

use maud::{DOCTYPE, Markup, html};

use super::parts::{self, Notice};
use crate::pages::assets;

/// Where in the navigation a page belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Overview,
    Targets,
    Queues,
    Requests,
    Triggers,
    Tenants,
    /// Nowhere: errors and questions.
    Elsewhere,
}

/// What every page of a session knows.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// `deployment.name`
    pub(crate) deployment: String,
    /// Whose key it is.
    pub(crate) operator: String,
    /// `light` or `dark`, if chosen; else as the system is set.
    pub(crate) theme: Option<&'static str>,
    /// Whether there are pages of tenants' users.
    pub(crate) tenants: bool,
    /// What became of the operator's last action.
    pub(crate) notice: Option<Notice>,
}

const SECTIONS: [(Section, &str, &str); 6] = [
    (Section::Overview, "/", "Overview"),
    (Section::Targets, "/targets", "Targets"),
    (Section::Queues, "/queues", "Queues"),
    (Section::Requests, "/requests", "Requests"),
    (Section::Triggers, "/triggers", "Triggers"),
    (Section::Tenants, "/tenants", "Tenants"),
];

/// A whole page. `live` is the address of its event stream, if it has one.
pub(crate) fn page(
    frame: &Frame,
    section: Section,
    title: &str,
    live: Option<&str>,
    content: &Markup,
) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" data-theme=[frame.theme] {
            (head(&format!("{title} – tenant-sync {}", frame.deployment)))
            body data-live=[live] {
                a.skip href="#content" { "Skip to the content" }
                header.top {
                    a.brand href="/" { span.mark aria-hidden="true" {} "tenant-sync" span.deployment { (frame.deployment) } }
                    nav aria-label="Main" {
                        ul {
                            @for (at, href, name) in SECTIONS {
                                @if at != Section::Tenants || frame.tenants {
                                    li { a href=(href) aria-current=[(at == section).then_some("page")] { (name) } }
                                }
                            }
                        }
                    }
                    div.tools {
                        @if live.is_some() {
                            span #connection .connection role="status" { noscript { "Reload for newer numbers" } }
                        }
                        (theme_button())
                        form method="post" action="/logout" {
                            button.quiet type="submit" title={ "Signed in with the key “" (frame.operator) "”" } {
                                "Log out" span.who { " " (frame.operator) }
                            }
                        }
                    }
                }
                main #content tabindex="-1" {
                    @if let Some(notice) = &frame.notice { (parts::notice(notice)) }
                    (content)
                }
                div #announce .unseen aria-live="polite" {}
            }
        }
    }
}

/// A page without a session: login, and errors before it.
pub(crate) fn bare(title: &str, theme: Option<&'static str>, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" data-theme=[theme] {
            (head(&format!("{title} – tenant-sync")))
            body.bare {
                main #content tabindex="-1" { (content) }
                div.corner { (theme_button()) }
            }
        }
    }
}

fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            meta name="referrer" content="same-origin";
            title { (title) }
            link rel="icon" href=(assets::ICON.href()) type="image/svg+xml";
            link rel="stylesheet" href=(assets::STYLE.href());
            script src=(assets::SCRIPT.href()) defer {}
        }
    }
}

/// Shown by the script: without it the system's setting holds.
fn theme_button() -> Markup {
    html! { button #theme .quiet type="button" hidden { "Theme" } }
}
