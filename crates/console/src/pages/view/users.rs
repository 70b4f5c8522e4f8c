//! The users of a tenant, a page at a time.

use maud::{Markup, html};
use time::OffsetDateTime;

use super::format::ago;
use super::parts;
use super::targets::{Choice, Sort};

/// A user as a line.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    pub(crate) anonymous: bool,
    /// Address, and whether it is verified; the primary one first.
    pub(crate) channels: Vec<(String, bool)>,
    pub(crate) more_channels: bool,
    pub(crate) methods: Vec<String>,
    pub(crate) signed_up_at: OffsetDateTime,
    pub(crate) last_active_at: OffsetDateTime,
}

/// Everything that the page shows.
#[derive(Debug, Clone)]
pub(crate) struct Users {
    pub(crate) now: OffsetDateTime,
    pub(crate) head: Markup,
    pub(crate) action: String,
    pub(crate) search: String,
    /// How the search works here, when it matters.
    pub(crate) search_note: Option<&'static str>,
    /// Without, with, or only anonymous ones.
    pub(crate) anonymous: Vec<Choice>,
    pub(crate) hidden: Vec<(&'static str, String)>,
    pub(crate) sorts: Vec<Sort>,
    pub(crate) users: Vec<User>,
    pub(crate) first: Option<String>,
    pub(crate) next: Option<String>,
    pub(crate) filtered: bool,
    /// There is a next page.
    pub(crate) goes_on: bool,
}

pub(crate) fn content(page: &Users) -> Markup {
    html! {
        (page.head)
        section.card aria-label="Users" {
            form.filters method="get" action=(page.action) role="search" {
                div.field.grow {
                    label for="query" { "Search" }
                    input #query type="search" name="query" value=(page.search) maxlength="200" placeholder="Name or address"
                        aria-describedby=[page.search_note.map(|_| "search-note")];
                }
                div.field {
                    label for="anonymous" { "Anonymous users" }
                    select #anonymous name="anonymous" data-submits {
                        @for choice in &page.anonymous { option value=(choice.value) selected[choice.chosen] { (choice.words) } }
                    }
                }
                @for (name, value) in &page.hidden { input type="hidden" name=(name) value=(value); }
                button.primary type="submit" { "Search" }
                @if page.filtered { a.button href=(page.action) { "Clear" } }
            }
            @if let Some(note) = page.search_note { p.muted.small #search-note { (note) } }
            (lines(page))
            (parts::pager("users", page.first.as_deref(), page.next.as_deref(), ""))
        }
    }
}

fn lines(page: &Users) -> Markup {
    if page.users.is_empty() {
        return if page.goes_on {
            parts::empty(
                "None so far",
                html! { "Many users are like that, only not around here. The next page goes on with the search." },
            )
        } else if page.filtered {
            parts::empty("No user is like that", html! { a href=(page.action) { "Show all" } })
        } else {
            parts::empty(
                "No users yet",
                html! { "They show up as soon as the application has committed them." },
            )
        };
    }
    html! {
        div.scroll tabindex="0" role="region" aria-label="Users, scrollable" {
            table.stack {
                caption.unseen { "Users" }
                thead { tr {
                    th scope="col" { "User" } th scope="col" { "Addresses" } th scope="col" { "Sign-in methods" }
                    @for sort in &page.sorts {
                        th scope="col" aria-sort=[sort.direction] {
                            a href=(sort.href) { (sort.words) @match sort.direction { Some("ascending") => " ▲", Some(_) => " ▼", None => "" } }
                        }
                    }
                } }
                tbody { @for user in &page.users { (line(page.now, user)) } }
            }
        }
    }
}

fn line(now: OffsetDateTime, user: &User) -> Markup {
    let name = user.name.as_deref().filter(|name| !name.trim().is_empty());
    html! {
        tr {
            th scope="row" {
                span.person {
                    span.avatar aria-hidden="true" { (initials(name.or(user.channels.first().map(|c| c.0.as_str())))) }
                    span {
                        @match name { Some(name) => (name), None => span.muted { "no name" } }
                        @if user.anonymous { " " span.tag { "anonymous" } }
                        span.sub.code { (user.id) }
                    }
                }
            }
            td data-label="Addresses" {
                @if user.channels.is_empty() { span.muted { "none" } } @else {
                    ul.channels { @for (value, verified) in &user.channels {
                        li { (value) " " @if *verified { span.muted.small { "verified" } } @else { span.muted.small { "not verified" } } }
                    }
                    @if user.more_channels { li.muted { "and more" } } }
                }
            }
            td data-label="Sign-in methods" {
                @if user.methods.is_empty() { span.muted { "none" } } @else {
                    span.tags { @for method in &user.methods { span.tag { (method) } } }
                }
            }
            td data-label="Signed up" { (ago(now, user.signed_up_at)) }
            td data-label="Last active" { (ago(now, user.last_active_at)) }
        }
    }
}

fn initials(name: Option<&str>) -> String {
    let Some(name) = name else { return "–".to_owned() };
    let letters = name.split([' ', '@']).filter_map(|word| word.chars().find(|c| c.is_alphanumeric()));
    letters.take(2).flat_map(char::to_uppercase).collect()
}

#[cfg(test)]
mod tests {
    use super::initials;

    #[test]
    fn initials_are_letters_whatever_the_name() {
        let of = |name| initials(Some(name));
        assert_eq!(
            [of("Ada Lovelace"), of("ß"), of("\u{1F600} x"), of("user1@example.com")],
            ["AL", "SS", "X", "UE"]
        );
        assert_eq!(initials(None), "–");
    }
}
