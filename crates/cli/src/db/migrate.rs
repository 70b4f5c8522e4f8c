//! `db init` and `db migrate`.

use std::process::ExitCode;
use std::time::Instant;

use serde::Serialize;
use tenant_sync_core::config::Config;
use tenant_sync_core::migrate::{self, Decision, Migration, Migrator, Observer, Outcome};

use crate::context::Context;
use crate::output::{self, Output};
use crate::prompt;

/// `db migrate`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Ask before each migration
    #[arg(long)]
    interactive: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    schema: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    database_created: Option<bool>,
    applied: Vec<String>,
    missing: Vec<String>,
    up_to_date: bool,
    /// Applied by a newer version.
    newer: Vec<String>,
    duration_millis: u128,
}

pub(super) async fn init(context: &Context, config: &Config) -> anyhow::Result<ExitCode> {
    let created = migrate::create_database(config).await?;
    if created {
        context.output.progress("created the database");
    }
    apply(context, config, false, Some(created)).await
}

pub(super) async fn run(context: &Context, config: &Config, args: &Args) -> anyhow::Result<ExitCode> {
    apply(context, config, args.interactive, None).await
}

async fn apply(
    context: &Context,
    config: &Config,
    interactive: bool,
    database_created: Option<bool>,
) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let mut watcher = Watcher { output: context.output, interactive, begun };
    let outcome = Migrator::new(config)?.run(&mut watcher).await?;
    let (applied, missing, newer) = match outcome {
        Outcome::UpToDate { newer } => (Vec::new(), Vec::new(), newer),
        Outcome::Applied { names } => (names, Vec::new(), Vec::new()),
        Outcome::Stopped { applied, missing } => (applied, missing, Vec::new()),
    };
    let report = Report {
        schema: config.database.schema.clone(),
        database_created,
        up_to_date: missing.is_empty(),
        applied,
        missing,
        newer,
        duration_millis: begun.elapsed().as_millis(),
    };
    context.output.result(&report, summary)?;
    Ok(if report.up_to_date { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn summary(report: &Report) -> String {
    match (report.applied.len(), report.missing.len()) {
        (0, 0) if report.newer.is_empty() => "up to date".into(),
        (0, 0) => format!("up to date; a newer version also applied {}", report.newer.join(", ")),
        (applied, 0) => format!("applied {applied} in {} ms, up to date", report.duration_millis),
        (applied, missing) => format!("applied {applied}, {missing} still missing"),
    }
}

struct Watcher {
    output: Output,
    interactive: bool,
    begun: Instant,
}

impl Observer for Watcher {
    fn before(&mut self, migration: &Migration) -> Decision {
        let question = format!("Apply {} ({} statements)?", migration.name, migration.statements.len());
        // The answer may take long; the runtime's other threads go on meanwhile.
        if self.interactive && !tokio::task::block_in_place(|| prompt::confirm(&question)) {
            return Decision::Stop;
        }
        self.begun = Instant::now();
        Decision::Apply
    }

    fn applied(&mut self, migration: &Migration) {
        self.output.progress(&format!("{}  {} ms", migration.name, self.begun.elapsed().as_millis()));
    }

    fn waiting(&mut self, holder: &str) {
        output::remark(&format!("waiting for another migrator: {holder}"));
    }
}
