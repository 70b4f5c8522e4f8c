//! `config set`: a tenancy's targets become what the document says.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use tenant_sync_core::config::Config;
use tenant_sync_core::registry::apply::{self, Applied, Wanted};
use tenant_sync_core::registry::document;
use tenant_sync_core::target::check::CheckReport;
use uuid::Uuid;

use crate::context::Context;
use crate::output;
use crate::targets::{Desk, explain, read_input};
use crate::tenancies::Named;

/// `config set`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    tenancy: Named,
    /// The document, or - for standard input
    #[arg(long, value_name = "F")]
    file: PathBuf,
    /// Store it even if a target cannot be used now
    #[arg(long)]
    no_check: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    stored: bool,
    tenancy_id: Uuid,
    added: Vec<String>,
    updated: Vec<String>,
    unchanged: Vec<String>,
    /// Their tables stay.
    removed: Vec<String>,
    checks: BTreeMap<String, CheckReport>,
}

pub(super) async fn run(context: &Context, config: &Config, args: &Args) -> anyhow::Result<ExitCode> {
    let text = read_input(&args.file)?;
    let document = document::parse(&text)?;
    let desk = Desk::open(context, config).await?;
    let tenancy = args.tenancy.find(&desk.internal.get().await?).await?;
    let wanted = apply::check_all(&desk, tenancy.id, document, !args.no_check).await?;
    let stored = wanted.iter().all(|wanted| wanted.checked.is_good());
    let applied = if stored {
        store(&desk, tenancy.id, &wanted).await?
    } else {
        output::remark("error: nothing was stored, because not all targets pass their checks:");
        Applied::default()
    };
    let mut report = Report {
        stored,
        tenancy_id: tenancy.id,
        added: applied.added,
        updated: applied.updated,
        unchanged: applied.unchanged,
        removed: applied.removed,
        checks: BTreeMap::new(),
    };
    for wanted in wanted {
        let Some(check) = wanted.checked.report else { continue };
        if !check.findings.is_empty() {
            output::remark(&format!("{}:\n{}", wanted.key.database_id, explain(&check)));
        }
        report.checks.insert(wanted.key.database_id, check);
    }
    context.output.result(&report, lines)?;
    Ok(if report.stored { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn store(desk: &Desk, tenancy_id: Uuid, wanted: &[Wanted]) -> anyhow::Result<Applied> {
    let mut client = desk.internal.get().await?;
    let transaction = client.transaction().await?;
    let applied = apply::store(desk, &transaction, tenancy_id, wanted).await?;
    transaction.commit().await?;
    drop(client);
    apply::ask(desk, wanted, &applied).await?;
    Ok(applied)
}

fn lines(report: &Report) -> String {
    if !report.stored {
        return String::new();
    }
    let parts = [
        ("added", &report.added),
        ("updated", &report.updated),
        ("unchanged", &report.unchanged),
        ("removed (their tables stay)", &report.removed),
    ];
    let named = parts.iter().filter(|(_, ids)| !ids.is_empty());
    let lines: Vec<String> = named.map(|(what, ids)| format!("{what}: {}", ids.join(", "))).collect();
    if lines.is_empty() { "no targets".into() } else { lines.join("\n") }
}
