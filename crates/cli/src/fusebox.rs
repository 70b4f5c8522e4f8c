//! `tenant-sync fusebox …`: the switches that workers honour within a second.

use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;
use tenant_sync_core::config::Config;
use tenant_sync_core::worker::{self, SwitchChange};

use crate::context::{Context, Usage};
use crate::output::{instant, table};

/// `fusebox`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the switches
    Show,
    /// Throw switches: sequencer=off poller=on sync-engine=on requests=on
    Set(SetArgs),
}

#[derive(Debug, clap::Args)]
struct SetArgs {
    /// NAME=on or NAME=off; names are sequencer, poller, sync-engine and requests
    #[arg(required = true, value_name = "SWITCH=on|off", value_parser = parse_setting)]
    settings: Vec<Setting>,
    /// Who throws it, for the record [default: the user's name]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Setting {
    switch: usize,
    on: bool,
}

/// Names on the command line, in the order of the columns.
const SWITCHES: [&str; 4] = ["sequencer", "poller", "sync-engine", "requests"];

fn parse_setting(text: &str) -> Result<Setting, String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=on or NAME=off")?;
    let switch = SWITCHES.iter().position(|switch| *switch == name);
    let switch =
        switch.ok_or_else(|| format!("there is no switch {name:?}; there are {}", SWITCHES.join(", ")))?;
    match value {
        "on" => Ok(Setting { switch, on: true }),
        "off" => Ok(Setting { switch, on: false }),
        _ => Err(format!("{name} can be on or off")),
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Switches {
    sequencer_enabled: bool,
    poller_enabled: bool,
    sync_engine_enabled: bool,
    requests_enabled: bool,
    updated_at: Option<String>,
    updated_by: Option<String>,
}

/// Runs one of the commands.
pub(crate) fn run(context: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    context.block_on(&config, async {
        if let Command::Set(args) = &args.command {
            set(context, &config, args).await?;
        }
        let internal = context.internal(&config).await?;
        let switches = shown(worker::switches(&internal.get().await?).await?);
        context.output.result(&switches, lines)?;
        Ok(ExitCode::SUCCESS)
    })
}

async fn set(context: &Context, config: &Config, args: &SetArgs) -> anyhow::Result<()> {
    let mut wanted: [Option<bool>; SWITCHES.len()] = [None; SWITCHES.len()];
    for setting in &args.settings {
        if wanted[setting.switch].replace(setting.on).is_some_and(|before| before != setting.on) {
            return Err(Usage(format!("{} is given as on and as off", SWITCHES[setting.switch])).into());
        }
    }
    let by = args.by.clone().or_else(|| std::env::var("USER").ok()).filter(|name| !name.is_empty());
    let internal = context.internal(config).await?;
    let [sequencer, poller, sync_engine, requests] = wanted;
    let change = SwitchChange { sequencer, poller, sync_engine, requests };
    worker::throw_switches(&internal.get().await?, change, by.as_deref()).await?;
    Ok(())
}

fn shown(switches: worker::Switches) -> Switches {
    Switches {
        sequencer_enabled: switches.sequencer,
        poller_enabled: switches.poller,
        sync_engine_enabled: switches.sync_engine,
        requests_enabled: switches.requests,
        updated_at: switches.updated_at.map(instant),
        updated_by: switches.updated_by,
    }
}

fn lines(switches: &Switches) -> String {
    let values = [
        switches.sequencer_enabled,
        switches.poller_enabled,
        switches.sync_engine_enabled,
        switches.requests_enabled,
    ];
    let rows: Vec<Vec<String>> = SWITCHES
        .iter()
        .zip(values)
        .map(|(name, on)| vec![(*name).to_owned(), if on { "on" } else { "off" }.to_owned()])
        .collect();
    let by = switches.updated_by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
    let at = switches.updated_at.as_deref().unwrap_or("-");
    format!("{}\nlast changed {at}{by}", table(&rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_has_a_name_and_a_position() {
        assert_eq!(parse_setting("sync-engine=off"), Ok(Setting { switch: 2, on: false }));
        assert_eq!(parse_setting("requests=on"), Ok(Setting { switch: 3, on: true }));
        for bad in ["sequencer", "sequencer=", "sequencer=true", "engine=on", "=on"] {
            assert!(parse_setting(bad).is_err(), "{bad}");
        }
        assert!(parse_setting("engine=on").is_err_and(|e| e.contains("engine") && e.contains("sync-engine")));
    }
}
