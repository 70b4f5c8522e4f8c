//! `config set`: a tenancy's targets become what the document says.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use serde::Serialize;
use tenant_sync_core::config::Config;
use tenant_sync_core::outbox::TargetKey;
use tenant_sync_core::registry::targets::{self, Filter, Target};
use tenant_sync_core::registry::{Settings, target_key};
use tenant_sync_core::target::check::CheckReport;
use uuid::Uuid;

use super::document;
use crate::context::Context;
use crate::output;
use crate::targets::{Checked, Desk, explain, read_input};
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

/// A target that the document names.
struct Wanted {
    key: TargetKey,
    settings: Settings,
    checked: Checked,
}

pub(super) async fn run(context: &Context, config: &Config, args: &Args) -> anyhow::Result<ExitCode> {
    let text = read_input(&args.file)?;
    let document = document::parse(&text)?;
    let desk = Desk::open(context, config).await?;
    let tenancy = args.tenancy.find(&desk.internal.get().await?).await?;
    let wanted = check_all(&desk, tenancy.id, document, !args.no_check).await?;
    let mut report = Report {
        stored: wanted.iter().all(|wanted| wanted.checked.is_good()),
        tenancy_id: tenancy.id,
        added: Vec::new(),
        updated: Vec::new(),
        unchanged: Vec::new(),
        removed: Vec::new(),
        checks: BTreeMap::new(),
    };
    if report.stored {
        store(&desk, tenancy.id, &wanted, &mut report).await?;
    } else {
        output::remark("error: nothing was stored, because not all targets pass their checks:");
    }
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

/// Checks what can be checked without servers first, then looks at all targets at once.
async fn check_all(
    desk: &Desk<'_>,
    tenancy_id: Uuid,
    document: BTreeMap<String, Settings>,
    look: bool,
) -> anyhow::Result<Vec<Wanted>> {
    let mut keyed = Vec::new();
    for (id, settings) in document {
        let key = target_key(tenancy_id, &id)?;
        settings.checked(&desk.mappings).with_context(|| format!("target {id}"))?;
        keyed.push((key, settings));
    }
    let checks = keyed.into_iter().map(|(key, settings)| async move {
        let checked = desk.check(&key, &settings, look).await?;
        Ok(Wanted { key, settings, checked })
    });
    futures_util::future::join_all(checks).await.into_iter().collect()
}

/// One transaction. The lock on the tenancy lets two of these take turns, and the application go on.
async fn store(
    desk: &Desk<'_>,
    tenancy_id: Uuid,
    wanted: &[Wanted],
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut client = desk.internal.get().await?;
    let transaction = client.transaction().await?;
    transaction.execute(r#"select from "Tenancy" where "id" = $1 for no key update"#, &[&tenancy_id]).await?;
    let filter = Filter { tenancy_id: Some(tenancy_id), ..Filter::default() };
    let present = targets::list(&transaction, &filter).await?;
    for Wanted { key, settings, checked } in wanted {
        let same = |target: &Target| target.settings.mean(settings, key, &desk.keys);
        let id = key.database_id.clone();
        match present.iter().find(|target| target.key == *key) {
            None => {
                targets::insert(&transaction, key, &checked.stored).await?;
                report.added.push(id);
            }
            Some(target) if same(target) => report.unchanged.push(id),
            Some(_) => {
                targets::update(&transaction, key, &checked.stored).await?;
                report.updated.push(id);
            }
        }
    }
    for target in present.iter().filter(|target| !wanted.iter().any(|wanted| wanted.key == target.key)) {
        targets::remove(&transaction, &target.key).await?;
        report.removed.push(target.key.database_id.clone());
    }
    transaction.commit().await?;
    drop(client);
    let changed = |ids: &[String]| -> Vec<TargetKey> {
        wanted.iter().map(|w| w.key.clone()).filter(|key| ids.contains(&key.database_id)).collect()
    };
    desk.ask(&changed(&report.added)).await?;
    desk.ask_anew(&changed(&report.updated)).await
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
