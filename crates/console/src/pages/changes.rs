//! What operators did, in words.

use serde_json::Value;

use super::view::overview::Change;
use crate::audit::api::{Entry, page};
use crate::http::Problem;
use crate::state::Console;

/// The last actions, the newest first.
pub(super) async fn latest(console: &Console, limit: i64) -> Result<Vec<Change>, Problem> {
    let page = page(console, None, None, limit).await?;
    Ok(page.entries.iter().map(change).collect())
}

fn change(entry: &Entry) -> Change {
    Change { at: entry.at.0, by: entry.operator.clone(), what: words(&entry.action, &entry.details), to: to(entry) }
}

fn words(action: &str, details: &Value) -> String {
    match action {
        "fusebox.set" => switched(details),
        "target.sync" => "asked for a sync".to_owned(),
        "target.pause" => "paused".to_owned(),
        "target.resume" => "resumed".to_owned(),
        "target.resync" => "asked for a resync".to_owned(),
        other => match other.split_once('.') {
            Some((noun, verb)) => format!("{verb}: {noun}"),
            None => other.to_owned(),
        },
    }
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
fn to(entry: &Entry) -> Option<(String, String)> {
    match (entry.tenancy_id, &entry.subject) {
        (Some(tenancy), Some(target)) => Some((format!("target {target} of {tenancy}"), format!("/targets/{tenancy}/{target}"))),
        (Some(tenancy), None) => Some((format!("tenancy {tenancy}"), format!("/targets?tenancy={tenancy}"))),
        _ => None,
    }
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
        assert_eq!(words("tenancy.create", &json!({})), "create: tenancy");
    }
}
