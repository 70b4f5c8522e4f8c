//! `target check`.

use std::process::ExitCode;

use serde::Serialize;
use tenant_sync_core::config::Config;
use tenant_sync_core::target::check::CheckReport;
use uuid::Uuid;

use super::report::{explain, summary};
use super::{Desk, One};
use crate::context::Context;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    tenancy_id: Uuid,
    id: String,
    #[serde(flatten)]
    check: CheckReport,
}

pub(super) async fn run(context: &Context, config: &Config, one: &One) -> anyhow::Result<ExitCode> {
    let desk = Desk::open(context, config).await?;
    let target = desk.find(one).await?;
    let check = desk.check_stored(&target).await?;
    let ok = check.ok;
    let report = Report { tenancy_id: target.key.tenancy_id, id: target.key.database_id, check };
    context.output.result(&report, |report| {
        let verdict = if report.check.ok { summary(&report.check) } else { "it cannot be used:".into() };
        format!("{verdict}\n{}", explain(&report.check))
    })?;
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
