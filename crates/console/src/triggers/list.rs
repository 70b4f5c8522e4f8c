//! A list of triggers, and one of them.

use axum::extract::State;
use serde_json::json;
use tenant_sync_core::triggers::{self, TriggerCursor, TriggerFilter, TriggerStanding};
use uuid::Uuid;

use super::model::{Trigger, TriggerPage};
use crate::api::sync;
use crate::http::{Json, PathParameters, Problem, Query};
use crate::routes::{Routes, endpoint};
use crate::state::Console;

/// Names of [`TriggerStanding`].
pub(crate) const STATES: [&str; 4] = ["active", "paused", "broken", "failing"];

pub(super) fn routes() -> Routes {
    Routes::default()
        .get(
            sync!("/triggers"),
            list,
            endpoint("Triggers, the newest first")
                .pages()
                .parameter(
                    "state",
                    "Only those in it; failing = whose receiver does not take requests",
                    json!({ "type": "string", "enum": STATES }),
                )
                .parameter("tenancy_id", "Only of this tenancy", json!({ "type": "string", "format": "uuid" }))
                .parameter(
                    "query",
                    "Only those whose URL begins with it (with or without https://), those of tenancies whose project or \
                     tenant key does, or the one with this id; of the first 10,000 of each kind",
                    json!({ "type": "string" }),
                )
                .answers::<TriggerPage>(),
        )
        .get(
            sync!("/triggers/{trigger_id}"),
            show,
            endpoint("A trigger, and how its receiver does").answers::<Trigger>(),
        )
}

async fn list(State(console): State<Console>, query: Query) -> Result<Json<TriggerPage>, Problem> {
    let (filter, after, limit) = query.read(|q| {
        let filter = TriggerFilter {
            tenancy_id: q.uuid("tenancy_id")?,
            standing: q.one_of("state", &STATES)?.and_then(standing),
            search: q.text("query").map(str::to_owned),
        };
        Ok((filter, q.text("cursor").map(read_cursor).transpose()?, q.limit()?))
    })?;
    Ok(Json(page(&console, &filter, after.as_ref(), limit).await?))
}

/// By its name.
pub(crate) fn standing(name: &str) -> Option<TriggerStanding> {
    TriggerStanding::ALL.into_iter().find(|standing| standing.as_str() == name)
}

/// # Errors
/// It is none that we gave.
pub(crate) fn read_cursor(text: &str) -> Result<TriggerCursor, Problem> {
    text.parse().map_err(|error| Problem::invalid("cursor", error))
}

/// A page of triggers.
pub(crate) async fn page(
    console: &Console,
    filter: &TriggerFilter,
    after: Option<&TriggerCursor>,
    limit: i64,
) -> Result<TriggerPage, Problem> {
    let client = console.internal.get().await?;
    let found = triggers::browse(&client, filter, after, limit).await?;
    Ok(TriggerPage {
        triggers: found.entries.into_iter().map(Trigger::from).collect(),
        next_cursor: found.next.map(|cursor| cursor.to_string()),
    })
}

async fn show(
    State(console): State<Console>,
    path: PathParameters,
    query: Query,
) -> Result<Json<Trigger>, Problem> {
    query.none()?;
    Ok(Json(detail(&console, path.uuid("trigger_id")?).await?))
}

/// One trigger.
pub(crate) async fn detail(console: &Console, id: Uuid) -> Result<Trigger, Problem> {
    let client = console.internal.get().await?;
    triggers::find(&client, id).await?.map(Trigger::from).ok_or_else(no_such)
}

pub(super) fn no_such() -> Problem {
    Problem::not_found("there is no such trigger")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_standing_has_its_name() {
        assert_eq!(TriggerStanding::ALL.map(TriggerStanding::as_str), STATES);
        assert_eq!(standing("failing"), Some(TriggerStanding::Failing));
        assert_eq!(standing("odd"), None);
    }
}
