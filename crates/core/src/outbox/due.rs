//! Whether there is anything for a poller to do: one call for what claiming and folding find out in four
//! statements that are planned each time.

use std::time::SystemTime;

use deadpool_postgres::Object;
use tokio_postgres::Error;
use tokio_postgres::types::{ToSql, Type};

use super::deliveries::AskedBy;
use super::{Claimed, Scanned};

/// From where a look begins: below it nothing was due before.
#[derive(Debug, Clone, Copy)]
pub struct LookFrom<'a> {
    /// The due times of syncs.
    pub syncs: Claimed<SystemTime>,
    /// The due time of deliveries.
    pub deliveries: SystemTime,
    /// The transactions whose asks for deliveries may be there.
    pub asked_by: &'a AskedBy,
}

/// What is due. Whoever holds a row's lock does not matter: what a claim leaves to somebody is due, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Syncs of either lane.
    pub syncs: bool,
    /// Deliveries to destinations.
    pub deliveries: bool,
    /// Asks for deliveries.
    pub asks: bool,
    /// How far it looked, for what is not due.
    pub nothing_up_to: Scanned,
    /// Where the next look at asks begins, if there are none.
    pub no_asks_before: AskedBy,
}

/// Looks whether anything is due. Its plan is kept by the session, and right for an outbox of any size.
///
/// # Errors
/// Postgres does.
pub async fn look_for_due(client: &Object, from: LookFrom<'_>) -> Result<Look, Error> {
    let text = r"select as_of, syncs, deliveries, asks, next_asks_from::text, running::text[]
                 from outbox_due($1, $2, $3, $4::xid8, $5::xid8[])";
    let types = [Type::TIMESTAMPTZ, Type::TIMESTAMPTZ, Type::TIMESTAMPTZ, Type::TEXT, Type::TEXT_ARRAY];
    let statement = client.prepare_typed_cached(text, &types).await?;
    let (asks_from, asks_of) = from.asked_by.transactions();
    let parameters: [&(dyn ToSql + Sync); 5] =
        [&from.syncs.live, &from.syncs.bulk, &from.deliveries, &asks_from, &asks_of];
    let row = client.query_one(&statement, &parameters).await?;
    let next_from: String = row.get(4);
    Ok(Look {
        syncs: row.get(1),
        deliveries: row.get(2),
        asks: row.get(3),
        nothing_up_to: Scanned { as_of: row.get(0), lowest_left: None },
        no_asks_before: AskedBy::of(&next_from, row.get(5)),
    })
}
