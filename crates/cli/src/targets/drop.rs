//! `target remove`, with and without `--drop`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{anyhow, bail};
use serde::Serialize;
use tenant_sync_core::config::Config;
use tenant_sync_core::outbox::{self, TargetKey};
use tenant_sync_core::registry::targets::{self, Target};
use tenant_sync_core::target::withdraw::{Withdrawn, withdraw};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Desk, One};
use crate::context::{Context, Usage};
use crate::prompt;

/// Longest wait for a worker that is in the middle of a turn.
const RUNNING_MAX: Duration = Duration::from_secs(45);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// `target remove`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    one: One,
    /// Drop our tables in the target, too; nothing else there is touched
    #[arg(long)]
    drop: bool,
    /// Do not ask before --drop
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    tenancy_id: Uuid,
    id: String,
    removed: bool,
    /// What is gone from the target.
    dropped: Vec<String>,
    schema_dropped: bool,
}

pub(super) async fn run(context: &Context, config: &Config, args: &Args) -> anyhow::Result<ExitCode> {
    let desk = Desk::open(context, config).await?;
    let target = desk.find(&args.one).await?;
    let withdrawn = if args.drop {
        agreed(args, &target)?;
        withdraw_ours(&desk, &target).await?
    } else {
        Withdrawn { dropped: Vec::new(), schema_dropped: false }
    };
    targets::remove(&desk.internal.get().await?, &target.key).await?;
    let report = Report {
        tenancy_id: target.key.tenancy_id,
        id: target.key.database_id,
        removed: true,
        dropped: withdrawn.dropped,
        schema_dropped: withdrawn.schema_dropped,
    };
    context.output.result(&report, |report| {
        let there = match (args.drop, report.dropped.len()) {
            (false, _) => "its tables stay".to_owned(),
            (true, 0) => "nothing of ours was there".to_owned(),
            (true, _) => format!("dropped there: {}", report.dropped.join(", ")),
        };
        format!("removed {} of {}; {there}", report.id, report.tenancy_id)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// At a terminal it asks; in a script `--drop` itself says that it is meant.
fn agreed(args: &Args, target: &Target) -> Result<(), Usage> {
    let shown = target.settings.display_url.as_deref().unwrap_or("the target");
    let question = format!("Drop our tables in {shown}?");
    if args.yes || !prompt::is_answerable() || tokio::task::block_in_place(|| prompt::confirm(&question)) {
        Ok(())
    } else {
        Err(Usage("nothing was dropped or removed".into()))
    }
}

/// Pauses the target, waits for a turn that is running, and drops what is ours. If that fails the target is as
/// it was.
async fn withdraw_ours(desk: &Desk, target: &Target) -> anyhow::Result<Withdrawn> {
    let settings = target.settings.opened(&target.key, &desk.keys)?;
    let url = settings.checked(&desk.mappings)?;
    targets::pause(&desk.internal.get().await?, &target.key).await?;
    let dropped = async {
        quiet(desk, &target.key).await?;
        let own_root = settings.ca_certificates.as_deref();
        let session = desk.dialer.connect(&url, own_root, "tenant-sync remove").await.map_err(|error| {
            anyhow!(
                "{} {} Nothing was removed; without --drop the target can be removed all the same",
                error.fault(),
                error.class().advice()
            )
        })?;
        let schema = settings.schema.as_deref().unwrap_or(&desk.config.sync.schema);
        let withdrawn = withdraw(&session, schema, &desk.config.deployment.name, &target.key).await?;
        session.close().await;
        Ok(withdrawn)
    }
    .await;
    if dropped.is_err() {
        targets::restore_state(&desk.internal.get().await?, &target.key, &target.state).await?;
    }
    dropped
}

/// Waits until no worker is in the middle of a turn; no new one begins while the target is paused. Workers tell
/// nobody, so this looks.
async fn quiet(desk: &Desk, key: &TargetKey) -> anyhow::Result<()> {
    let deadline = Instant::now() + RUNNING_MAX;
    while outbox::is_running(&desk.internal.get().await?, key).await? {
        if Instant::now() > deadline {
            bail!("a worker is still writing to the target; nothing was removed, try again later");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}
