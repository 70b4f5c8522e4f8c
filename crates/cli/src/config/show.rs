//! `config show`.

use std::process::ExitCode;

use serde::Serialize;
use tenant_sync_core::config::{Setting, explain};

use crate::context::Context;
use crate::output;

#[derive(Debug, Serialize)]
struct Report {
    settings: Vec<Setting>,
}

pub(super) fn run(context: &Context) -> anyhow::Result<ExitCode> {
    let report = Report { settings: explain(context.file())? };
    context.output.result(&report, |report| {
        let mut rows = vec![["KEY", "VALUE", "FROM"].map(String::from).to_vec()];
        rows.extend(report.settings.iter().map(|s| vec![s.key.clone(), s.value.clone(), s.source.clone()]));
        output::table(&rows)
    })?;
    Ok(ExitCode::SUCCESS)
}
