//! `target sql`.

use std::process::ExitCode;

use serde::Serialize;
use tenant_sync_core::target::grants::grants_sql;

use crate::context::Context;

/// `target sql`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Schema that will hold our tables
    #[arg(long, value_name = "S", default_value = "tenant_sync")]
    schema: String,
    /// Role that the connection string will name
    #[arg(long, value_name = "R", default_value = "tenant_sync")]
    role: String,
    /// Name of the database [default: the one in which the statements are run]
    #[arg(long, value_name = "D")]
    database: Option<String>,
    /// A role that may read; may be repeated
    #[arg(long = "read-role", value_name = "R")]
    read_roles: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    sql: String,
}

pub(super) fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    let sql = grants_sql(&args.role, args.database.as_deref(), &args.schema, &args.read_roles);
    context.output.result(&Report { sql }, |report| report.sql.clone())?;
    Ok(ExitCode::SUCCESS)
}
