//! The page before all others, and the pages that say that something is not there.

use maud::{Markup, html};

use super::parts::{self, Asked, Level, sign};

/// What came of the last attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attempt {
    None,
    WrongKey,
    /// Too many wrong keys from this address in a minute.
    Wait,
    /// The form was sent by another site's page.
    Elsewhere,
    SignedOut,
}

/// The login form. `next` is where it leads afterwards.
pub(crate) fn login(deployment: &str, next: &str, attempt: &Attempt) -> Markup {
    let wrong = matches!(attempt, Attempt::WrongKey | Attempt::Wait | Attempt::Elsewhere);
    html! {
        form.card.login method="post" action="/login" {
            div.brand { span.mark aria-hidden="true" {} "tenant-sync" span.deployment { (deployment) } }
            h1 { "Log in" }
            @match attempt {
                Attempt::None => {},
                Attempt::WrongKey => div.notice.bad role="alert" #problem { p { "This key is not among " code { "console.admin_keys" } "." } },
                Attempt::Wait => div.notice.bad role="alert" #problem { p { "Too many wrong keys from this address. Wait a minute, then try again." } },
                Attempt::Elsewhere => div.notice.bad role="alert" #problem { p { "The form came from another page. Log in here." } },
                Attempt::SignedOut => div.notice.good role="status" { p { "You are logged out." } },
            }
            div.field {
                label for="key" { "Admin key" }
                input #key name="key" type="password" autocomplete="current-password" required autofocus maxlength="512"
                    aria-invalid=[wrong.then_some("true")] aria-describedby=(if wrong { "problem hint" } else { "hint" });
                p.hint.small #hint { "The part after the colon of an entry of " code { "console.admin_keys" } "; actions are recorded under its name." }
            }
            input type="hidden" name="next" value=(next);
            button.primary type="submit" { "Log in" }
        }
    }
}

/// A question on a page of its own.
pub(crate) fn question(asked: &Asked) -> Markup {
    html! {
        h1.unseen { "Please confirm" }
        section.card.narrow aria-labelledby="question" { (parts::question(asked, "question")) }
    }
}

/// Something went wrong, or is not there: what, and where to go.
pub(crate) fn trouble(headline: &str, text: &str, again: bool) -> Markup {
    html! {
        section.card.narrow {
            div.verdict { (sign(Level::Bad)) div { h1 { (headline) } p { (text) } } }
            p { @if again { "This page tries again by itself every few seconds. " } a href="/" { "To the overview" } }
        }
    }
}
