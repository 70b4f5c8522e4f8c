//! The metrics of a tenant.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use super::shell::{Shell, Trouble};
use super::tenants;
use super::users::method_words;
use super::view::chart::{Days, Shares};
use super::view::format::{count, things};
use super::view::frame::Section;
use super::view::metrics::{self as view, Person};
use crate::http::{PathParameters, Query};
use crate::metrics::{self, DayCount};
use crate::state::Console;
use crate::users::User;

/// Countries that are shown one by one.
const COUNTRIES: usize = 15;

pub(super) fn router() -> Router<Console> {
    Router::new().route("/tenants/{tenancy_id}/metrics", get(show))
}

async fn show(
    State(console): State<Console>,
    shell: Shell,
    path: PathParameters,
    query: Query,
) -> Result<Response, Trouble> {
    let tenancy_id = path.tenancy_id()?;
    let anonymous = query.read(|q| Ok(q.one_of("anonymous", &["too"])?.is_some()))?;
    let tenant = tenants::find(&console, tenancy_id).await?;
    let aged = metrics::of(&console, tenancy_id, anonymous).await?;
    let numbers = &aged.metrics;
    let path = format!("/tenants/{tenancy_id}/metrics");
    let page = view::Metrics {
        now: OffsetDateTime::now_utc(),
        head: tenant.head("Metrics"),
        total: numbers.total_users,
        age: aged.age,
        other: if anonymous {
            (path, "Leave anonymous users out")
        } else {
            (format!("{path}?anonymous=too"), "Count anonymous users, too")
        },
        complete: numbers.activity_complete,
        sign_ups: sign_ups(&numbers.daily_sign_ups),
        active: active(&numbers.daily_active_users),
        countries: countries(numbers),
        methods: methods(numbers),
        registered: numbers
            .recently_registered
            .iter()
            .map(|user| person(user, user.signed_up_at.0))
            .collect(),
        recently_active: numbers
            .recently_active
            .iter()
            .map(|user| person(user, user.last_active_at.0))
            .collect(),
    };
    let title = format!("Metrics of {}", tenant.name);
    Ok(shell.page(Section::Tenants, &title, None, &view::content(&page)))
}

fn dates(days: &[DayCount]) -> Vec<(Date, i64)> {
    let format = format_description!("[year]-[month]-[day]");
    days.iter().filter_map(|day| Some((Date::parse(&day.day, format).ok()?, day.users))).collect()
}

fn sign_ups(days: &[DayCount]) -> Days {
    let total: i64 = days.iter().map(|day| day.users).sum();
    let note = format!("{} in {} days", things(total, "sign-up", "sign-ups"), days.len());
    Days { title: "Sign-ups", one: "sign-up", many: "sign-ups", note, days: dates(days) }
}

fn active(days: &[DayCount]) -> Days {
    let most = days.iter().map(|day| day.users).max().unwrap_or_default();
    let note = format!("at most {} a day", count(most));
    Days { title: "Active users", one: "active user", many: "active users", note, days: dates(days) }
}

fn countries(numbers: &metrics::Metrics) -> Shares {
    let all = &numbers.users_by_country;
    let mut rows: Vec<(String, i64)> =
        all.iter().take(COUNTRIES).map(|country| (country.country_code.clone(), country.users)).collect();
    let others: i64 = all.iter().skip(COUNTRIES).map(|country| country.users).sum();
    if others > 0 {
        rows.push((format!("{} others", all.len() - COUNTRIES), others));
    }
    if numbers.users_without_country > 0 && !rows.is_empty() {
        rows.push(("not known".to_owned(), numbers.users_without_country));
    }
    Shares {
        title: "Countries",
        of: "Users",
        by: "Country",
        rows,
        empty: "No country is known of any user yet: activity events bring it.",
    }
}

fn methods(numbers: &metrics::Metrics) -> Shares {
    let rows = numbers.sign_in_methods.iter();
    Shares {
        title: "Sign-in methods",
        of: "Users",
        by: "Method",
        rows: rows.map(|m| (method_words(m.kind.as_deref(), m.provider.as_deref()), m.users)).collect(),
        empty: "No user can sign in yet.",
    }
}

fn person(user: &User, at: OffsetDateTime) -> Person {
    Person {
        name: user
            .display_name
            .clone()
            .filter(|name| !name.trim().is_empty())
            .unwrap_or_else(|| "no name".to_owned()),
        address: user.primary_email.clone(),
        at,
    }
}
