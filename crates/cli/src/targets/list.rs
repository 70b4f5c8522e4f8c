//! `target list` and `target show`.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde::Serialize;
use tenant_sync_core::config::Config;
use tenant_sync_core::registry::targets::{self, Filter};
use tenant_sync_core::status::{self, TargetStatus};

use super::One;
use super::desk::no_such_target;
use super::report::TargetLine;
use crate::context::Context;
use crate::output;
use crate::sync::{MappingLine, StateName};
use crate::tenancies::MaybeNamed;

/// `target list`
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    tenancy: MaybeNamed,
    /// Only those in this state
    #[arg(long, value_name = "S")]
    state: Option<StateName>,
}

#[derive(Debug, Serialize)]
struct List {
    targets: Vec<TargetLine>,
}

pub(super) async fn run(context: &Context, config: &Config, args: &ListArgs) -> anyhow::Result<ExitCode> {
    let internal = context.internal(config).await?;
    let client = internal.get().await?;
    let filter = Filter {
        tenancy_id: args.tenancy.find(&client).await?,
        ids: Vec::new(),
        state: args.state.map(|state| state.as_str().to_owned()),
    };
    let found = targets::list(&client, &filter).await?;
    let list = List { targets: found.iter().map(|t| TargetLine::new(t, &config.sync.schema)).collect() };
    context.output.result(&list, |list| {
        let mut rows = vec![["TENANCY", "ID", "STATE", "TARGET", "SCHEMA"].map(String::from).to_vec()];
        rows.extend(list.targets.iter().map(|t| {
            let url = t.display_url.clone().unwrap_or_else(|| "-".into());
            vec![t.tenancy_id.to_string(), t.id.clone(), t.state.clone(), url, t.schema.clone()]
        }));
        if list.targets.is_empty() { "no targets".into() } else { output::table(&rows) }
    })?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    #[serde(flatten)]
    target: TargetLine,
    rows_written: i64,
    progress: Vec<Progress>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Progress {
    #[serde(flatten)]
    line: MappingLine,
    filling: bool,
    refused_rows: i32,
}

pub(super) async fn show(context: &Context, config: &Config, one: &One) -> anyhow::Result<ExitCode> {
    let mappings = tenant_sync_core::mapping::load(config)?;
    let internal = context.internal(config).await?;
    let tenancy = one.tenancy.find(&internal.get().await?).await?;
    let filter = Filter { tenancy_id: Some(tenancy.id), ids: vec![one.id.clone()], state: None };
    let found = status::read(&internal, &mappings, &filter).await?;
    let Some(status) = found.into_iter().next() else {
        let key = tenant_sync_core::outbox::TargetKey { tenancy_id: tenancy.id, database_id: one.id.clone() };
        return Err(no_such_target(&key));
    };
    context.output.result(&shown(&status, &config.sync.schema), lines)?;
    Ok(ExitCode::SUCCESS)
}

fn shown(status: &TargetStatus, default_schema: &str) -> Shown {
    let progress = status.mappings.iter().map(|mapping| Progress {
        line: MappingLine::new(mapping),
        filling: mapping.filling,
        refused_rows: mapping.refused_rows,
    });
    Shown {
        target: TargetLine::new(&status.target, default_schema),
        rows_written: status.rows_written,
        progress: progress.collect(),
    }
}

fn lines(shown: &Shown) -> String {
    let t = &shown.target;
    let none = || "-".to_owned();
    let mut rows: Vec<Vec<String>> = [
        ("tenancy", t.tenancy_id.to_string()),
        ("id", t.id.clone()),
        ("state", t.state.clone()),
        ("target", t.display_url.clone().unwrap_or_else(none)),
        ("schema", t.schema.clone()),
        ("mappings", t.mappings.as_ref().map_or_else(|| "all".into(), |names| names.join(", "))),
        ("may read", if t.read_roles.is_empty() { none() } else { t.read_roles.join(", ") }),
        ("own root", if t.own_certificates { "yes".into() } else { none() }),
        ("added", t.created_at.clone()),
        ("last success", t.last_success_at.clone().unwrap_or_else(none)),
        ("rows written", shown.rows_written.to_string()),
    ]
    .map(|(name, value)| vec![name.to_owned(), value])
    .to_vec();
    if let Some(error) = &t.last_error {
        rows.push(vec!["last error".into(), format!("{error} ({} in a row)", t.consecutive_failures)]);
        rows.push(vec!["what to do".into(), t.advice.unwrap_or("-").to_owned()]);
        rows.push(vec!["next attempt".into(), t.next_attempt_at.clone().unwrap_or_else(none)]);
    }
    let mut text = output::table(&rows);
    for progress in &shown.progress {
        let _ = write!(text, "\n{}", progress.line.sentence());
        if progress.filling {
            text.push_str(", being filled");
        }
        if progress.refused_rows > 0 {
            let _ = write!(text, ", {} rows refused", progress.refused_rows);
        }
    }
    text
}
