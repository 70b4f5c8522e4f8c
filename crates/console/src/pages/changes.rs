//! What operators did, in words.

use serde_json::Value;
use tenant_sync_core::registry::tenancies;
use uuid::Uuid;

use super::view::overview::Change;
use crate::audit::api::{Entry, page};
use crate::http::Problem;
use crate::state::Console;

/// The last actions, the newest first.
pub(super) async fn latest(console: &Console, limit: i64) -> Result<Vec<Change>, Problem> {
    let entries = page(console, None, None, limit).await?.entries;
    let ids: Vec<Uuid> = entries.iter().filter_map(|entry| entry.tenancy_id).collect();
    let names = tenancies::names(&console.internal.get().await?, &ids).await?;
    let change = |entry: &Entry| Change {
        at: entry.at.0,
        by: entry.operator.clone(),
        what: words(&entry.action, &entry.details),
        to: to(entry, &names),
    };
    Ok(entries.iter().map(change).collect())
}

fn words(action: &str, details: &Value) -> String {
    match action {
        "fusebox.set" => switched(details),
        "target.sync" => "asked for a sync".to_owned(),
        "target.pause" => "paused".to_owned(),
        "target.resume" => "resumed".to_owned(),
        "request.replay" => "sent requests again".to_owned(),
        "target.resync" => "asked for a resync".to_owned(),
        "trigger.pause" => "paused the trigger of".to_owned() + &url(details),
        "trigger.resume" => "resumed the trigger of".to_owned() + &url(details),
        "trigger.test" => "sent a test to the trigger of".to_owned() + &url(details),
        other => match other.split_once('.') {
            Some((noun, verb)) => format!("{verb}: {noun}"),
            None => other.to_owned(),
        },
    }
}

/// Whom a trigger calls.
fn url(details: &Value) -> String {
    format!(" {}", details["url"].as_str().unwrap_or("nobody"))
}

/// `{"sequencerEnabled": false}`
fn switched(details: &Value) -> String {
    let switches = details.as_object().into_iter().flatten();
    let words: Vec<String> = switches
        .map(|(name, on)| {
            let name = name.strip_suffix("Enabled").unwrap_or(name);
            let name = if name == "syncEngine" { "sync engine" } else { name };
            format!("switched {name} {}", if on == &Value::Bool(true) { "on" } else { "off" })
        })
        .collect();
    words.join(", ")
}

/// Which target or tenancy, and where that is.
fn to(entry: &Entry, names: &[(Uuid, String)]) -> Option<(String, String)> {
    let tenancy = entry.tenancy_id?;
    // A tenancy that is gone has no name any more.
    let known = names.iter().find(|(id, _)| *id == tenancy);
    let name = known.map_or_else(|| tenancy.to_string(), |(_, name)| name.clone());
    Some(match &entry.subject {
        Some(target) => (format!("{name} / {target}"), format!("/targets/{tenancy}/{target}")),
        None => (name, format!("/targets?tenancy={tenancy}")),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn actions_read_as_sentences() {
        let details = json!({ "sequencerEnabled": false, "syncEngineEnabled": true });
        assert_eq!(words("fusebox.set", &details), "switched sequencer off, switched sync engine on");
        assert_eq!(words("target.pause", &json!({})), "paused");
        let details = json!({ "url": "https://example.org/x" });
        assert_eq!(words("trigger.pause", &details), "paused the trigger of https://example.org/x");
        assert_eq!(words("tenancy.create", &json!({})), "create: tenancy");
    }
}
