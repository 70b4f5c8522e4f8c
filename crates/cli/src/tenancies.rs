//! `tenant-sync tenancy …`, and how other commands name a tenancy.

use std::process::ExitCode;

use anyhow::{anyhow, bail};
use clap::Subcommand;
use deadpool_postgres::GenericClient;
use serde::Serialize;
use tenant_sync_core::config::Config;
use tenant_sync_core::registry::tenancies::{self, Creation, NewTenancy, Removal, Tenancy, TenancyRef};
use tenant_sync_core::tracking;
use uuid::Uuid;

use crate::context::{Context, Usage};
use crate::output::{self, instant};
use crate::prompt;

/// `tenancy`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add a tenancy, and its project if need be
    Create(CreateArgs),
    /// Show the tenancies
    List(ListArgs),
    /// Remove a tenancy that has no targets, and its rows
    Remove(RemoveArgs),
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// Project that it belongs to; made if there is none
    #[arg(long, value_name = "P")]
    project: String,
    /// Branch of the project
    #[arg(long, default_value = "main")]
    branch: String,
    /// Value of the tenant column in tables of your own [default: the tenancy's id]
    #[arg(long, value_name = "K")]
    tenant_key: Option<String>,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only those of a project
    #[arg(long, value_name = "P")]
    project: Option<String>,
}

#[derive(Debug, clap::Args)]
struct RemoveArgs {
    #[command(flatten)]
    tenancy: Named,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// `--tenancy ID` or `--tenant-key K`.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Named {
    /// The tenancy's id
    #[arg(long, value_name = "ID")]
    tenancy: Option<Uuid>,
    /// Its tenant key instead
    #[arg(long, value_name = "K")]
    tenant_key: Option<String>,
}

/// The same, where it may be left out.
#[derive(Debug, Clone, clap::Args)]
#[group(required = false, multiple = false)]
pub(crate) struct MaybeNamed {
    /// Only of this tenancy
    #[arg(long, value_name = "ID")]
    tenancy: Option<Uuid>,
    /// Its tenant key instead
    #[arg(long, value_name = "K")]
    tenant_key: Option<String>,
}

fn reference(tenancy: Option<Uuid>, tenant_key: Option<&String>) -> Option<TenancyRef> {
    tenancy.map(TenancyRef::Id).or_else(|| tenant_key.cloned().map(TenancyRef::Key))
}

impl Named {
    pub(crate) fn reference(&self) -> Result<TenancyRef, Usage> {
        reference(self.tenancy, self.tenant_key.as_ref())
            .ok_or_else(|| Usage("give --tenancy or --tenant-key".into()))
    }

    pub(crate) async fn find<C: GenericClient>(&self, client: &C) -> anyhow::Result<Tenancy> {
        must_exist(client, &self.reference()?).await
    }
}

impl MaybeNamed {
    pub(crate) async fn find<C: GenericClient>(&self, client: &C) -> anyhow::Result<Option<Uuid>> {
        match reference(self.tenancy, self.tenant_key.as_ref()) {
            Some(named) => Ok(Some(must_exist(client, &named).await?.id)),
            None => Ok(None),
        }
    }
}

async fn must_exist<C: GenericClient>(client: &C, named: &TenancyRef) -> anyhow::Result<Tenancy> {
    let what = match named {
        TenancyRef::Id(id) => format!("the id {id}"),
        TenancyRef::Key(key) => format!("the tenant key {key:?}"),
    };
    tenancies::find(client, named)
        .await?
        .ok_or_else(|| anyhow!("there is no tenancy with {what}; `tenancy list` shows those there are"))
}

/// Runs one of the commands.
pub(crate) fn run(context: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    context.block_on(&config, async {
        match args.command {
            Command::Create(args) => create(context, &config, &args).await,
            Command::List(args) => list(context, &config, &args).await,
            Command::Remove(args) => remove(context, &config, &args).await,
        }
    })
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    tenancy_id: Uuid,
    project_id: String,
    branch_id: String,
    tenant_key: String,
    targets: i64,
    created_at: String,
}

impl From<Tenancy> for Line {
    fn from(tenancy: Tenancy) -> Self {
        Self {
            tenancy_id: tenancy.id,
            project_id: tenancy.project_id,
            branch_id: tenancy.branch_id,
            tenant_key: tenancy.tenant_key,
            targets: tenancy.targets,
            created_at: instant(tenancy.created_at),
        }
    }
}

