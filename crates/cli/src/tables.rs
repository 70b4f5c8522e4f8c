//! `tenant-sync table …`: the operator's own tables.

use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;
use tenant_sync_core::config::Config;
use tenant_sync_core::tracking::{self, Firing, Limits, Line, Observer, Request, TrackingError};

use crate::context::{Context, Usage};
use crate::output::{self, instant};

/// `table`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Record changes of a table of your own from now on
    Track(TrackArgs),
    /// End that, and leave the table as it was
    Untrack(UntrackArgs),
    /// Show the tracked tables
    List,
}

#[derive(Debug, clap::Args)]
struct TrackArgs {
    /// The table
    #[arg(value_name = "SCHEMA.TABLE")]
    table: String,
    /// Column that says whose a row is
    #[arg(long, value_name = "C")]
    tenant_column: String,
    /// Columns that count as a change, beside the key and the tenant [default: all]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    columns: Option<Vec<String>>,
}

#[derive(Debug, clap::Args)]
struct UntrackArgs {
    /// The table, or its name in `table list`
    #[arg(value_name = "SCHEMA.TABLE")]
    table: String,
}

/// Says on stderr for whom it waits.
pub(crate) struct Remarks;

impl Observer for Remarks {
    fn waiting(&mut self, line: &str) {
        output::remark(line);
    }
}

/// Runs one of the commands.
pub(crate) fn run(context: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    context.block_on(&config, async {
        match args.command {
            Command::Track(args) => track(context, &config, args).await,
            Command::Untrack(args) => untrack(context, &config, &args).await,
            Command::List => list(context, &config).await,
        }
    })
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TrackReport {
    name: String,
    key_columns: Vec<String>,
    fires_in_replicas: bool,
    own_index: Option<String>,
}

async fn track(context: &Context, config: &Config, args: TrackArgs) -> anyhow::Result<ExitCode> {
    let internal = context.internal(config).await?;
    let request = Request { table: args.table, tenant_column: args.tenant_column, columns: args.columns };
    let tracked =
        tracking::track(&internal, &request, Limits::default(), &mut Remarks).await.map_err(usage)?;
    let report = TrackReport {
        name: tracked.name,
        key_columns: tracked.key_columns,
        fires_in_replicas: tracked.fires_in_replicas,
        own_index: tracked.own_index,
    };
    context.output.result(&report, |report| {
        let mut lines = vec![format!("{} is tracked by {}", report.name, report.key_columns.join(", "))];
        lines.extend(report.own_index.iter().map(|index| format!("first copies use {index}, which was made for them")));
        if !report.fires_in_replicas {
            lines.push(
                "its triggers sleep under session_replication_role = replica: only its owner may enable them always"
                    .to_owned(),
            );
        }
        lines.join("\n")
    })?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct UntrackReport {
    name: String,
}

async fn untrack(context: &Context, config: &Config, args: &UntrackArgs) -> anyhow::Result<ExitCode> {
    let internal = context.internal(config).await?;
    let untracked =
        tracking::untrack(&internal, &args.table, Limits::default(), &mut Remarks).await.map_err(usage)?;
    let report = UntrackReport { name: untracked.name };
    context.output.result(&report, |report| format!("{} is tracked no more", report.name))?;
    Ok(ExitCode::SUCCESS)
}

/// A name that cannot be one is wrong usage.
fn usage(error: TrackingError) -> anyhow::Error {
    match error {
        TrackingError::Name(_) => Usage(error.to_string()).into(),
        error => error.into(),
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    name: String,
    table: String,
    tenant_column: String,
    key_columns: Vec<String>,
    columns: Option<Vec<String>>,
    touches: Vec<String>,
    triggers: Firing,
    has_index: bool,
    own_index: Option<String>,
    faults: i64,
    last_fault: Option<String>,
    last_fault_at: Option<String>,
    partitions_changed: bool,
    tracked_at: String,
}

impl From<Line> for Shown {
    fn from(line: Line) -> Self {
        Self {
            name: line.name,
            table: line.table,
            tenant_column: line.tenant_column,
            key_columns: line.key_columns,
            columns: line.columns,
            touches: line.touches,
            triggers: line.firing,
            has_index: line.has_index,
            own_index: line.own_index,
            faults: line.faults,
            last_fault: line.last_fault,
            last_fault_at: line.last_fault_at.map(instant),
            partitions_changed: line.partitions_changed,
            tracked_at: instant(line.tracked_at),
        }
    }
}

#[derive(Debug, Serialize)]
struct ListReport {
    tables: Vec<Shown>,
}

async fn list(context: &Context, config: &Config) -> anyhow::Result<ExitCode> {
    let internal = context.internal(config).await?;
    let lines = tracking::list(&internal.get().await?).await?;
    let report = ListReport { tables: lines.into_iter().map(Shown::from).collect() };
    context.output.result(&report, |report| {
        let head = ["TABLE", "TENANT", "KEY", "COLUMNS", "TRIGGERS", "REMARKS"].map(str::to_owned).to_vec();
        let rows = report.tables.iter().map(row);
        output::table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
    })?;
    Ok(ExitCode::SUCCESS)
}

fn row(shown: &Shown) -> Vec<String> {
    let triggers = match shown.triggers {
        Firing::Always => "always",
        Firing::Origin => "not in replicas",
        Firing::Disabled => "DISABLED",
        Firing::Missing => "MISSING: track it again",
        Firing::NoTable => "the table is gone: untrack it",
    };
    let mut remarks = Vec::new();
    if let Some(state) = &shown.last_fault {
        remarks.push(format!("{} statements not recorded, the last with {state}", shown.faults));
    }
    if !shown.touches.is_empty() {
        remarks.push(format!("rows of others are found by {}", shown.touches.join(", ")));
    }
    if shown.partitions_changed {
        remarks.push("partitions were attached or detached".to_owned());
    }
    if !shown.has_index {
        remarks.push("no index for first copies: track it again".to_owned());
    }
    vec![
        shown.name.clone(),
        shown.tenant_column.clone(),
        shown.key_columns.join(","),
        shown.columns.as_ref().map_or_else(|| "all".to_owned(), |columns| columns.join(",")),
        triggers.to_owned(),
        remarks.join("; "),
    ]
}
