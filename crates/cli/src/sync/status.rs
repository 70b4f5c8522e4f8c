//! `sync status`.

use std::process::ExitCode;

use serde::Serialize;
use tenant_sync_core::config::Config;
use tenant_sync_core::mapping;
use tenant_sync_core::registry::targets::Filter;
use tenant_sync_core::status::{self, MappingStatus, TargetStatus};
use uuid::Uuid;

use super::StateName;
use crate::context::Context;
use crate::output::{self, instant};
use crate::tenancies::MaybeNamed;

/// `sync status`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    tenancy: MaybeNamed,
    /// Only targets in this state
    #[arg(long, value_name = "S")]
    state: Option<StateName>,
}

#[derive(Debug, Serialize)]
struct Report {
    targets: Vec<TargetLine>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TargetLine {
    tenancy_id: Uuid,
    id: String,
    state: String,
    last_error: Option<String>,
    mappings: Vec<MappingLine>,
}

/// How far a mapping is, as dashboards read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MappingLine {
    name: String,
    last_synced_sequence_id: i64,
    backlog_rows: i64,
    backlog_is_at_least: bool,
    lag_millis: u64,
    complete_as_of: Option<String>,
}

impl MappingLine {
    pub(crate) fn new(mapping: &MappingStatus) -> Self {
        Self {
            name: mapping.name.clone(),
            last_synced_sequence_id: mapping.last_synced_sequence_id,
            backlog_rows: mapping.backlog_rows,
            backlog_is_at_least: mapping.backlog_is_at_least,
            lag_millis: u64::try_from(mapping.lag.as_millis()).unwrap_or(u64::MAX),
            complete_as_of: mapping.complete_as_of.map(instant),
        }
    }

    fn backlog(&self) -> String {
        format!("{}{}", self.backlog_rows, if self.backlog_is_at_least { "+" } else { "" })
    }

    fn lag(&self) -> String {
        match self.lag_millis {
            millis @ 0..10_000 => format!("{millis} ms"),
            millis => format!("{} s", millis / 1000),
        }
    }

    /// For people.
    pub(crate) fn sentence(&self) -> String {
        let complete = self.complete_as_of.as_deref().unwrap_or("never yet");
        format!("{}: backlog {}, lag {}, complete as of {complete}", self.name, self.backlog(), self.lag())
    }
}

pub(super) async fn run(context: &Context, config: &Config, args: &Args) -> anyhow::Result<ExitCode> {
    let mappings = mapping::load(config)?;
    let internal = context.internal(config).await?;
    let tenancy_id = args.tenancy.find(&internal.get().await?).await?;
    let filter =
        Filter { tenancy_id, ids: Vec::new(), state: args.state.map(|state| state.as_str().to_owned()) };
    let found = status::read(&internal, &mappings, &filter).await?;
    let report = Report { targets: found.iter().map(target_line).collect() };
    context.output.result(&report, lines)?;
    Ok(ExitCode::SUCCESS)
}

fn target_line(status: &TargetStatus) -> TargetLine {
    TargetLine {
        tenancy_id: status.target.key.tenancy_id,
        id: status.target.key.database_id.clone(),
        state: status.target.state.clone(),
        last_error: status.target.last_error.clone(),
        mappings: status.mappings.iter().map(MappingLine::new).collect(),
    }
}

fn lines(report: &Report) -> String {
    if report.targets.is_empty() {
        return "no targets".into();
    }
    let head = ["TENANCY", "ID", "STATE", "MAPPING", "BACKLOG", "LAG", "COMPLETE AS OF"];
    let mut rows = vec![head.map(String::from).to_vec()];
    let mut errors = Vec::new();
    for target in &report.targets {
        for mapping in &target.mappings {
            rows.push(vec![
                target.tenancy_id.to_string(),
                target.id.clone(),
                target.state.clone(),
                mapping.name.clone(),
                mapping.backlog(),
                mapping.lag(),
                mapping.complete_as_of.clone().unwrap_or_else(|| "-".into()),
            ]);
        }
        errors.extend(
            target.last_error.iter().map(|error| format!("{} of {}: {error}", target.id, target.tenancy_id)),
        );
    }
    format!("{}\n{}", output::table(&rows), errors.join("\n"))
}
