//! Triggers: the table of them, and one with what can be done.

mod detail;
mod list;

use axum::Router;
use tenant_sync_core::registry::tenancies;
use uuid::Uuid;

use super::view::parts::Level;
use crate::http::Problem;
use crate::state::Console;
use crate::triggers::Trigger;

pub(super) fn router() -> Router<Console> {
    list::router().merge(detail::router())
}

/// Where a trigger's page is.
fn path_of(id: Uuid) -> String {
    format!("/triggers/{id}")
}

/// Names of tenancies.
async fn names(console: &Console, triggers: &[Trigger]) -> Result<Vec<(Uuid, String)>, Problem> {
    let ids: Vec<Uuid> = triggers.iter().filter_map(|trigger| trigger.tenancy_id).collect();
    Ok(tenancies::names(&console.internal.get().await?, &ids).await?)
}

/// Whose changes it tells.
fn whose(trigger: &Trigger, names: &[(Uuid, String)]) -> String {
    match trigger.tenancy_id {
        None => "all tenants".to_owned(),
        Some(id) => names
            .iter()
            .find(|(known, _)| *known == id)
            .map_or_else(|| id.to_string(), |(_, name)| name.clone()),
    }
}

/// What it listens to.
fn listens_to(trigger: &Trigger) -> String {
    match &trigger.table {
        Some(table) => format!("{table}: {}", trigger.on.join(", ")),
        None => trigger.events.join(", "),
    }
}

/// A sign, a word, and why, as a sentence.
fn standing(trigger: &Trigger) -> (Level, &'static str, Option<String>) {
    let reason = |otherwise: &str| Some(sentence(trigger.state_reason.as_deref().unwrap_or(otherwise)));
    let failing = || trigger.last_error.as_deref().map(sentence);
    match (trigger.state.as_str(), trigger.destination_state.as_str()) {
        ("paused", _) => (Level::Off, "paused", reason("Somebody paused it.")),
        ("broken", _) => (Level::Bad, "broken", reason("Its definition does not fit its table.")),
        (_, "broken") => (Level::Bad, "failing", failing()),
        (_, "retrying") => (Level::Warn, "retrying", failing()),
        _ if trigger.missed_statements > 0 => (Level::Warn, "active", Some(missed(trigger))),
        _ => (Level::Good, "active", None),
    }
}

/// That events are missing.
fn missed(trigger: &Trigger) -> String {
    let number = trigger.missed_statements;
    let statements = if number == 1 { "1 statement".to_owned() } else { format!("{number} statements") };
    format!(
        "{statements} went through without events, the last with {}.",
        trigger.last_fault.as_deref().unwrap_or("an unknown error")
    )
}

fn sentence(text: &str) -> String {
    let mut text = text.trim().to_owned();
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::sentence;

    #[test]
    fn reasons_are_sentences() {
        assert_eq!(sentence("ann paused it in the console"), "Ann paused it in the console.");
        assert_eq!(sentence("The receiver failed."), "The receiver failed.");
    }
}
