//! `tenant-sync uninstall`: takes back everything that is ours in the internal database.

use std::process::ExitCode;

use anyhow::bail;
use serde::Serialize;
use tenant_sync_core::config::Config;
use tenant_sync_core::db::Internal;
use tenant_sync_core::migrate::{Migrations, Migrator};
use tenant_sync_core::tracking::{self, Limits};
use tenant_sync_core::triggers;

use crate::context::Context;
use crate::db::{Consent, agreed};
use crate::output;
use crate::tables::Remarks;

#[derive(Debug, Serialize)]
struct Report {
    database: String,
    schema: String,
    untracked: Vec<String>,
    dropped: Vec<String>,
}

/// Untracks every table, then drops what migrations made; the targets' tables stay with their owners.
pub(crate) fn run(context: &Context, consent: &Consent) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    context.block_on(&config, uninstall(context, &config, consent))
}

async fn uninstall(context: &Context, config: &Config, consent: &Consent) -> anyhow::Result<ExitCode> {
    // Also what is left of the sample application when it is not configured any more.
    let migrator = Migrator::with(config, Migrations::embedded(true)?)?;
    let survey = migrator.survey().await?;
    let (mut untracked, mut dropped) = (Vec::new(), Vec::new());
    if !survey.objects.is_empty() {
        let internal = context.internal(config).await?;
        refuse_while_workers_run(&internal).await?;
        let tables = tracked(&internal).await?;
        for table in &tables {
            output::remark(&format!("  tracked: {table}"));
        }
        let database = agreed(consent, &survey)?;
        if is_there(&*internal.get().await?, "\"HttpTrigger\"").await? {
            triggers::remove_all(&internal, Limits::default(), &mut Remarks).await?;
        }
        for table in tables {
            untracked.push(tracking::untrack(&internal, &table, Limits::default(), &mut Remarks).await?.name);
        }
        drop(internal);
        dropped = migrator.reset(database.as_deref(), &mut ()).await?;
    }
    let report = Report { database: survey.database, schema: survey.schema, untracked, dropped };
    context.output.result(&report, |report| {
        format!(
            "untracked {} tables and dropped {} objects of schema {:?} of {:?}; tables in targets stay with their owners",
            report.untracked.len(),
            report.dropped.len(),
            report.schema,
            report.database
        )
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A worker that runs would fail from now on, or migrate again.
async fn refuse_while_workers_run(internal: &Internal) -> anyhow::Result<()> {
    let client = internal.get().await?;
    if !is_there(&client, "\"WorkerHeartbeat\"").await? {
        return Ok(());
    }
    let sql = r#"select "kind" || ' ' || "id" from "WorkerHeartbeat"
                 where "lastSeenAt" > now() - interval '30 seconds' order by 1"#;
    let running: Vec<String> =
        client.query(sql, &[]).await?.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    if !running.is_empty() {
        bail!(
            "workers are running: {}; stop them first, and nothing is dropped until then",
            running.join(", ")
        );
    }
    Ok(())
}

async fn tracked(internal: &Internal) -> anyhow::Result<Vec<String>> {
    let client = internal.get().await?;
    if !is_there(&client, "\"TrackedTable\"").await? {
        return Ok(Vec::new());
    }
    Ok(tracking::list(&client).await?.into_iter().map(|line| line.name).collect())
}

async fn is_there(client: &tokio_postgres::Client, table: &str) -> anyhow::Result<bool> {
    Ok(client.query_one("select to_regclass($1) is not null", &[&table]).await?.try_get(0)?)
}
