//! Small pieces that several pages share.

use maud::{Markup, html};

/// How well something is. The word beside it always says the same: colour is never the only sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// It works, and there is nothing to do.
    Good,
    /// Somebody switched it off or paused it.
    Off,
    /// It works, but should be looked at.
    Warn,
    /// It does not work.
    Bad,
}

impl Level {
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Off => "off",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }

    /// A sign that is told apart without colour.
    fn sign(self) -> &'static str {
        match self {
            Self::Good => "✓",
            Self::Off => "‖",
            Self::Warn => "!",
            Self::Bad => "✕",
        }
    }
}

/// A sign with its word.
pub(crate) fn badge(level: Level, word: &str) -> Markup {
    html! { span class={ "badge " (level.class()) } { span.sign aria-hidden="true" { (level.sign()) } (word) } }
}

/// The large sign before a headline.
pub(crate) fn sign(level: Level) -> Markup {
    html! { span class={ "big-sign " (level.class()) } aria-hidden="true" { (level.sign()) } }
}

/// The badge of a target's state.
pub(crate) fn target_state(state: &str) -> Markup {
    let (level, word) = match state {
        "ok" => (Level::Good, "ok"),
        "retrying" => (Level::Warn, "retrying"),
        "broken" => (Level::Bad, "broken"),
        "refused" => (Level::Bad, "refused"),
        "paused" => (Level::Off, "paused"),
        other => (Level::Warn, other),
    };
    badge(level, word)
}

/// What is said where there is nothing to show, with what to do about it.
pub(crate) fn empty(headline: &str, hint: Markup) -> Markup {
    html! { div.empty { p.headline { (headline) } p { (hint) } } }
}

/// What is said where something could not be read. The rest of the page stays useful.
pub(crate) fn failed(what: &str, why: &str) -> Markup {
    html! { div.failed role="alert" { p.headline { (sign(Level::Bad)) (what) } p { (why) } } }
}

/// The outcome of what the operator just did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) level: Level,
    pub(crate) text: String,
}

pub(crate) fn notice(notice: &Notice) -> Markup {
    html! {
        div class={ "notice " (notice.level.class()) } role="status" { (sign(notice.level)) p { (notice.text) } }
    }
}

/// A button whose action is asked back: a link to a page that asks, or, with JavaScript, a dialog in this one.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Unique in the page.
    pub(crate) id: String,
    /// What the button says.
    pub(crate) label: String,
    /// What it says to those who do not see what stands beside it.
    pub(crate) spoken: String,
    /// The question.
    pub(crate) question: String,
    /// What will happen.
    pub(crate) consequence: String,
    /// Where the form goes; a GET there asks the same question on a page of its own.
    pub(crate) href: String,
    /// Where "no" leads on that page.
    pub(crate) back: String,
    /// Whether it may hurt.
    pub(crate) dangerous: bool,
}

/// The button and its dialog.
pub(crate) fn asked(asked: &Asked) -> Markup {
    let title = format!("{}-title", asked.id);
    html! {
        a.button.danger[asked.dangerous] href=(asked.href) id=(asked.id) data-dialog={ (asked.id) "-dialog" } role="button" aria-label=(asked.spoken) {
            (asked.label)
        }
        dialog id={ (asked.id) "-dialog" } aria-labelledby=(title) {
            (question(asked, &title))
        }
    }
}

/// The question with its two answers, for the dialog and for the page.
pub(crate) fn question(asked: &Asked, title: &str) -> Markup {
    html! {
        form.question method="post" action=(asked.href) {
            h2 id=(title) { (asked.question) }
            p { (asked.consequence) }
            div.answers {
                button.danger[asked.dangerous].primary[!asked.dangerous] type="submit" { (asked.label) }
                a.button href=(asked.back) data-close { "Leave it as it is" }
            }
        }
    }
}

/// Something that is done at once.
pub(crate) fn action(href: &str, label: &str) -> Markup {
    html! {
        form.inline method="post" action=(href) {
            button type="submit" { (label) }
        }
    }
}

/// How far something is. Without a share nobody can say, and the bar only moves.
pub(crate) fn progress(label: &str, share: Option<f64>, words: &str) -> Markup {
    html! {
        div.progress {
            @match share {
                Some(share) => progress max="1" value=(format!("{share:.3}")) aria-label=(label) {},
                None => progress aria-label=(label) {},
            }
            span { (words) }
        }
    }
}

/// A number with its name, as large as its importance.
pub(crate) fn figure(label: &str, value: &str, unit: &str, hint: &str) -> Markup {
    html! {
        div.figure {
            dt { (label) }
            dd { span.value { (value) } @if !unit.is_empty() { " " span.unit { (unit) } } @if !hint.is_empty() { span.hint { (hint) } } }
        }
    }
}

/// Links to the first and the next part of a list.
pub(crate) fn pager(what: &str, first: Option<&str>, next: Option<&str>, shown: &str) -> Markup {
    html! {
        nav.pager aria-label={ "Pages of " (what) } {
            span.muted { (shown) }
            @if let Some(first) = first { a.button href=(first) { "First page" } }
            @if let Some(next) = next { a.button href=(next) rel="next" { "Next page" } }
        }
    }
}
