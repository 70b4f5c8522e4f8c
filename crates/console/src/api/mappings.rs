//! `…/mappings`: what of a source table goes where. They are files; here they are shown and checked.

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tenant_sync_core::mapping::{self, CheckError, Mapping, MappingErrors};

use super::sync;
use crate::http::{Json, Problem, Query};
use crate::routes::{Routes, endpoint};
use crate::state::Console;
use crate::targets::cursor;

/// A mapping.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MappingLine {
    pub(crate) name: String,
    /// What a change of a row is called.
    pub(crate) event: String,
    pub(crate) version: i32,
    /// The table that rows come from.
    pub(crate) source: String,
    /// The table in each target.
    pub(crate) target: String,
    /// Names of the target's columns.
    pub(crate) columns: Vec<String>,
    pub(crate) file: String,
}

impl From<&Mapping> for MappingLine {
    fn from(mapping: &Mapping) -> Self {
        Self {
            name: mapping.name.clone(),
            event: mapping.event.clone(),
            version: mapping.version,
            source: mapping.source.table.clone(),
            target: mapping.target.table.clone(),
            columns: mapping.columns.iter().map(|column| column.name.clone()).collect(),
            file: mapping.file().to_owned(),
        }
    }
}

/// A page of mappings.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct MappingPage {
    mappings: Vec<MappingLine>,
    /// Where the next page begins.
    next_cursor: Option<String>,
}

/// What was found in the mapping files and the live schema.
#[derive(Debug, Serialize, JsonSchema)]
struct MappingCheck {
    ok: bool,
    errors: Vec<MappingFault>,
}

/// One thing that is wrong with a mapping file.
#[derive(Debug, Serialize, JsonSchema)]
struct MappingFault {
    file: String,
    line: Option<u32>,
    reason: String,
}

pub(super) fn routes() -> Routes {
    Routes::default()
        .get(
            sync!("/mappings"),
            list,
            endpoint("The mappings that this console was started with, by name")
                .pages()
                .parameter("query", "Only those whose name or source has it", json!({ "type": "string" }))
                .answers::<MappingPage>(),
        )
        .post(
            sync!("/mappings/check"),
            check,
            endpoint("Check the mapping files as they are now, alone and against the live schema")
                .answers::<MappingCheck>(),
        )
}

async fn list(State(console): State<Console>, query: Query) -> Result<Json<MappingPage>, Problem> {
    let (limit, from, search) = query.read(|q| {
        let from = q.text("cursor").map(cursor::read_number).transpose()?.unwrap_or(0);
        Ok((q.limit()?, from, q.text("query").map(str::to_lowercase)))
    })?;
    let mut found: Vec<MappingLine> = console.desk.mappings.iter().map(MappingLine::from).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(search) = &search {
        found.retain(|m| m.name.to_lowercase().contains(search) || m.source.to_lowercase().contains(search));
    }
    let (from, limit) = (usize::try_from(from).unwrap_or(0), usize::try_from(limit).unwrap_or(0));
    let end = from.saturating_add(limit);
    let next_cursor =
        (end < found.len()).then(|| i64::try_from(end).map(cursor::write_number).ok()).flatten();
    Ok(Json(MappingPage { mappings: found.into_iter().skip(from).take(limit).collect(), next_cursor }))
}

async fn check(State(console): State<Console>, query: Query) -> Result<Json<MappingCheck>, Problem> {
    query.none()?;
    let errors = match mapping::load(&console.config) {
        Err(errors) => faults(&errors),
        Ok(mappings) => match mapping::check(&mappings, &*console.internal.get().await?).await {
            Ok(_) => Vec::new(),
            Err(CheckError::Mappings(errors)) => faults(&errors),
            Err(CheckError::Database(error)) => return Err(error.into()),
        },
    };
    Ok(Json(MappingCheck { ok: errors.is_empty(), errors }))
}

fn faults(errors: &MappingErrors) -> Vec<MappingFault> {
    let fault = |error: &mapping::MappingError| MappingFault {
        file: error.file.clone(),
        line: error.line,
        reason: error.reason.clone(),
    };
    errors.errors().iter().map(fault).collect()
}
