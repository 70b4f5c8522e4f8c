//! The list of triggers.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use tenant_sync_core::triggers::TriggerFilter;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{listens_to, names, path_of, standing, whose};
use crate::access::Operator;
use crate::http::{Problem, Query};
use crate::pages::address::Address;
use crate::pages::live::{self, Regions};
use crate::pages::shell::{Shell, Trouble};
use crate::pages::view::format::things;
use crate::pages::view::frame::Section;
use crate::pages::view::targets::Choice;
use crate::pages::view::triggers::{self as view, Line, Triggers};
use crate::state::Console;
use crate::triggers::Trigger;
use crate::triggers::list::{STATES, page as page_of, read_cursor, standing as by_name};

/// Triggers on a page.
const PAGE: i64 = 50;
const EVERY: Duration = Duration::from_secs(5);
const WORDS: [&str; 4] = ["active", "paused", "broken", "failing, or retried"];

pub(super) fn router() -> Router<Console> {
    Router::new().route("/triggers", get(show)).route("/live/triggers", get(stream))
}

/// What the address says.
#[derive(Debug, Clone)]
struct Wanted {
    search: Option<String>,
    state: Option<&'static str>,
    tenancy: Option<Uuid>,
    cursor: Option<String>,
}

impl Wanted {
    fn read(query: Query) -> Result<Self, Problem> {
        query.read(|q| {
            Ok(Self {
                search: q.text("query").map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()),
                state: q.one_of("state", &STATES)?,
                tenancy: q.uuid("tenancy")?,
                cursor: q.text("cursor").map(str::to_owned),
            })
        })
    }

    fn address(&self, path: &str) -> Address {
        Address::new(path)
            .with("query", self.search.as_deref())
            .with("state", self.state)
            .with("tenancy", self.tenancy.map(|id| id.to_string()).as_deref())
    }
}

async fn show(State(console): State<Console>, shell: Shell, query: Query) -> Result<Response, Trouble> {
    let wanted = Wanted::read(query)?;
    let page = load(&console, &wanted).await?;
    let live = wanted.address("/live/triggers").with("cursor", wanted.cursor.as_deref()).to_string();
    Ok(shell.page(Section::Triggers, "Triggers", Some(&live), &view::content(&page)))
}

async fn stream(State(console): State<Console>, _: Operator, query: Query) -> Result<Response, Problem> {
    let wanted = Wanted::read(query)?;
    Ok(live::stream(&console, EVERY, move |console| {
        let wanted = wanted.clone();
        async move { regions(&console, &wanted).await }
    }))
}

async fn regions(console: &Console, wanted: &Wanted) -> Result<Regions, Problem> {
    Ok(view::regions(&load(console, wanted).await?))
}

async fn load(console: &Console, wanted: &Wanted) -> Result<Triggers, Problem> {
    let filter = TriggerFilter {
        tenancy_id: wanted.tenancy,
        standing: wanted.state.and_then(by_name),
        search: wanted.search.clone(),
    };
    let after = wanted.cursor.as_deref().map(read_cursor).transpose()?;
    let found = page_of(console, &filter, after.as_ref(), PAGE).await?;
    let names = names(console, &found.triggers).await?;
    let all = Choice { value: String::new(), words: "All".to_owned(), chosen: wanted.state.is_none() };
    let choice = |(state, words): (&'static str, &str)| Choice {
        value: state.to_owned(),
        words: words.to_owned(),
        chosen: wanted.state == Some(state),
    };
    let address = wanted.address("/triggers");
    let shown = i64::try_from(found.triggers.len()).unwrap_or_default();
    Ok(Triggers {
        now: OffsetDateTime::now_utc(),
        search: wanted.search.clone().unwrap_or_default(),
        states: std::iter::once(all).chain(STATES.into_iter().zip(WORDS).map(choice)).collect(),
        hidden: address.kept(&["tenancy"]),
        lines: found.triggers.iter().map(|trigger| line(trigger, &names)).collect(),
        shown: match found.next_cursor {
            Some(_) => format!("{shown} triggers, and there are more"),
            None => things(shown, "trigger", "triggers"),
        },
        first: wanted.cursor.as_ref().map(|_| address.to_string()),
        next: found.next_cursor.map(|cursor| address.with("cursor", Some(&cursor)).to_string()),
        filtered: wanted.search.is_some() || wanted.state.is_some() || wanted.tenancy.is_some(),
    })
}

fn line(trigger: &Trigger, names: &[(Uuid, String)]) -> Line {
    let (level, state, reason) = standing(trigger);
    Line {
        href: path_of(trigger.id),
        listens_to: listens_to(trigger),
        url: trigger.url.clone(),
        whose: whose(trigger, names),
        level,
        state,
        reason,
        waiting: (trigger.waiting.count, trigger.waiting.at_least),
        oldest_waiting_at: trigger.oldest_waiting_at.map(|at| at.0),
        dead: (trigger.dead.count, trigger.dead.at_least),
        last_success_at: trigger.last_success_at.map(|at| at.0),
    }
}
