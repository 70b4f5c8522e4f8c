//! Targets by what they lack. What a target lacks is counted when it is looked at, so an order by it looks at a bounded
//! number of them: those that wait longest. A target for which nothing is asked lacks nothing and is not in these lists.

use std::time::Duration;

use tenant_sync_core::outbox::{self, TargetKey};
use tenant_sync_core::registry::browse::{
    Page, TENANCIES_SEARCHED_MAX, TargetCursor, TargetFilter, tenancies,
};
use tenant_sync_core::registry::targets::{self, Target};
use tenant_sync_core::status::{self, TargetStatus};
use time::OffsetDateTime;
use uuid::Uuid;

use super::list::ROWS_MAX;
use crate::http::Problem;
use crate::state::Console;

/// Targets that are looked at.
pub(crate) const TARGETS_MAX: i64 = 500;

/// What they are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// The oldest change that is missing, the oldest first.
    Lag,
    /// Rows that are missing, the most first.
    RowsBehind,
    /// The last success, those first that never had one.
    LastSuccess,
}

impl By {
    /// The place in the order, ascending. What does not change keeps its place from one page to the next.
    fn place(self, status: &TargetStatus) -> i64 {
        let millis = |at: OffsetDateTime| i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
        match self {
            // A lag grows with the clock, the instant of the oldest change stands still.
            Self::Lag => millis(status.as_of - lag(status)),
            Self::RowsBehind => (i64::from(i32::MAX) - rows(status)).max(0),
            Self::LastSuccess => status.target.last_success_at.map_or(0, millis),
        }
    }
}

fn lag(status: &TargetStatus) -> Duration {
    status.mappings.iter().map(|mapping| mapping.lag).max().unwrap_or_default()
}

fn rows(status: &TargetStatus) -> i64 {
    status.mappings.iter().map(|mapping| mapping.backlog_rows).sum()
}

/// A page of the targets that wait, in this order.
pub(crate) async fn page(
    console: &Console,
    filter: &TargetFilter,
    by: By,
    after: Option<&TargetCursor>,
    limit: i64,
) -> Result<Page<TargetStatus, TargetCursor>, Problem> {
    let found = found(console, filter).await?;
    let statuses = status::read_of(&console.internal, &console.desk.mappings, found, ROWS_MAX).await?;
    let lacks = |status: &TargetStatus| by == By::LastSuccess || rows(status) > 0 || !lag(status).is_zero();
    let mut places: Vec<(TargetCursor, TargetStatus)> = statuses
        .into_iter()
        .filter(lacks)
        .map(|status| {
            let key = status.target.key.clone();
            (TargetCursor { place: by.place(&status), text: String::new(), key }, status)
        })
        .collect();
    places.sort_by(|(a, _), (b, _)| order(a).cmp(&order(b)));
    if let Some(after) = after {
        places.retain(|(place, _)| order(place) > order(after));
    }
    let kept = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = places.len() > kept;
    places.truncate(kept);
    let next = places.last().filter(|_| more).map(|(place, _)| place.clone());
    Ok(Page { entries: places.into_iter().map(|(_, status)| status).collect(), next })
}

fn order(cursor: &TargetCursor) -> (i64, Uuid, &str) {
    (cursor.place, cursor.key.tenancy_id, &cursor.key.database_id)
}

/// Those that wait longest, as far as they are meant.
async fn found(console: &Console, filter: &TargetFilter) -> Result<Vec<Target>, Problem> {
    let client = console.internal.get().await?;
    let keys: Vec<TargetKey> = outbox::waiting_longest(&client, TARGETS_MAX).await?;
    let mut found = targets::find_all(&client, &keys).await?;
    if let Some(search) = &filter.search {
        let of = tenancies(&client, Some(search), None, TENANCIES_SEARCHED_MAX).await?;
        let ids: Vec<Uuid> = of.entries.iter().map(|tenancy| tenancy.id).collect();
        found.retain(|target| ids.contains(&target.key.tenancy_id));
    }
    found.retain(|target| {
        filter.tenancy_id.is_none_or(|id| id == target.key.tenancy_id)
            && filter.state.as_ref().is_none_or(|state| *state == target.state)
            && filter.class.as_ref().is_none_or(|class| target.last_error_class.as_ref() == Some(class))
    });
    Ok(found)
}
