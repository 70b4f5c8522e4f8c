//! The table of targets: by cause, filtered, sorted, a page at a time.

use std::collections::HashMap;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use tenant_sync_core::registry::browse::TargetFilter;
use tenant_sync_core::registry::targets::STATES;
use tenant_sync_core::registry::tenancies;
use tenant_sync_core::target::class::ErrorClass;
use time::OffsetDateTime;
use uuid::Uuid;

use super::path_of;
use crate::access::Operator;
use crate::http::{Problem, Query};
use crate::pages::address::Address;
use crate::pages::live::{self, Regions};
use crate::pages::overview::facts::words_of;
use crate::pages::overview::judge::cause;
use crate::pages::shell::{Shell, Trouble};
use crate::pages::view::format::things;
use crate::pages::view::frame::Section;
use crate::pages::view::overview::Cause;
use crate::pages::view::targets::{self as view, Choice, Line, Sort, Targets};
use crate::state::Console;
use crate::targets::list::{causes as troubles, page as page_of};
use crate::targets::{Order, TargetLine, cursor};

/// Targets on a page.
const PAGE: i64 = 50;
const EVERY: Duration = Duration::from_secs(2);
/// Orders that look at hundreds of targets are not looked at so often.
const EVERY_LOOKED: Duration = Duration::from_secs(10);
/// In the order of the columns.
const SORTS: [(&str, &str); 7] = [
    ("key", "Target"),
    ("newest", "Added"),
    ("failures", "Failures"),
    ("state", "State"),
    ("last_success", "Last success"),
    ("lag", "Lag"),
    ("rows_behind", "Rows behind"),
];

pub(super) fn router() -> Router<Console> {
    Router::new().route("/targets", get(show)).route("/live/targets", get(stream))
}

/// What the address says.
#[derive(Debug, Clone, Default)]
struct Asked {
    search: Option<String>,
    state: Option<String>,
    cause: Option<String>,
    sort: Option<String>,
    cursor: Option<String>,
    tenancy: Option<Uuid>,
}

impl Asked {
    fn read(query: Query) -> Result<Self, Problem> {
        query.read(|q| {
            let cause = q.text("cause").map(str::to_owned);
            if cause.as_deref().is_some_and(|class| ErrorClass::from_code(class).is_none()) {
                return Err(Problem::invalid("cause", "there is no such cause"));
            }
            Ok(Self {
                search: q.text("query").map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()),
                state: q.one_of("state", &STATES)?.map(str::to_owned),
                cause,
                sort: q.one_of("sort", &SORTS.map(|(name, _)| name))?.map(str::to_owned),
                cursor: q.text("cursor").map(str::to_owned),
                tenancy: q.uuid("tenancy")?,
            })
        })
    }

    fn sort(&self) -> &str {
        self.sort.as_deref().unwrap_or("key")
    }

    fn filter(&self) -> TargetFilter {
        TargetFilter {
            tenancy_id: self.tenancy,
            state: self.state.clone(),
            class: self.cause.clone(),
            search: self.search.clone(),
            ..TargetFilter::default()
        }
    }

    fn order(&self) -> Order {
        Order::of_name(self.sort.as_deref())
    }

    /// What is not in a list of this order.
    fn left_out(&self) -> Option<&'static str> {
        match self.sort() {
            "failures" | "state" => Some("Only targets whose state is not ok are in this order."),
            "last_success" => Some(
                "Of the 500 targets that wait longest; those for which nothing is asked are well and not in this order.",
            ),
            "lag" | "rows_behind" => {
                Some("Of the 500 targets that wait longest; those that lack nothing are not in this order.")
            }
            _ => None,
        }
    }

    fn is_filtered(&self) -> bool {
        self.search.is_some() || self.state.is_some() || self.cause.is_some() || self.tenancy.is_some()
    }

    fn address(&self, path: &str) -> Address {
        Address::new(path)
            .with("query", self.search.as_deref())
            .with("state", self.state.as_deref())
            .with("cause", self.cause.as_deref())
            .with("tenancy", self.tenancy.map(|id| id.to_string()).as_deref())
            .with("sort", self.sort.as_deref())
    }

    fn sorts(&self) -> Vec<Sort> {
        let sort = |(name, words): (&'static str, &'static str)| {
            let ascending = ["key", "state", "last_success"].contains(&name);
            let direction = if ascending { "ascending" } else { "descending" };
            let href = Self { sort: Some(name.to_owned()), ..self.clone() }.address("/targets").to_string();
            let number = ["lag", "rows_behind"].contains(&name);
            Sort { href, words, number, direction: (self.sort() == name).then_some(direction) }
        };
        SORTS.map(sort).into()
    }
}

