//! Putting a page together: the statement gives users, channels and methods as rows of their own, in any order.

use std::collections::HashMap;
use std::error::Error;

use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type, accepts};
use uuid::Uuid;

use super::cursor::{Cursor, Instant};
use super::list::{Channel, SignInMethod, User};
use super::sql::{CHANNEL_ROW, PARTS_MAX, USER_ROW};

/// What a statement gave.
#[derive(Debug)]
pub(super) struct Rows {
    /// In the page's order, each with its place.
    pub(super) users: Vec<(User, Cursor)>,
    /// A search that has come to its end for now says where.
    pub(super) end: Option<Cursor>,
}

impl Rows {
    /// `desc`: the latest first.
    ///
    /// # Errors
    /// What was folded of a user cannot be read.
    pub(super) fn of(rows: &[Row], desc: bool) -> Result<Self, tokio_postgres::Error> {
        let mut parts: HashMap<Uuid, Parts> = HashMap::new();
        let mut of_users = Vec::new();
        let mut end = None;
        for row in rows {
            match char::from(row.get::<_, i8>("kind").unsigned_abs()) {
                USER_ROW if row.get("is_end") => end = Some(place(row)),
                USER_ROW => {
                    if let Some(Folded(methods)) = row.try_get("methods")? {
                        parts.entry(row.get("user_id")).or_default().methods = methods;
                    }
                    of_users.push(row);
                }
                CHANNEL_ROW => parts.entry(row.get("user_id")).or_default().take_channel(row),
                _ => parts.entry(row.get("user_id")).or_default().methods.push(method(row)),
            }
        }
        of_users.sort_by_cached_key(|row| (row.get::<_, Instant>("at"), row.get::<_, Uuid>("user_id")));
        if desc {
            of_users.reverse();
        }
        let user = |row: &&Row| {
            let parts = parts.remove(&row.get("user_id")).unwrap_or_default();
            (parts.of_user(row), place(row))
        };
        Ok(Self { users: of_users.iter().map(user).collect(), end })
    }
}

fn place(row: &Row) -> Cursor {
    Cursor { at: row.get("at"), id: row.get("user_id") }
}

/// What belongs to one user.
#[derive(Default)]
struct Parts {
    channels: Vec<(Instant, Channel)>,
    methods: Vec<SignInMethod>,
}

impl Parts {
    /// Of a user with very many the primary ones may come twice.
    fn take_channel(&mut self, row: &Row) {
        let id = row.get("id");
        if self.channels.iter().any(|(_, channel)| channel.id == id) {
            return;
        }
        let channel = Channel {
            id,
            kind: row.get("detail"),
            value: row.get("text"),
            is_primary: row.get("flag"),
            is_verified: row.get("is_verified"),
            used_for_auth: row.get("used_for_auth"),
        };
        self.channels.push((row.get("at"), channel));
    }

    fn of_user(mut self, row: &Row) -> User {
        self.channels.sort_by_key(|(created_at, channel)| (!channel.is_primary, *created_at, channel.id));
        self.methods.sort();
        let (more_channels, more_sign_in_methods) =
            (self.channels.len() > PARTS_MAX, self.methods.len() > PARTS_MAX);
        self.methods.truncate(PARTS_MAX);
        let channels: Vec<_> =
            self.channels.into_iter().take(PARTS_MAX).map(|(_, channel)| channel).collect();
        let primary = channels.iter().find(|channel| channel.is_primary && channel.kind == "EMAIL");
        User {
            id: row.get("user_id"),
            display_name: row.get("text"),
            profile_image_url: row.get("detail"),
            is_anonymous: row.get("flag"),
            signed_up_at: row.get::<_, Instant>("signed_up_at").shown(),
            last_active_at: row.get::<_, Instant>("last_active_at").shown(),
            primary_email: primary.map(|channel| channel.value.clone()),
            primary_email_verified: primary.is_some_and(|channel| channel.is_verified),
            channels,
            more_channels,
            sign_in_methods: self.methods,
            more_sign_in_methods,
        }
    }
}

fn method(row: &Row) -> SignInMethod {
    SignInMethod { kind: row.get("detail"), provider: row.get("text") }
}

/// `"UserActivity"."signInMethods"`
struct Folded(Vec<SignInMethod>);

impl FromSql<'_> for Folded {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let pairs: Vec<(Option<String>, Option<String>)> = serde_json::from_slice(raw)?;
        Ok(Self(pairs.into_iter().map(|(kind, provider)| SignInMethod { kind, provider }).collect()))
    }

    accepts!(TEXT);
}
