//! Lists of targets, what ails them, and one of them.

use axum::extract::State;
use serde_json::json;
use tenant_sync_core::outbox::{self, TargetKey};
use tenant_sync_core::registry::browse::{self, Page, TargetCursor, TargetFilter, TargetOrder};
use tenant_sync_core::registry::{target_key, targets};
use tenant_sync_core::status;
use tenant_sync_core::target::class::ErrorClass;

use super::cursor;
use super::model::{Cause, TargetDetail, TargetLine, TargetPage};
use super::waiting::{self, By};
use crate::api::sync;
use crate::http::{Json, PathParameters, Problem, Query};
use crate::routes::{Endpoint, Routes, endpoint};
use crate::state::Console;

/// Rows behind are counted up to here for each target of a list.
pub(super) const ROWS_MAX: i64 = 1_000;

/// What a list of targets is ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// What is kept, along an index.
    Kept(TargetOrder),
    /// What has to be looked at.
    Looked(By),
}

impl Order {
    /// Each with its name.
    pub(crate) const ALL: [(&str, Self); 7] = [
        ("key", Self::Kept(TargetOrder::Key)),
        ("newest", Self::Kept(TargetOrder::Newest)),
        ("failures", Self::Kept(TargetOrder::Failures)),
        ("state", Self::Kept(TargetOrder::State)),
        ("last_success", Self::Looked(By::LastSuccess)),
        ("lag", Self::Looked(By::Lag)),
        ("rows_behind", Self::Looked(By::RowsBehind)),
    ];

    /// Their names.
    pub(crate) fn names() -> [&'static str; 7] {
        Self::ALL.map(|(name, _)| name)
    }

    /// The order of this name; by key unless there is one.
    pub(crate) fn of_name(name: Option<&str>) -> Self {
        let found = Self::ALL.into_iter().find(|(known, _)| Some(*known) == name);
        found.map_or(Self::Kept(TargetOrder::Key), |(_, order)| order)
    }
}

pub(super) fn routes() -> Routes {
    let list = |summary: &'static str| -> Endpoint {
        endpoint(summary)
            .pages()
            .parameter("state", "Only those in it", json!({ "type": "string", "enum": targets::STATES }))
            .parameter("class", "Only those whose last error is of it", json!({ "type": "string" }))
            .parameter(
                "query",
                "Only those of tenancies whose project or tenant key begins with it, or with this id; of the first 1,000 \
                 such tenancies",
                json!({ "type": "string" }),
            )
            .parameter(
                "order_by",
                "By tenancy and id; the newest first; most failures first, or by state and cause (both without those that are \
                 ok); the longest without a success, the greatest lag, or the most rows behind first (of the 500 that wait \
                 longest, and without those that wait for nothing)",
                json!({ "type": "string", "enum": Order::names(), "default": "key" }),
            )
            .answers::<TargetPage>()
    };
    Routes::default()
        .get(sync!("/targets"), list_all, list("All targets"))
        .get(
            sync!("/targets/causes"),
            list_causes,
            endpoint("What is wrong with those whose state is not ok, the most frequent first")
                .answers::<Causes>(),
        )
        .get("/api/v1/tenancies/{tenancy_id}/targets", list_of_tenancy, list("The targets of a tenancy"))
        .get(
            "/api/v1/tenancies/{tenancy_id}/targets/{target_id}",
            show,
            endpoint("A target with its settings and progress").answers::<TargetDetail>(),
        )
}

/// What is wrong.
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
struct Causes {
    causes: Vec<Cause>,
}

async fn list_all(State(console): State<Console>, query: Query) -> Result<Json<TargetPage>, Problem> {
    list(&console, query, None).await
}

async fn list_of_tenancy(
    State(console): State<Console>,
    path: PathParameters,
    query: Query,
) -> Result<Json<TargetPage>, Problem> {
    list(&console, query, Some(path.tenancy_id()?)).await
}

