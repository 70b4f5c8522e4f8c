//! `target pause` and `target resume`.

use std::process::ExitCode;

use tenant_sync_core::config::Config;
use tenant_sync_core::registry::targets;

use super::report::TargetLine;
use super::{Desk, One};
use crate::context::Context;

pub(super) async fn pause(context: &Context, config: &Config, one: &One) -> anyhow::Result<ExitCode> {
    let desk = Desk::open(context, config).await?;
    let target = desk.find(one).await?;
    targets::pause(&desk.internal.get().await?, &target.key).await?;
    print(context, &desk, one, "paused; a turn that is running ends within seconds").await
}

pub(super) async fn resume(context: &Context, config: &Config, one: &One) -> anyhow::Result<ExitCode> {
    let desk = Desk::open(context, config).await?;
    let target = desk.find(one).await?;
    targets::resume(&desk.internal.get().await?, &target.key).await?;
    desk.ask("resume", std::slice::from_ref(&target.key)).await?;
    print(context, &desk, one, "resumed").await
}

async fn print(context: &Context, desk: &Desk, one: &One, done: &str) -> anyhow::Result<ExitCode> {
    let line = TargetLine::new(&desk.find(one).await?, &desk.config.sync.schema);
    context.output.result(&line, |line| format!("{} of {}: {done}", line.id, line.tenancy_id))?;
    Ok(ExitCode::SUCCESS)
}
