//! Finding a tenant, and what its pages have in common.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use maud::Markup;
use tenant_sync_core::registry::browse;
use tenant_sync_core::registry::tenancies::{self, Tenancy, TenancyRef};
use time::OffsetDateTime;
use uuid::Uuid;

use super::address::Address;
use super::shell::{Shell, Trouble};
use super::view::frame::Section;
use super::view::tenants::{self as view, Line, Tenants};
use crate::http::{Problem, Query};
use crate::state::Console;
use crate::targets::cursor;

/// Tenants on a page.
const PAGE: i64 = 50;

pub(super) fn router() -> Router<Console> {
    Router::new().route("/tenants", get(show))
}

/// A tenant, by its name.
#[derive(Debug, Clone)]
pub(super) struct Tenant {
    pub(super) id: Uuid,
    pub(super) name: String,
}

impl Tenant {
    fn of(tenancy: &Tenancy) -> Self {
        Self { id: tenancy.id, name: tenancies::name_of(&tenancy.project_id, &tenancy.branch_id) }
    }

    pub(super) fn users_path(&self) -> String {
        format!("/tenants/{}/users", self.id)
    }

    fn metrics_path(&self) -> String {
        format!("/tenants/{}/metrics", self.id)
    }

    fn targets_path(&self) -> String {
        format!("/targets?tenancy={}", self.id)
    }

    /// The top of one of its pages.
    pub(super) fn head(&self, at: &str) -> Markup {
        view::head(&self.name, &self.users_path(), &self.metrics_path(), &self.targets_path(), at)
    }
}

/// The tenant of a tenancy.
pub(super) async fn find(console: &Console, tenancy_id: Uuid) -> Result<Tenant, Problem> {
    let client = console.internal.get().await?;
    let found = tenancies::find(&client, &TenancyRef::Id(tenancy_id)).await?;
    found.as_ref().map(Tenant::of).ok_or_else(|| Problem::not_found("there is no such tenancy"))
}

async fn show(State(console): State<Console>, shell: Shell, query: Query) -> Result<Response, Trouble> {
    let (search, cursor) = query.read(|q| {
        let search = q.text("query").map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        Ok((search, q.text("cursor").map(str::to_owned)))
    })?;
    let after = cursor.as_deref().map(cursor::read_tenancy).transpose()?;
    let client = console.internal.get().await?;
    let found = browse::tenancies(&client, search.as_deref(), after.as_ref(), PAGE).await?;
    drop(client);
    let address = Address::new("/tenants").with("query", search.as_deref());
    let next = found.next.as_ref().map(cursor::write_tenancy);
    let page = Tenants {
        now: OffsetDateTime::now_utc(),
        search: search.unwrap_or_default(),
        lines: found.entries.iter().map(line).collect(),
        first: cursor.as_ref().map(|_| address.to_string()),
        next: next.as_deref().map(|cursor| address.with("cursor", Some(cursor)).to_string()),
    };
    Ok(shell.page(Section::Tenants, "Tenants", None, &view::content(&page)))
}

fn line(tenancy: &Tenancy) -> Line {
    let tenant = Tenant::of(tenancy);
    Line {
        tenant_key: tenancy.tenant_key.clone(),
        tenancy_id: tenancy.id.to_string(),
        targets: tenancy.targets,
        created_at: tenancy.created_at,
        users_href: tenant.users_path(),
        metrics_href: tenant.metrics_path(),
        targets_href: tenant.targets_path(),
        name: tenant.name,
    }
}
