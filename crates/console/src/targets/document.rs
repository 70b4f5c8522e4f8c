//! `PUT …/config`: a tenancy's targets become what a document says.

use std::collections::BTreeMap;

use axum::extract::State;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenant_sync_core::registry::apply::{self, Applied};
use tenant_sync_core::registry::document;
use tenant_sync_core::registry::tenancies::{self, TenancyRef};

use super::change::{findings, refused};
use super::model::CheckAnswer;
use crate::access::Operator;
use crate::audit::{self, Change};
use crate::http::{Body, Json, PathParameters, Problem, Query};
use crate::routes::{Routes, endpoint};
use crate::state::Console;

/// The document; it is read by `core`, strictly.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Document(Value);

impl JsonSchema for Document {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ConfigDocument".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let strings = json!({ "type": ["array", "null"], "items": { "type": "string" } });
        let target = json!({
            "type": "object",
            "required": ["type", "connectionString"],
            "additionalProperties": false,
            "properties": {
                "type": { "const": "postgres" },
                "connectionString": { "type": "string" },
                "schema": { "type": ["string", "null"] },
                "mappings": strings,
                "readRoles": strings,
                "caCertificates": { "type": ["string", "null"] },
            },
        });
        let targets = json!({ "type": "object", "additionalProperties": target });
        json_schema!({
            "description": "The tenancy's targets by id, nested or under the flat key",
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "dbSync": {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": { "externalDatabases": targets },
                },
                "dbSync.externalDatabases": targets,
            },
        })
    }
}

/// What was done, by ids.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Outcome {
    added: Vec<String>,
    updated: Vec<String>,
    unchanged: Vec<String>,
    /// Those that the document does not name; their tables stay.
    removed: Vec<String>,
    /// What was found in each.
    checks: BTreeMap<String, CheckAnswer>,
}

pub(super) fn routes() -> Routes {
    Routes::default().put(
        "/api/v1/tenancies/{tenancy_id}/config",
        put,
        endpoint("Make a tenancy's targets what the document says: all of it or nothing")
            .parameter(
                "no_check",
                "Store it even if a target cannot be used now",
                json!({ "type": "boolean", "default": false }),
            )
            .takes::<Document>()
            .answers::<Outcome>(),
    )
}

async fn put(
    State(console): State<Console>,
    operator: Operator,
    path: PathParameters,
    query: Query,
    Body(Document(body)): Body<Document>,
) -> Result<Json<Outcome>, Problem> {
    let look = !query.read(|q| q.flag("no_check"))?;
    let tenancy_id = path.tenancy_id()?;
    let known = tenancies::find(&console.internal.get().await?, &TenancyRef::Id(tenancy_id)).await?;
    known.ok_or_else(|| Problem::not_found("there is no such tenancy"))?;
    let targets =
        document::parse(&body.to_string()).map_err(|error| Problem::invalid(error.place(), &error))?;
    let wanted = apply::check_all(&console.desk, tenancy_id, targets, look).await.map_err(|unusable| {
        let problem = refused(&unusable.reason);
        let place = format!("dbSync.externalDatabases.{}", unusable.id);
        match problem.field() {
            Some(field) => Problem::invalid(format!("{place}.{field}"), &unusable.reason),
            None => problem,
        }
    })?;
    let mut bad = Vec::new();
    for wanted in &wanted {
        if let Some(report) = wanted.checked.report.as_ref().filter(|report| !report.ok) {
            bad.push(format!("{}: {}", wanted.key.database_id, findings(report)));
        }
    }
    if !bad.is_empty() {
        return Err(Problem::check_failed(format!("nothing was stored. {}", bad.join(" "))));
    }
    let mut client = console.internal.get().await?;
    let transaction = client.transaction().await?;
    let applied = apply::store(&console.desk, &transaction, tenancy_id, &wanted).await?;
    let Applied { added, updated, unchanged, removed } = &applied;
    let details = json!({ "added": added, "updated": updated, "unchanged": unchanged, "removed": removed });
    let entry = Change::of("tenancy.config").in_tenancy(tenancy_id).with(details);
    audit::record(&transaction, &operator, &entry).await?;
    transaction.commit().await?;
    drop(client);
    apply::ask(&console.desk, &wanted, &applied).await?;
    let checks = wanted
        .into_iter()
        .filter_map(|wanted| Some((wanted.key.database_id, CheckAnswer::from(wanted.checked.report?))));
    let checks = checks.collect();
    let Applied { added, updated, unchanged, removed } = applied;
    Ok(Json(Outcome { added, updated, unchanged, removed, checks }))
}