async fn list(
    console: &Console,
    query: Query,
    tenancy_id: Option<uuid::Uuid>,
) -> Result<Json<TargetPage>, Problem> {
    let (limit, after, filter, order) = query.read(|q| {
        let class = q.text("class").map(str::to_owned);
        if class.as_deref().is_some_and(|class| ErrorClass::from_code(class).is_none()) {
            return Err(Problem::invalid("class", "there is no such class of errors"));
        }
        let order = Order::of_name(q.one_of("order_by", &Order::names())?);
        let filter = TargetFilter {
            tenancy_id,
            state: q.one_of("state", &targets::STATES)?.map(str::to_owned),
            class,
            search: q.text("query").map(str::to_owned),
            order: TargetOrder::default(),
        };
        Ok((q.limit()?, q.text("cursor").map(cursor::read_target).transpose()?, filter, order))
    })?;
    Ok(Json(page(console, filter, order, after.as_ref(), limit).await?))
}

/// A page of targets with how far they are.
pub(crate) async fn page(
    console: &Console,
    filter: TargetFilter,
    order: Order,
    after: Option<&TargetCursor>,
    limit: i64,
) -> Result<TargetPage, Problem> {
    let found = match order {
        Order::Kept(order) => {
            let filter = TargetFilter { order, ..filter };
            let Page { entries, next } = page_of(console, &filter, after, limit).await?;
            let mappings = &console.desk.mappings;
            Page { entries: status::read_of(&console.internal, mappings, entries, ROWS_MAX).await?, next }
        }
        Order::Looked(by) => waiting::page(console, &filter, by, after, limit).await?,
    };
    Ok(TargetPage {
        targets: found.entries.iter().map(|status| TargetLine::new(console, status)).collect(),
        next_cursor: found.next.as_ref().map(cursor::write_target),
    })
}

/// A page of targets, without looking how far they are.
pub(crate) async fn page_of(
    console: &Console,
    filter: &TargetFilter,
    after: Option<&TargetCursor>,
    limit: i64,
) -> Result<Page<targets::Target, TargetCursor>, Problem> {
    let client = console.internal.get().await?;
    Ok(browse::targets(&client, filter, after, limit).await?)
}

async fn list_causes(State(console): State<Console>, query: Query) -> Result<Json<Causes>, Problem> {
    query.none()?;
    Ok(Json(Causes { causes: causes(&console).await? }))
}

/// What is wrong with those whose state is not ok, the most frequent first.
pub(crate) async fn causes(console: &Console) -> Result<Vec<Cause>, Problem> {
    let client = console.internal.get().await?;
    Ok(browse::troubles(&client).await?.into_iter().map(Cause::from).collect())
}

async fn show(
    State(console): State<Console>,
    path: PathParameters,
    query: Query,
) -> Result<Json<TargetDetail>, Problem> {
    query.none()?;
    Ok(Json(detail(&console, &key_of(&path)?).await?))
}

/// The target that a path names.
pub(crate) fn key_of(path: &PathParameters) -> Result<TargetKey, Problem> {
    let id = path.text("target_id")?;
    target_key(path.tenancy_id()?, id).map_err(|error| Problem::invalid("target_id", error))
}

/// A target with its settings and progress.
pub(crate) async fn detail(console: &Console, key: &TargetKey) -> Result<TargetDetail, Problem> {
    let client = console.internal.get().await?;
    let target = targets::find(&client, key).await?.ok_or_else(|| no_such(key))?;
    let running = outbox::is_running(&client, key).await?;
    drop(client);
    let found = vec![target.clone()];
    let statuses =
        status::read_of(&console.internal, &console.desk.mappings, found, status::BACKLOG_MAX).await?;
    let line = statuses.first().map(|status| TargetLine::new(console, status)).ok_or_else(|| no_such(key))?;
    Ok(TargetDetail::new(line, &target, running))
}

pub(super) fn no_such(key: &TargetKey) -> Problem {
    Problem::not_found(format!("the tenancy {} has no target {:?}", key.tenancy_id, key.database_id))
}
