//! Ending the tracking of a table while the application uses it.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::index;
use super::session::Session;
use super::track::find;
use super::{Limits, Observer, TrackingError};
use crate::db::Internal;

/// A table that is tracked no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untracked {
    /// The name of its feed.
    pub name: String,
}

/// Ends the tracking of a table: by its name, or by its feed's name if it was renamed or dropped. Leaves the table
/// as it was.
///
/// # Errors
/// [`TrackingError`]; each says what to do.
pub async fn untrack(
    internal: &Internal,
    typed: &str,
    limits: Limits,
    observer: &mut dyn Observer,
) -> Result<Untracked, TrackingError> {
    let mut session = Session::open(internal, limits, observer).await?;
    session.client.batch_execute("select tracking_locate()").await?;
    let (relation, name) = tracked(&session.client, typed).await?;
    session.lock(relation, &name).await?;
    index::remove(&mut session, relation).await?;
    let statement = format!("select untrack_table({relation}::oid::regclass)");
    session.with_locks(&name, &statement).await?;
    Ok(Untracked { name })
}

async fn tracked(client: &Client, typed: &str) -> Result<(u32, String), TrackingError> {
    let found = match find(client, typed).await {
        Ok(found) => Some(found.relation),
        Err(TrackingError::Unknown(_)) => None,
        Err(error) => return Err(error),
    };
    let sql = r#"select "relation", "name" from "TrackedTable" where "relation" = $1 or "name" = $2
                 order by "relation" = $1 desc nulls last limit 1"#;
    let rows = client.query_typed(sql, &[(&found, Type::OID), (&typed, Type::TEXT)]).await?;
    let row = rows.first().ok_or_else(|| TrackingError::NotTracked(typed.to_owned()))?;
    Ok((row.get(0), row.get(1)))
}
