//! The fusebox: what the pages ask before a switch is thrown, and the throwing.

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use tenant_sync_core::worker::SwitchChange;

use super::shell::{Shell, Trouble};
use super::view::frame::Section;
use super::view::login;
use super::view::overview::Switch;
use super::view::parts::{Asked, Level, Notice};
use crate::api::fusebox::{self, Switches};
use crate::http::Problem;
use crate::state::Console;

/// A switch in words.
struct Fuse {
    /// In addresses.
    code: &'static str,
    name: &'static str,
    /// What it means that it is on, and that it is off.
    meaning: [&'static str; 2],
    change: fn(bool) -> SwitchChange,
    is_on: fn(&Switches) -> bool,
}

const FUSES: [Fuse; 4] = [
    Fuse {
        code: "sequencer",
        name: "Sequencer",
        meaning: [
            "Changed rows get their ids.",
            "Changed rows get no ids: they wait in the internal Postgres, and targets stay as they are.",
        ],
        change: |on| SwitchChange { sequencer: Some(on), ..SwitchChange::default() },
        is_on: |switches| switches.sequencer_enabled,
    },
    Fuse {
        code: "poller",
        name: "Poller",
        meaning: [
            "What is due is handed to RabbitMQ.",
            "Nothing is handed to RabbitMQ: what is due waits in the outbox.",
        ],
        change: |on| SwitchChange { poller: Some(on), ..SwitchChange::default() },
        is_on: |switches| switches.poller_enabled,
    },
    Fuse {
        code: "sync-engine",
        name: "Sync engine",
        meaning: [
            "Workers write to the tenants’ databases.",
            "Workers write to no tenant’s database; jobs that run end within seconds.",
        ],
        change: |on| SwitchChange { sync_engine: Some(on), ..SwitchChange::default() },
        is_on: |switches| switches.sync_engine_enabled,
    },
    Fuse {
        code: "requests",
        name: "Requests",
        meaning: ["HTTP requests are sent.", "No HTTP request is sent: they wait in the outbox."],
        change: |on| SwitchChange { requests: Some(on), ..SwitchChange::default() },
        is_on: |switches| switches.requests_enabled,
    },
];

pub(super) fn router() -> Router<Console> {
    Router::new().route("/switches/{name}/{state}", get(ask).post(throw))
}

/// The switches as the overview shows them.
pub(super) fn shown(switches: &Switches) -> Vec<Switch> {
    FUSES
        .iter()
        .map(|fuse| {
            let on = (fuse.is_on)(switches);
            Switch { name: fuse.name, on, meaning: fuse.meaning[usize::from(!on)], asked: asked(fuse, !on) }
        })
        .collect()
}

fn asked(fuse: &Fuse, on: bool) -> Asked {
    let (verb, state) = if on { ("on", "on") } else { ("off", "off") };
    let name = fuse.name.to_lowercase();
    let consequence = if on {
        format!("{} Workers follow within a second, and what waits is done first.", fuse.meaning[0])
    } else {
        format!("{} Workers follow within a second. Nothing is lost.", fuse.meaning[1])
    };
    Asked {
        id: format!("switch-{}", fuse.code),
        label: format!("Switch {verb}"),
        spoken: format!("Switch {verb} the {name}"),
        question: format!("Switch the {name} {verb}?"),
        consequence,
        href: format!("/switches/{}/{state}", fuse.code),
        back: "/".to_owned(),
        dangerous: !on,
    }
}

fn find(name: &str, state: &str) -> Result<(&'static Fuse, bool), Problem> {
    let fuse = FUSES.iter().find(|fuse| fuse.code == name);
    let on = match state {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    };
    fuse.zip(on).ok_or_else(|| Problem::not_found("there is no such switch"))
}

async fn ask(shell: Shell, Path((name, state)): Path<(String, String)>) -> Result<Response, Trouble> {
    let (fuse, on) = find(&name, &state)?;
    let content = login::question(&asked(fuse, on));
    Ok(shell.page(Section::Elsewhere, &format!("{} {state}?", fuse.name), None, &content))
}

async fn throw(
    State(console): State<Console>,
    shell: Shell,
    Path((name, state)): Path<(String, String)>,
) -> Result<Response, Trouble> {
    let (fuse, on) = find(&name, &state)?;
    fusebox::set(&console, &shell.operator, (fuse.change)(on)).await?;
    Ok(Redirect::to(&format!("/?did=switch-{name}-{state}")).into_response())
}

/// What is said after a switch was thrown; `did` comes from the address.
pub(super) fn notice(did: &str) -> Option<Notice> {
    let (name, state) = did.strip_prefix("switch-")?.rsplit_once('-')?;
    let (fuse, on) = find(name, state).ok()?;
    let text = format!("{} switched {state}. Workers follow within a second.", fuse.name);
    Some(Notice { level: if on { Level::Good } else { Level::Off }, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_switch_is_asked_about_and_thrown_at_one_address() {
        let switches = Switches {
            sequencer_enabled: true,
            poller_enabled: false,
            sync_engine_enabled: true,
            requests_enabled: true,
            updated_at: None,
            updated_by: None,
        };
        let shown = shown(&switches);
        assert_eq!(shown.iter().map(|s| s.on).collect::<Vec<_>>(), [true, false, true, true]);
        assert_eq!(shown[0].asked.href, "/switches/sequencer/off");
        assert!(shown[0].asked.dangerous && !shown[1].asked.dangerous);
        for switch in &shown {
            let mut path = switch.asked.href.split('/').skip(2);
            let (name, state) = (path.next().expect("a name"), path.next().expect("a state"));
            assert!(find(name, state).is_ok(), "{}", switch.asked.href);
            assert!(notice(&format!("switch-{name}-{state}")).is_some());
        }
        assert!(find("sequencer", "maybe").is_err() && find("lights", "on").is_err());
        assert_eq!(notice("switch-<b>-on"), None);
    }
}
