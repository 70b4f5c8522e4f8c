//! `tenant-sync mapping …`: what of a source table goes where.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use clap::Subcommand;
use serde::Serialize;
use tenant_sync_core::config::Config;
use tenant_sync_core::mapping::{self, CheckError, Mapping, MappingErrors, ddl};

use crate::context::Context;
use crate::output;

/// `mapping`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check all mapping files, alone and against the live schema
    Check,
    /// Write a mapping file from a tracked table, with all of its columns
    New {
        /// What the mapping is called, and the table in each target; SCHEMA.TABLE is called like the table
        name: String,
        /// The tracked table, as TABLE or SCHEMA.TABLE [default: the mapping's name]
        #[arg(long)]
        table: Option<String>,
    },
    /// Show mappings: where rows come from, and the tables that targets get
    Show {
        /// Only this one
        name: Option<String>,
    },
}

/// Runs one of the commands.
pub(crate) fn run(context: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    match args.command {
        Command::Check => context.block_on(&config, check(context, &config)),
        Command::New { name, table } => {
            context.block_on(&config, new(context, &config, &name, table.as_deref()))
        }
        Command::Show { name } => show(context, &config, name.as_deref()),
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CheckReport {
    ok: bool,
    /// Those that are fine.
    mappings: Vec<Fine>,
    errors: Vec<Wrong>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Fine {
    name: String,
    file: String,
    source: String,
    target: String,
    columns: usize,
    fingerprint: String,
}

#[derive(Debug, Serialize)]
struct Wrong {
    file: String,
    line: Option<u32>,
    reason: String,
}

async fn check(context: &Context, config: &Config) -> anyhow::Result<ExitCode> {
    let (mappings, errors) = match mapping::load(config) {
        Err(errors) => (Vec::new(), Some(errors)),
        Ok(mappings) => {
            let internal = context.internal(config).await?;
            let client = internal.get().await?;
            let standby: bool = client.query_one("select pg_is_in_recovery()", &[]).await?.try_get(0)?;
            if standby {
                output::remark(
                    "note: database.url is a standby; that is enough to check, but workers need the primary",
                );
            }
            let errors = match mapping::check(&mappings, &client).await {
                Ok(_) => None,
                Err(CheckError::Mappings(errors)) => Some(errors),
                Err(error @ CheckError::Database(_)) => return Err(error.into()),
            };
            (mappings, errors)
        }
    };
    let report = check_report(&mappings, errors.as_ref());
    if let Some(errors) = &errors {
        output::remark(&errors.to_string());
    }
    context.output.result(&report, |report| {
        let fine: Vec<&str> = report.mappings.iter().map(|fine| fine.name.as_str()).collect();
        match (fine.is_empty(), report.ok) {
            (true, true) => "there are no mappings".into(),
            (true, false) => "nothing was checked further".into(),
            (false, _) => format!("fine: {}", fine.join(", ")),
        }
    })?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check_report(mappings: &[Mapping], errors: Option<&MappingErrors>) -> CheckReport {
    let errors = errors.map_or(&[][..], MappingErrors::errors);
    let is_fine = |mapping: &&Mapping| !errors.iter().any(|error| error.file == mapping.file());
    CheckReport {
        ok: errors.is_empty(),
        mappings: mappings
            .iter()
            .filter(is_fine)
            .map(|mapping| Fine {
                name: mapping.name.clone(),
                file: mapping.file().to_owned(),
                source: mapping.source.table.clone(),
                target: mapping.target.table.clone(),
                columns: mapping.columns.len(),
                fingerprint: mapping.fingerprint(),
            })
            .collect(),
        errors: errors
            .iter()
            .map(|error| Wrong { file: error.file.clone(), line: error.line, reason: error.reason.clone() })
            .collect(),
    }
}

#[derive(Debug, Serialize)]
struct NewReport {
    file: String,
    loaded: bool,
}

/// Where files are written while `mappings.dir` names no folder.
const DEFAULT_DIR: &str = "mappings";

async fn new(
    context: &Context,
    config: &Config,
    name: &str,
    table: Option<&str>,
) -> anyhow::Result<ExitCode> {
    let internal = context.internal(config).await?;
    let client = internal.get().await?;
    let (name, text) = mapping::draft(&client, name, table).await?;
    let dir = config.mappings.dir.clone().unwrap_or_else(|| DEFAULT_DIR.into());
    let path = dir.join(format!("{name}.toml"));
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
    let written = std::fs::File::create_new(&path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| {
        format!("cannot write {}; a mapping that is there already is not overwritten", path.display())
    })?;
    let report = NewReport { file: path.display().to_string(), loaded: config.mappings.dir.is_some() };
    context.output.result(&report, |report| {
        let next = "take out what tenants shall not have, then run: tenant-sync mapping check";
        if report.loaded {
            format!("wrote {}; {next}", report.file)
        } else {
            format!("wrote {}; set mappings.dir = {:?}, {next}", report.file, dir.display().to_string())
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Serialize)]
struct ShowReport<'m> {
    mappings: Vec<Shown<'m>>,
}

#[derive(Debug, Serialize)]
struct Shown<'m> {
    #[serde(flatten)]
    mapping: &'m Mapping,
    file: &'m str,
    /// What a target gets.
    ddl: Vec<String>,
}

fn show(context: &Context, config: &Config, name: Option<&str>) -> anyhow::Result<ExitCode> {
    let mappings = mapping::load(config).map_err(|errors| anyhow!("{errors}"))?;
    let wanted = mappings.iter().filter(|mapping| name.is_none_or(|name| mapping.name == name));
    let schema = &config.sync.schema;
    let shown = wanted.map(|mapping| Shown {
        mapping,
        file: mapping.file(),
        ddl: ddl::create_table(mapping, schema)
            .into_iter()
            .chain(ddl::create_indexes(mapping, schema))
            .collect(),
    });
    let report = ShowReport { mappings: shown.collect() };
    if let Some(name) = name.filter(|_| report.mappings.is_empty()) {
        let known = mappings.iter().map(|mapping| mapping.name.as_str()).collect::<Vec<_>>().join(", ");
        bail!("there is no mapping {name:?}; there are {known}");
    }
    context
        .output
        .result(&report, |report| report.mappings.iter().map(text).collect::<Vec<_>>().join("\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn text(shown: &Shown<'_>) -> String {
    let mapping = shown.mapping;
    let mut rows: Vec<Vec<String>> = mapping
        .columns
        .iter()
        .map(|column| {
            vec![format!("  {}", column.name), column.type_text.clone(), column.expr.text().to_owned()]
        })
        .collect();
    rows.extend(mapping.touches.iter().map(|touch| {
        vec!["  touched by".to_owned(), touch.table.clone(), "a change there is a change here".to_owned()]
    }));
    format!(
        "{} (version {}, {})\n  {} -> {}, key {}\n{}\n\n{};\n",
        mapping.name,
        mapping.version,
        shown.file,
        mapping.source.table,
        mapping.target.table,
        mapping.target.key.join(", "),
        output::table(&rows),
        shown.ddl.join(";\n")
    )
}
