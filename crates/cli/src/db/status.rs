//! `db status`.

use std::process::ExitCode;

use serde::Serialize;
use tenant_sync_core::config::Config;
use tenant_sync_core::migrate::{Migrator, State, Status};
use time::format_description::well_known::Rfc3339;

use crate::context::Context;
use crate::output;

/// `db status`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Exit with 1 unless everything is applied as this version knows it
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    schema: String,
    up_to_date: bool,
    /// Why this version cannot run on the schema, even after migrating.
    problem: Option<String>,
    migrations: Vec<Line>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    name: String,
    state: &'static str,
    breaking: bool,
    finished_at: Option<String>,
}

pub(super) async fn run(context: &Context, config: &Config, args: &Args) -> anyhow::Result<ExitCode> {
    let status = Migrator::new(config)?.status().await?;
    let report = report(&config.database.schema, &status);
    context.output.result(&report, lines)?;
    Ok(if args.check && !report.up_to_date { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn report(schema: &str, status: &Status) -> Report {
    let problem = status.verify().err().map(|error| error.to_string());
    let lines = status.entries.iter().map(|entry| Line {
        name: entry.name.clone(),
        state: match entry.state {
            State::Applied => "applied",
            State::Pending => "pending",
            State::Unfinished => "unfinished",
            State::Changed => "changed",
            State::Unknown => "unknown",
        },
        breaking: entry.breaking,
        finished_at: entry.finished_at.and_then(|at| at.format(&Rfc3339).ok()),
    });
    Report {
        schema: schema.to_owned(),
        up_to_date: problem.is_none() && status.needed().is_empty(),
        migrations: lines.collect(),
        problem,
    }
}

fn lines(report: &Report) -> String {
    let row = |line: &Line| {
        let at = line.finished_at.clone().unwrap_or_else(|| "-".into());
        vec![
            line.state.to_owned(),
            line.name.clone(),
            at,
            if line.breaking { "breaking".into() } else { String::new() },
        ]
    };
    let table = output::table(&report.migrations.iter().map(row).collect::<Vec<_>>());
    let verdict = match &report.problem {
        Some(problem) => problem,
        None if report.up_to_date => "up to date",
        None => "run `tenant-sync db migrate`",
    };
    format!("{table}\n{verdict}")
}