async fn create(context: &Context, config: &Config, args: &CreateArgs) -> anyhow::Result<ExitCode> {
    for (name, value) in [
        ("--project", Some(&args.project)),
        ("--branch", Some(&args.branch)),
        ("--tenant-key", args.tenant_key.as_ref()),
    ] {
        if value.is_some_and(|value| value.trim().is_empty() || value.chars().any(char::is_control)) {
            return Err(Usage(format!("{name} must not be empty or have control characters")).into());
        }
    }
    let internal = context.internal(config).await?;
    let mut client = internal.get().await?;
    let id = Uuid::new_v4();
    let new = NewTenancy {
        id,
        project_id: &args.project,
        branch_id: &args.branch,
        tenant_key: args.tenant_key.as_deref(),
    };
    let transaction = client.transaction().await?;
    match tenancies::create(&transaction, new).await? {
        Creation::Created => {}
        Creation::BranchTaken(other) => bail!(
            "the project {:?} has a tenancy for its branch {:?} already: {other}; give another --branch or --project",
            args.project,
            args.branch
        ),
        Creation::KeyTaken(other) => bail!("the tenant key is taken by the tenancy {other}; give another"),
    }
    let made = tenancies::find(&transaction, &TenancyRef::Id(id)).await?;
    transaction.commit().await?;
    if let Some(key) = &args.tenant_key {
        warn_of_strangers(&client, key).await?;
    }
    let made = Line::from(made.ok_or_else(|| anyhow!("the new tenancy is not there"))?);
    context.output.result(&made, |made| made.tenancy_id.to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// Says in which tracked tables no row can be of this tenant; in an application with several kinds of keys that may
/// be as it should.
pub(crate) async fn warn_of_strangers<C: GenericClient>(
    client: &C,
    tenant_key: &str,
) -> Result<(), tokio_postgres::Error> {
    for stranger in tracking::strangers(client, tenant_key).await? {
        output::remark(&format!(
            "note: no row of {} can be of the tenant {tenant_key:?}: its column {:?} is {}, whose values read otherwise",
            stranger.name, stranger.tenant_column, stranger.type_name
        ));
    }
    Ok(())
}

#[derive(Debug, Serialize)]
struct List {
    tenancies: Vec<Line>,
}

async fn list(context: &Context, config: &Config, args: &ListArgs) -> anyhow::Result<ExitCode> {
    let internal = context.internal(config).await?;
    let found = tenancies::list(&internal.get().await?, args.project.as_deref()).await?;
    let list = List { tenancies: found.into_iter().map(Line::from).collect() };
    context.output.result(&list, |list| {
        let mut rows =
            vec![["TENANCY", "PROJECT", "BRANCH", "TENANT KEY", "TARGETS"].map(String::from).to_vec()];
        rows.extend(list.tenancies.iter().map(|t| {
            let key = if t.tenant_key == t.tenancy_id.to_string() { "-" } else { &t.tenant_key };
            vec![
                t.tenancy_id.to_string(),
                t.project_id.clone(),
                t.branch_id.clone(),
                key.to_owned(),
                t.targets.to_string(),
            ]
        }));
        if list.tenancies.is_empty() { "no tenancies".into() } else { output::table(&rows) }
    })?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Removed {
    tenancy_id: Uuid,
    removed: bool,
}

async fn remove(context: &Context, config: &Config, args: &RemoveArgs) -> anyhow::Result<ExitCode> {
    let internal = context.internal(config).await?;
    let mut client = internal.get().await?;
    let tenancy = args.tenancy.find(&client).await?;
    if tenancy.targets == 0 && !args.yes {
        if !prompt::is_answerable() {
            return Err(Usage("nobody is there to answer; --yes removes without asking".into()).into());
        }
        let question = format!("Remove the tenancy {} with all its rows in this database?", tenancy.id);
        if !tokio::task::block_in_place(|| prompt::confirm(&question)) {
            return Err(Usage("nothing was removed".into()).into());
        }
    }
    match tenancies::remove(&mut client, tenancy.id).await? {
        Removal::Removed => {}
        Removal::Unknown => bail!("the tenancy {} is gone already", tenancy.id),
        Removal::HasTargets(ids) => bail!(
            "the tenancy {id} has targets: {}. Remove each first: `target remove --tenancy {id} --id {}` (with --drop \
             its tables go, too)",
            ids.join(", "),
            ids[0],
            id = tenancy.id
        ),
    }
    let removed = Removed { tenancy_id: tenancy.id, removed: true };
    context.output.result(&removed, |removed| format!("removed {}", removed.tenancy_id))?;
    Ok(ExitCode::SUCCESS)
}
