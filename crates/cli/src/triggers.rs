//! `tenant-sync trigger …`: whom a change is told by an HTTP request.

mod add;
mod report;
mod test;
mod update;

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use serde::Serialize;
use tenant_sync_core::config::Config;
use tenant_sync_core::outbox;
use tenant_sync_core::triggers::{self, Limits, TriggerCursor, TriggerError, TriggerFilter, TriggerStanding};
use uuid::Uuid;

use crate::context::Context;
use crate::output;
use crate::tables::Remarks;
use crate::tenancies::MaybeNamed;
use report::{TriggerLine, row};

/// `trigger`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Call a URL when rows of a table change, or when something happens here
    Add(Box<add::Args>),
    /// Show the triggers, the newest first
    List(ListArgs),
    /// Show all there is to say about one
    Show(One),
    /// Send it an event trigger.test, and wait for the answer
    Test(test::Args),
    /// Change one that is in use: its URL, what it listens for, its limits, headers and secrets
    Update(Box<update::Args>),
    /// Make no events and send none
    Pause(One),
    /// Make events again; also after its definition was broken
    Resume(One),
    /// Forget it and what waits for it
    Remove(One),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    tenancy: MaybeNamed,
    /// Only those that are active, paused, broken, or whose receiver fails
    #[arg(long, value_name = "STATE")]
    state: Option<State>,
    /// Only those whose URL, or whose tenancy's project or tenant key, begins with this; or an id
    #[arg(long, value_name = "TEXT")]
    query: Option<String>,
    /// How many, at most
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    limit: i64,
    /// Go on where a list ended: its nextCursor
    #[arg(long, value_name = "C")]
    cursor: Option<TriggerCursor>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    Active,
    Paused,
    Broken,
    Failing,
}

impl From<State> for TriggerStanding {
    fn from(state: State) -> Self {
        match state {
            State::Active => Self::Active,
            State::Paused => Self::Paused,
            State::Broken => Self::Broken,
            State::Failing => Self::Failing,
        }
    }
}

/// One trigger.
#[derive(Debug, clap::Args)]
struct One {
    /// The trigger's id
    #[arg(value_name = "ID")]
    id: Uuid,
}

/// Runs one of the commands.
pub(crate) fn run(context: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    context.block_on(&config, async {
        match args.command {
            Command::Add(args) => add::run(context, &config, &args).await,
            Command::List(args) => list(context, &config, &args).await,
            Command::Show(one) => show(context, &config, one.id).await,
            Command::Test(args) => test::run(context, &config, &args).await,
            Command::Update(args) => update::run(context, &config, &args).await,
            Command::Pause(one) => pause(context, &config, one.id).await,
            Command::Resume(one) => resume(context, &config, one.id).await,
            Command::Remove(one) => remove(context, &config, one.id).await,
        }
    })
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ListReport {
    triggers: Vec<TriggerLine>,
    next_cursor: Option<String>,
}

async fn list(context: &Context, config: &Config, args: &ListArgs) -> anyhow::Result<ExitCode> {
    let internal = context.internal(config).await?;
    let client = internal.get().await?;
    let tenancy_id = args.tenancy.find(&client).await?;
    let filter = TriggerFilter {
        tenancy_id,
        standing: args.state.map(TriggerStanding::from),
        search: args.query.clone().filter(|query| !query.is_empty()),
    };
    let page = triggers::browse(&client, &filter, args.cursor.as_ref(), args.limit).await?;
    let report = ListReport {
        triggers: page.entries.into_iter().map(TriggerLine::new).collect(),
        next_cursor: page.next.map(|cursor| cursor.to_string()),
    };
    context.output.result(&report, |report| {
        let head =
            ["ID", "TENANCY", "LISTENS TO", "URL", "STATE", "WAITING", "REMARKS"].map(str::to_owned).to_vec();
        output::table(&std::iter::once(head).chain(report.triggers.iter().map(row)).collect::<Vec<_>>())
    })?;
    context.output.more(report.next_cursor.as_deref());
    Ok(ExitCode::SUCCESS)
}

async fn find(context: &Context, config: &Config, id: Uuid) -> anyhow::Result<TriggerLine> {
    let internal = context.internal(config).await?;
    let line = triggers::find(&internal.get().await?, id).await?;
    Ok(TriggerLine::new(line.ok_or(TriggerError::Unknown(id))?))
}

async fn show(context: &Context, config: &Config, id: Uuid) -> anyhow::Result<ExitCode> {
    let line = find(context, config, id).await?;
    context.output.result(&line, report::in_full)?;
    Ok(ExitCode::SUCCESS)
}

async fn pause(context: &Context, config: &Config, id: Uuid) -> anyhow::Result<ExitCode> {
    let internal = context.internal(config).await?;
    let client = internal.get().await?;
    triggers::pause(&client, id, "an operator paused it").await?;
    outbox::notify(&client).await?;
    drop(client);
    let line = find(context, config, id).await?;
    context
        .output
        .result(&line, |line| format!("{} is paused: it makes no events and sends none", line.id))?;
    Ok(ExitCode::SUCCESS)
}

async fn resume(context: &Context, config: &Config, id: Uuid) -> anyhow::Result<ExitCode> {
    let internal = context.internal(config).await?;
    let mappings = tenant_sync_core::mapping::load(config)?;
    triggers::resume(&internal, &mappings, id, Limits::default(), &mut Remarks).await?;
    outbox::notify(&internal.get().await?).await?;
    let line = find(context, config, id).await?;
    context.output.result(&line, |line| format!("{} is active", line.id))?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RemoveReport {
    id: Uuid,
    removed: bool,
    dropped_requests: u64,
}

async fn remove(context: &Context, config: &Config, id: Uuid) -> anyhow::Result<ExitCode> {
    let internal = context.internal(config).await?;
    let dropped_requests = triggers::remove(&internal, id, Limits::default(), &mut Remarks).await?;
    let report = RemoveReport { id, removed: true, dropped_requests };
    context.output.result(&report, |report| {
        format!("{} is removed, and {} requests that were not delivered", report.id, report.dropped_requests)
    })?;
    Ok(ExitCode::SUCCESS)
}
