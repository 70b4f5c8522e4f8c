//! `db reset`.

use std::process::ExitCode;

use serde::Serialize;
use tenant_sync_core::config::Config;
use tenant_sync_core::migrate::{Migrations, Migrator, Survey};

use crate::context::{Context, Usage};
use crate::{output, prompt};

/// That it is meant: `db reset` and `uninstall`.
#[derive(Debug, clap::Args)]
pub(crate) struct Consent {
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Name of the database; needed where targets exist
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    database: String,
    schema: String,
    dropped: Vec<String>,
}

pub(super) async fn run(context: &Context, config: &Config, consent: Consent) -> anyhow::Result<ExitCode> {
    // Also what is left of the sample application when it is not configured any more.
    let migrator = Migrator::with(config, Migrations::embedded(true)?)?;
    let survey = migrator.survey().await?;
    let mut dropped = Vec::new();
    if !survey.objects.is_empty() {
        let database = agreed(&consent, &survey)?;
        dropped = migrator.reset(database.as_deref(), &mut ()).await?;
    }
    let report = Report { database: survey.database, schema: survey.schema, dropped };
    context.output.result(&report, |report| match report.dropped.len() {
        0 => format!("nothing of ours in schema {:?} of {:?}", report.schema, report.database),
        count => format!("dropped {count} from schema {:?} of {:?}", report.schema, report.database),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Makes sure that it is meant, and returns the database's name if it was given.
pub(crate) fn agreed(consent: &Consent, survey: &Survey) -> Result<Option<String>, Usage> {
    let Consent { yes, database: named } = consent;
    let Survey { database, schema, objects, targets } = survey;
    if let Some(named) = named.as_ref().filter(|named| *named != database) {
        return Err(Usage(format!("this is database {database:?}, not {named:?}; nothing was dropped")));
    }
    let asks = !yes && prompt::is_answerable();
    if *targets > 0 && named.is_none() && !asks {
        return Err(Usage(format!(
            "{targets} targets exist, whose connection strings would be lost: add --database {database}"
        )));
    }
    if *yes {
        return Ok(named.clone());
    }
    if !asks {
        return Err(Usage("nobody is there to answer; --yes drops without asking".into()));
    }
    objects.iter().for_each(|object| output::remark(&format!("  {object}")));
    let question = format!("Drop these {} of schema {schema:?} in database {database:?}?", objects.len());
    if !prompt::confirm(&question) {
        return Err(Usage("nothing was dropped".into()));
    }
    if *targets == 0 || named.is_some() {
        return Ok(named.clone());
    }
    match prompt::ask(&format!("{targets} targets exist. Type the database's name:")) {
        Some(typed) if typed == *database => Ok(Some(typed)),
        _ => Err(Usage(format!("that is not {database:?}; nothing was dropped"))),
    }
}