async fn show(State(console): State<Console>, shell: Shell, query: Query) -> Result<Response, Trouble> {
    let asked = Asked::read(query)?;
    let page = load(&console, &asked).await?;
    let live = asked.address("/live/targets").with("cursor", asked.cursor.as_deref()).to_string();
    Ok(shell.page(Section::Targets, "Targets", Some(&live), &view::content(&page)))
}

async fn stream(State(console): State<Console>, _: Operator, query: Query) -> Result<Response, Problem> {
    let asked = Asked::read(query)?;
    let every = if matches!(asked.order(), Order::Looked(_)) { EVERY_LOOKED } else { EVERY };
    Ok(live::stream(&console, every, move |console| {
        let asked = asked.clone();
        async move { regions(&console, &asked).await }
    }))
}

async fn regions(console: &Console, asked: &Asked) -> Result<Regions, Problem> {
    Ok(view::regions(&load(console, asked).await?))
}

async fn load(console: &Console, asked: &Asked) -> Result<Targets, Problem> {
    let after = asked.cursor.as_deref().map(cursor::read_target).transpose()?;
    let page = page_of(console, asked.filter(), asked.order(), after.as_ref(), PAGE).await?;
    let mut ids: Vec<Uuid> = page.targets.iter().map(|line| line.tenancy_id).collect();
    ids.dedup();
    let client = console.internal.get().await?;
    let names: HashMap<Uuid, String> = tenancies::names(&client, &ids).await?.into_iter().collect();
    drop(client);
    let address = asked.address("/targets");
    let shown = i64::try_from(page.targets.len()).unwrap_or_default();
    let more = page.next_cursor.is_some();
    Ok(Targets {
        now: OffsetDateTime::now_utc(),
        causes: causes(console, asked.cause.as_deref()).await?,
        search: asked.search.clone().unwrap_or_default(),
        states: choices(
            "All",
            STATES.map(|state| (state, state.to_owned())).into_iter(),
            asked.state.as_deref(),
        ),
        classes: choices(
            "All",
            ErrorClass::ALL.into_iter().map(|class| (class.code(), words_of(class.code()))),
            asked.cause.as_deref(),
        ),
        hidden: address.kept(&["sort", "tenancy"]),
        sorts: asked.sorts(),
        left_out: asked.left_out(),
        lines: page.targets.iter().map(|target| line(target, &names)).collect(),
        shown: if more {
            format!("{shown} targets, and there are more")
        } else {
            things(shown, "target", "targets")
        },
        first: asked.cursor.as_ref().map(|_| address.to_string()),
        next: page.next_cursor.as_deref().map(|cursor| address.with("cursor", Some(cursor)).to_string()),
        filtered: asked.is_filtered(),
    })
}

fn choices<'a>(
    all: &str,
    values: impl Iterator<Item = (&'a str, String)>,
    chosen: Option<&str>,
) -> Vec<Choice> {
    let every = Choice { value: String::new(), words: all.to_owned(), chosen: chosen.is_none() };
    let others =
        values.map(|(value, words)| Choice { value: value.to_owned(), words, chosen: chosen == Some(value) });
    std::iter::once(every).chain(others).collect()
}

/// By class alone: whether a target is retried or broken is a matter of minutes.
async fn causes(console: &Console, chosen: Option<&str>) -> Result<Vec<Cause>, Problem> {
    let mut classes: Vec<(String, i64)> = Vec::new();
    for trouble in troubles(console).await?.into_iter().filter(|trouble| trouble.state != "paused") {
        let class = trouble.class.unwrap_or_else(|| "unknown".to_owned());
        match classes.iter_mut().find(|(known, _)| *known == class) {
            Some((_, n)) => *n += trouble.targets.count,
            None => classes.push((class, trouble.targets.count)),
        }
    }
    classes.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    Ok(classes.iter().map(|(class, n)| cause(class, *n, chosen)).collect())
}

fn line(target: &TargetLine, names: &HashMap<Uuid, String>) -> Line {
    Line {
        href: path_of(target.tenancy_id, &target.id),
        id: target.id.clone(),
        tenant: names.get(&target.tenancy_id).cloned().unwrap_or_default(),
        tenancy_id: target.tenancy_id.to_string(),
        created_at: target.created_at.0,
        failures: target.consecutive_failures,
        state: target.state.clone(),
        filling: target.mappings.iter().any(|mapping| mapping.filling),
        error: target.last_error.clone(),
        next_attempt_at: target.next_attempt_at.map(|at| at.0),
        lag: Duration::from_millis(target.lag_millis),
        behind: (target.rows_behind.count, target.rows_behind.at_least),
        last_success_at: target.last_success_at.map(|at| at.0),
    }
}
