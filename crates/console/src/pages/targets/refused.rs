//! The rows that a target refuses: all of them, a page at a time.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use tenant_sync_core::outbox::TargetKey;
use time::OffsetDateTime;

use super::path_of;
use crate::http::{PathParameters, Problem, Query};
use crate::pages::address::Address;
use crate::pages::shell::{Shell, Trouble};
use crate::pages::tenants;
use crate::pages::view::format::things;
use crate::pages::view::frame::Section;
use crate::pages::view::refused::{self as view, Refused, Row};
use crate::state::Console;
use crate::targets::key_of;
use crate::targets::refused::{RefusedLine, RefusedPage, page as page_of};

/// Rows on a page.
const PAGE: i64 = 50;
/// Rows that a target's own page shows.
const FIRST: i64 = 10;

pub(super) fn router() -> Router<Console> {
    Router::new().route("/targets/{tenancy_id}/{target_id}/refused", get(show))
}

fn address(key: &TargetKey) -> Address {
    Address::new(&format!("{}/refused", path_of(key.tenancy_id, &key.database_id)))
}

/// The first of them, for the target's own page.
pub(super) async fn first(console: &Console, key: &TargetKey) -> Result<(Vec<Row>, Option<String>), Problem> {
    let page = page_of(console, key, None, None, FIRST).await?;
    let all = page.next_cursor.is_some().then(|| address(key).to_string());
    Ok((rows(&page), all))
}

fn rows(page: &RefusedPage) -> Vec<Row> {
    let pairs = |line: &RefusedLine| {
        let text =
            |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        line.key.iter().map(|(name, value)| (name.clone(), text(value))).collect()
    };
    let row = |line: &RefusedLine| Row {
        mapping: line.mapping.clone(),
        key: pairs(line),
        reason: line.reason.clone(),
        since: line.refused_at.0,
        attempts: line.attempts,
        next_attempt_at: line.next_attempt_at.0,
    };
    page.refused_rows.iter().map(row).collect()
}

async fn show(
    State(console): State<Console>,
    shell: Shell,
    path: PathParameters,
    query: Query,
) -> Result<Response, Trouble> {
    let key = key_of(&path)?;
    let cursor = query.read(|q| Ok(q.text("cursor").map(str::to_owned)))?;
    let page = page_of(&console, &key, None, cursor.as_deref(), PAGE).await?;
    let tenant = tenants::find(&console, key.tenancy_id).await?;
    let shown = i64::try_from(page.refused_rows.len()).unwrap_or_default();
    let next = page.next_cursor.as_deref();
    let content = Refused {
        now: OffsetDateTime::now_utc(),
        target: format!("{} / {}", tenant.name, key.database_id),
        href: path_of(key.tenancy_id, &key.database_id),
        rows: rows(&page),
        shown: if next.is_some() {
            format!("{shown} rows, and there are more")
        } else {
            things(shown, "row", "rows")
        },
        first: cursor.as_ref().map(|_| address(&key).to_string()),
        next: next.map(|cursor| address(&key).with("cursor", Some(cursor)).to_string()),
    };
    let title = format!("Refused rows of {}", content.target);
    Ok(shell.page(Section::Targets, &title, None, &view::content(&content)))
}
