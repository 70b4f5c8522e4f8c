//! A page of users.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::query::{OrderBy, UsersQuery};
use super::rows::Rows;
use super::search::{self, Searched};
use super::sql;
use crate::activity::Caught;
use crate::http::{At, Problem};
use crate::state::Console;

/// How long a page waits for activity that is not folded yet.
const PATIENCE: Duration = Duration::from_secs(2);

/// A page of users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsersPage {
    /// In the order that was asked for.
    pub(crate) users: Vec<User>,
    /// Where the next page begins; null: this was the last. With `query`, a page that is not the last may have fewer users than
    /// were asked for, or none: a search ends after some thousands of users and goes on behind them.
    pub(crate) next_cursor: Option<String>,
    /// How `query` was looked for: by a part of a name or address, or by its beginning; null: nothing was searched for.
    pub(crate) search: Option<Searched>,
    /// Whether all activity was counted; false for a while after an import of events.
    pub(crate) activity_complete: bool,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// `"projectUserId"`
    pub(crate) id: Uuid,
    /// As they call themselves.
    pub(crate) display_name: Option<String>,
    /// A picture.
    pub(crate) profile_image_url: Option<String>,
    /// Nobody has signed in as them yet.
    pub(crate) is_anonymous: bool,
    /// When they signed up; when the row was made, if that is not known.
    pub(crate) signed_up_at: At,
    /// The greater of `"lastActiveAt"` and the latest activity event; when they signed up, if there is neither.
    pub(crate) last_active_at: At,
    /// Their primary address.
    pub(crate) primary_email: Option<String>,
    /// Whether it is verified.
    pub(crate) primary_email_verified: bool,
    /// How to reach them, primary ones first, then the oldest; at most 20, chosen among a hundred and the primary ones.
    pub(crate) channels: Vec<Channel>,
    /// There are more channels than these.
    pub(crate) more_channels: bool,
    /// How they sign in; at most 20.
    pub(crate) sign_in_methods: Vec<SignInMethod>,
    /// There are more methods than these.
    pub(crate) more_sign_in_methods: bool,
}

/// A way to reach a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Channel {
    pub(crate) id: Uuid,
    /// `EMAIL`
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The address.
    pub(crate) value: String,
    pub(crate) is_primary: bool,
    pub(crate) is_verified: bool,
    pub(crate) used_for_auth: bool,
}

/// A way to sign in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignInMethod {
    /// `password`, `otp`, `passkey` or `oauth`
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    /// Of `oauth`: whose.
    pub(crate) provider: Option<String>,
}

impl UsersPage {
    /// How many users it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

/// A page of users. Activity that was committed before the call is counted, unless there is more than can be folded in two
/// seconds.
///
/// # Errors
/// The query cannot be used, the tenancy is unknown, or the internal Postgres does not answer.
pub async fn list(console: &Console, query: &UsersQuery) -> Result<UsersPage, Problem> {
    let (after, searched) = (query.after()?, query.searched()?);
    if !console.config.database.user_tables {
        super::require_tenancy(console, query.tenancy_id).await?;
    }
    let caught = console.activity.catch_up(PATIENCE).await?;
    let client = console.internal.get().await?;
    let term = match searched {
        Some(text) => Some(search::Term::of(query.tenancy_id, text, search::indexed(&client).await?)),
        None => None,
    };
    let rows = sql::page(&client, query, after.as_ref(), term.as_ref()).await?;
    drop(client);
    let Rows { mut users, end } = Rows::of(&rows, query.desc)?;
    if rows.is_empty() {
        super::require_tenancy(console, query.tenancy_id).await?;
    }
    let limit = usize::try_from(query.limit).unwrap_or_default();
    let more = users.len() > limit;
    users.truncate(limit);
    let last = if more { users.last().map(|(_, place)| place) } else { end.as_ref() };
    let next_cursor = last.map(|place| place.text(query.order_by, query.desc));
    Ok(UsersPage {
        users: users.into_iter().map(|(user, _)| user).collect(),
        next_cursor,
        search: term.map(|term| term.searched),
        activity_complete: caught == Caught::Up,
    })
}

/// How the server gets a page, and how long it takes: what `EXPLAIN (ANALYZE, FORMAT JSON)` says of its one statement,
/// with the blocks that it touched or, without counting them, a little sooner.
///
/// # Errors
/// As [`list`].
pub async fn plan(
    console: &Console,
    query: &UsersQuery,
    with_blocks: bool,
) -> Result<serde_json::Value, Problem> {
    console.activity.catch_up(PATIENCE).await?;
    let client = console.internal.get().await?;
    let term = match query.searched()? {
        Some(text) => Some(search::Term::of(query.tenancy_id, text, search::indexed(&client).await?)),
        None => None,
    };
    Ok(sql::plan(&client, with_blocks, query, query.after()?.as_ref(), term.as_ref()).await?)
}

/// The ten who come first in an order, latest first.
pub(crate) async fn latest(
    client: &deadpool_postgres::Object,
    query: &UsersQuery,
    order_by: OrderBy,
) -> Result<Vec<User>, tokio_postgres::Error> {
    let query = UsersQuery { limit: 10, order_by, desc: true, ..query.clone() };
    let rows = sql::page(client, &query, None, None).await?;
    Ok(Rows::of(&rows, query.desc)?.users.into_iter().take(10).map(|(user, _)| user).collect())
}
