//! The functions of `migrations/app/0003_activity.sql`.

use deadpool_postgres::Object;
use tokio_postgres::Error;
use tokio_postgres::types::Type;

/// A batch takes a fraction of a second, so that others of the same lock do not wait for long.
const USERS: i32 = 5_000;
const EVENTS: i32 = 10_000;

pub(super) async fn is_anything_left(client: &Object) -> Result<bool, Error> {
    Ok(client.query_typed_one("select activity_to_fold()", &[]).await?.get(0))
}

pub(super) async fn fold_users(client: &Object) -> Result<bool, Error> {
    Ok(client.query_typed_one("select fold_users($1)", &[(&USERS, Type::INT4)]).await?.get(0))
}

pub(super) async fn fold_events(client: &Object) -> Result<bool, Error> {
    Ok(client.query_typed_one("select fold_events($1)", &[(&EVENTS, Type::INT4)]).await?.get(0))
}

/// Removes rows of "UserFeed" that are folded; returns whether there may be more.
pub(super) async fn trim(client: &Object) -> Result<bool, Error> {
    let text = "select trim_user_feed($1) >= $1";
    Ok(client.query_typed_one(text, &[(&EVENTS, Type::INT4)]).await?.get(0))
}

/// Removes at most about `rows` of each kind that are no longer shown; returns how many.
pub(super) async fn purge(client: &Object, rows: i32) -> Result<i64, Error> {
    Ok(client.query_typed_one("select purge_activity($1)", &[(&rows, Type::INT4)]).await?.get(0))
}
