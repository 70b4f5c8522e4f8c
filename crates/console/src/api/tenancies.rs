//! `/api/v1/tenancies`: who the tenants are.

use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenant_sync_core::registry::browse;
use tenant_sync_core::registry::tenancies::{self, Creation, NewTenancy, Removal, Tenancy, TenancyRef};
use uuid::Uuid;

use crate::access::Operator;
use crate::audit::{self, Change};
use crate::http::{At, Body, Json, PathParameters, Problem, Query};
use crate::routes::{Routes, endpoint};
use crate::state::Console;
use crate::targets::cursor;

/// A tenancy.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TenancyLine {
    pub(crate) tenancy_id: Uuid,
    pub(crate) project_id: String,
    pub(crate) branch_id: String,
    /// Value of the tenant column in tables of the operator's own.
    pub(crate) tenant_key: String,
    pub(crate) created_at: At,
    /// How many targets it has.
    pub(crate) targets: i64,
}

impl From<Tenancy> for TenancyLine {
    fn from(tenancy: Tenancy) -> Self {
        Self {
            tenancy_id: tenancy.id,
            project_id: tenancy.project_id,
            branch_id: tenancy.branch_id,
            tenant_key: tenancy.tenant_key,
            created_at: At(tenancy.created_at),
            targets: tenancy.targets,
        }
    }
}

/// A page of tenancies.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TenancyPage {
    pub(crate) tenancies: Vec<TenancyLine>,
    /// Where the next page begins.
    pub(crate) next_cursor: Option<String>,
}

/// A tenancy to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct New {
    /// Made if there is none.
    project_id: String,
    /// `main` unless given.
    #[serde(default)]
    branch_id: Option<String>,
    /// Value of the tenant column in tables of your own; the tenancy's id unless given.
    #[serde(default)]
    tenant_key: Option<String>,
}

pub(super) fn routes() -> Routes {
    let one = "/api/v1/tenancies/{tenancy_id}";
    let beginning = "Only those whose project or tenant key begins with it, or the one with this id";
    Routes::default()
        .get(
            "/api/v1/tenancies",
            list,
            endpoint("The tenancies")
                .pages()
                .parameter("query", beginning, json!({ "type": "string" }))
                .answers::<TenancyPage>(),
        )
        .post("/api/v1/tenancies", create, endpoint("Make a tenancy").takes::<New>().answers::<TenancyLine>())
        .get(one, show, endpoint("A tenancy").answers::<TenancyLine>())
        .delete(one, remove, endpoint("Remove a tenancy that has no targets, and its rows"))
}

async fn list(State(console): State<Console>, query: Query) -> Result<Json<TenancyPage>, Problem> {
    let (limit, after, search) = query.read(|q| {
        let after = q.text("cursor").map(cursor::read_tenancy).transpose()?;
        Ok((q.limit()?, after, q.text("query").map(str::to_owned)))
    })?;
    Ok(Json(page(&console, search.as_deref(), after.as_ref(), limit).await?))
}

/// A page of tenancies.
pub(crate) async fn page(
    console: &Console,
    search: Option<&str>,
    after: Option<&browse::TenancyCursor>,
    limit: i64,
) -> Result<TenancyPage, Problem> {
    let client = console.internal.get().await?;
    let found = browse::tenancies(&client, search, after, limit).await?;
    Ok(TenancyPage {
        tenancies: found.entries.into_iter().map(TenancyLine::from).collect(),
        next_cursor: found.next.as_ref().map(cursor::write_tenancy),
    })
}

async fn create(
    State(console): State<Console>,
    operator: Operator,
    query: Query,
    Body(body): Body<New>,
) -> Result<Json<TenancyLine>, Problem> {
    query.none()?;
    let branch = body.branch_id.as_deref().unwrap_or("main");
    let given = [
        ("projectId", Some(body.project_id.as_str())),
        ("branchId", Some(branch)),
        ("tenantKey", body.tenant_key.as_deref()),
    ];
    for (field, value) in given {
        if value.is_some_and(|value| value.trim().is_empty() || value.chars().any(char::is_control)) {
            return Err(Problem::invalid(field, "must not be empty or have control characters"));
        }
        if value.is_some_and(|value| value.len() > 1_000) {
            return Err(Problem::invalid(field, "has more than 1,000 bytes"));
        }
    }
    let id = Uuid::new_v4();
    let new = NewTenancy {
        id,
        project_id: &body.project_id,
        branch_id: branch,
        tenant_key: body.tenant_key.as_deref(),
    };
    let mut client = console.internal.get().await?;
    let transaction = client.transaction().await?;
    match tenancies::create(&transaction, new).await? {
        Creation::Created => {}
        Creation::BranchTaken(other) => {
            return Err(Problem::conflict(format!(
                "the project has a tenancy for this branch already: {other}"
            )));
        }
        Creation::KeyTaken(other) => {
            return Err(Problem::conflict(format!("the tenant key is taken by the tenancy {other}")));
        }
    }
    let details = json!({ "projectId": body.project_id, "branchId": branch, "tenantKey": body.tenant_key });
    audit::record(&transaction, &operator, &Change::of("tenancy.create").in_tenancy(id).with(details))
        .await?;
    let made = tenancies::find(&transaction, &TenancyRef::Id(id)).await?;
    transaction.commit().await?;
    made.map(|made| Json(made.into())).ok_or_else(no_such)
}

async fn show(
    State(console): State<Console>,
    path: PathParameters,
    query: Query,
) -> Result<Json<TenancyLine>, Problem> {
    query.none()?;
    Ok(Json(find(&console, path.tenancy_id()?).await?))
}

/// A tenancy.
pub(crate) async fn find(console: &Console, id: Uuid) -> Result<TenancyLine, Problem> {
    let client = console.internal.get().await?;
    tenancies::find(&client, &TenancyRef::Id(id)).await?.map(TenancyLine::from).ok_or_else(no_such)
}

async fn remove(
    State(console): State<Console>,
    operator: Operator,
    path: PathParameters,
    query: Query,
) -> Result<StatusCode, Problem> {
    query.none()?;
    let id = path.tenancy_id()?;
    let mut client = console.internal.get().await?;
    let transaction = client.transaction().await?;
    match tenancies::remove_in(&transaction, id).await? {
        Removal::Removed => {}
        Removal::Unknown => return Err(no_such()),
        Removal::HasTargets(ids) => {
            return Err(Problem::conflict(format!("it has targets, remove them first: {}", ids.join(", "))));
        }
    }
    audit::record(&transaction, &operator, &Change::of("tenancy.remove").in_tenancy(id)).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn no_such() -> Problem {
    Problem::not_found("there is no such tenancy")
}
