//! A page of users.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use uuid::Uuid;

use super::cursor::Cursor;
use super::query::{OrderBy, UsersQuery};
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
    /// How to reach them, primary ones first; at most 20.
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
    let mut rows = sql::page(&client, query, after.as_ref(), term.as_ref()).await?;
    drop(client);
    if rows.is_empty() {
        super::require_tenancy(console, query.tenancy_id).await?;
    }
    // A search that has come to its end for now says where: in a row that is no user of the page.
    let end = rows.pop_if(|row| row.get("is_end"));
    let limit = usize::try_from(query.limit).unwrap_or_default();
    let more = rows.len() > limit;
    rows.truncate(limit);
    let last = if more { rows.last() } else { end.as_ref() };
    let last = last.map(|row| Cursor { at: row.get("cursor_at"), id: row.get("id") });
    Ok(UsersPage {
        users: rows.iter().map(user).collect(),
        next_cursor: last.map(|cursor| cursor.text(query.order_by, query.desc)),
        search: term.map(|term| term.searched),
        activity_complete: caught == Caught::Up,
    })
}

/// How the server gets a page, and how long it takes: what `EXPLAIN (ANALYZE, FORMAT JSON)` says of its one statement.
///
/// # Errors
/// As [`list`].
pub async fn plan(console: &Console, query: &UsersQuery) -> Result<serde_json::Value, Problem> {
    console.activity.catch_up(PATIENCE).await?;
    let client = console.internal.get().await?;
    let term = match query.searched()? {
        Some(text) => Some(search::Term::of(query.tenancy_id, text, search::indexed(&client).await?)),
        None => None,
    };
    Ok(sql::plan(&client, query, query.after()?.as_ref(), term.as_ref()).await?)
}

/// The ten who come first in an order, latest first.
pub(crate) async fn latest(
    client: &deadpool_postgres::Object,
    query: &UsersQuery,
    order_by: OrderBy,
) -> Result<Vec<User>, tokio_postgres::Error> {
    let query = UsersQuery { limit: 10, order_by, desc: true, ..query.clone() };
    let rows = sql::page(client, &query, None, None).await?;
    Ok(rows.iter().take(10).map(user).collect())
}

fn user(row: &Row) -> User {
    let (mut channels, mut methods) = (channels(row), methods(row));
    let more_channels = channels.len() > sql::PARTS_MAX;
    let more_sign_in_methods = methods.len() > sql::PARTS_MAX;
    methods.sort();
    channels.truncate(sql::PARTS_MAX);
    methods.truncate(sql::PARTS_MAX);
    let primary = channels.iter().find(|channel| channel.is_primary && channel.kind == "EMAIL");
    User {
        id: row.get("id"),
        display_name: row.get("displayName"),
        profile_image_url: row.get("profileImageUrl"),
        is_anonymous: row.get("isAnonymous"),
        signed_up_at: At(row.get("signed_up_at")),
        last_active_at: At(row.get("last_active_at")),
        primary_email: primary.map(|channel| channel.value.clone()),
        primary_email_verified: primary.is_some_and(|channel| channel.is_verified),
        channels,
        more_channels,
        sign_in_methods: methods,
        more_sign_in_methods,
    }
}

/// Columns as arrays of equal length; null where there is none.
fn channels(row: &Row) -> Vec<Channel> {
    let texts = |name: &str| row.get::<_, Option<Vec<String>>>(name).unwrap_or_default().into_iter();
    let flags = |name: &str| row.get::<_, Option<Vec<bool>>>(name).unwrap_or_default().into_iter();
    let ids = row.get::<_, Option<Vec<Uuid>>>("channel_ids").unwrap_or_default().into_iter();
    let named = ids.zip(texts("channel_types")).zip(texts("channel_values"));
    let flagged = flags("channel_primary").zip(flags("channel_verified")).zip(flags("channel_used_for_auth"));
    named
        .zip(flagged)
        .map(|(((id, kind), value), ((is_primary, is_verified), used_for_auth))| Channel {
            id,
            kind,
            value,
            is_primary,
            is_verified,
            used_for_auth,
        })
        .collect()
}

fn methods(row: &Row) -> Vec<SignInMethod> {
    let texts = |name: &str| row.get::<_, Option<Vec<Option<String>>>>(name).unwrap_or_default().into_iter();
    texts("method_types")
        .zip(texts("method_providers"))
        .map(|(kind, provider)| SignInMethod { kind, provider })
        .collect()
}
