//! `sync now` and `sync resync`.

use std::process::ExitCode;

use anyhow::bail;
use serde::Serialize;
use tenant_sync_core::config::Config;
use tenant_sync_core::mapping::{self, Mapping};
use tenant_sync_core::outbox::{self, TargetKey};
use tenant_sync_core::registry::targets::{self, Filter, Target};
use uuid::Uuid;

use crate::context::Context;
use crate::output;
use crate::tenancies::{MaybeNamed, Named};

/// `sync now`
#[derive(Debug, clap::Args)]
pub(super) struct NowArgs {
    #[command(flatten)]
    tenancy: MaybeNamed,
    /// Only the target of this id; may be repeated
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<String>,
}

/// `sync resync`
#[derive(Debug, clap::Args)]
pub(super) struct ResyncArgs {
    #[command(flatten)]
    tenancy: Named,
    /// Only the target of this id; may be repeated [default: all of the tenancy]
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<String>,
    /// Only this mapping; may be repeated [default: all of the target]
    #[arg(long = "mapping", value_name = "M")]
    mappings: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    tenancy_id: Uuid,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mappings: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    targets: Vec<Asked>,
    /// They are asked for as soon as they are resumed.
    paused: Vec<String>,
}

pub(super) async fn now(context: &Context, config: &Config, args: &NowArgs) -> anyhow::Result<ExitCode> {
    let internal = context.internal(config).await?;
    let client = internal.get().await?;
    let tenancy_id = args.tenancy.find(&client).await?;
    let filter = Filter { tenancy_id, ids: args.ids.clone(), state: None };
    let found = targets::list(&client, &filter).await?;
    all_found(&args.ids, &found)?;
    outbox::wish(&client, "sync now", &keys(&found)).await?;
    report(context, &found, |_| None)
}

pub(super) async fn resync(
    context: &Context,
    config: &Config,
    args: &ResyncArgs,
) -> anyhow::Result<ExitCode> {
    let mappings = mapping::load(config)?;
    let internal = context.internal(config).await?;
    let client = internal.get().await?;
    let tenancy = args.tenancy.find(&client).await?;
    let filter = Filter { tenancy_id: Some(tenancy.id), ids: args.ids.clone(), state: None };
    let found = targets::list(&client, &filter).await?;
    all_found(&args.ids, &found)?;
    let wanted = |target: &Target| wanted_mappings(&mappings, target, &args.mappings);
    for target in &found {
        let names = wanted(target);
        if names.is_empty() {
            bail!("no such mapping goes to {}; `mapping show` lists them all", target.key.database_id);
        }
        targets::request_fill(&client, &target.key, &names).await?;
    }
    outbox::wish(&client, "resync", &keys(&found)).await?;
    report(context, &found, |target| Some(wanted(target)))
}

/// The mappings of a target, or those of them that were named.
fn wanted_mappings(mappings: &[Mapping], target: &Target, named: &[String]) -> Vec<String> {
    let chosen = target.settings.mappings.as_ref();
    let names = mappings.iter().map(|mapping| &mapping.name);
    names
        .filter(|name| chosen.is_none_or(|chosen| chosen.contains(name)))
        .filter(|name| named.is_empty() || named.contains(name))
        .cloned()
        .collect()
}

fn all_found(ids: &[String], found: &[Target]) -> anyhow::Result<()> {
    if let Some(missing) = ids.iter().find(|id| !found.iter().any(|t| t.key.database_id == **id)) {
        bail!("there is no target {missing:?}; `target list` shows those there are");
    }
    Ok(())
}

fn keys(found: &[Target]) -> Vec<TargetKey> {
    found.iter().map(|target| target.key.clone()).collect()
}

fn report(
    context: &Context,
    found: &[Target],
    mappings: impl Fn(&Target) -> Option<Vec<String>>,
) -> anyhow::Result<ExitCode> {
    let (paused, asked): (Vec<&Target>, Vec<&Target>) = found.iter().partition(|t| t.state == "paused");
    let report = Report {
        targets: asked
            .into_iter()
            .map(|target| Asked {
                tenancy_id: target.key.tenancy_id,
                id: target.key.database_id.clone(),
                mappings: mappings(target),
            })
            .collect(),
        paused: paused.into_iter().map(|t| format!("{}/{}", t.key.tenancy_id, t.key.database_id)).collect(),
    };
    if !report.paused.is_empty() {
        output::remark(&format!(
            "paused, so nothing happens until `target resume`: {}",
            report.paused.join(", ")
        ));
    }
    context.output.result(&report, |report| match report.targets.len() {
        0 => "no targets".to_owned(),
        n => format!("asked for {n}; `sync status` shows how far they are"),
    })?;
    Ok(ExitCode::SUCCESS)
}
