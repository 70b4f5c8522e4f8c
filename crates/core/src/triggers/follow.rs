//! A mapping file was changed: what triggers make of its table follows.

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::TriggerError;
use super::source::{Source, source_of};
use crate::mapping::Mapping;

/// What became of a table whose mapping had changed.
#[derive(Debug)]
pub struct Followed {
    /// The table.
    pub table: String,
    /// Why events cannot be made as the mapping says: its triggers are parked. `None` = they follow it.
    pub problem: Option<String>,
}

/// Makes the events of tables with triggers what these mappings say, where they said something else before. Tables
/// whose mapping is not among these are left alone: a neighbouring version with fewer mappings takes nothing away.
/// A transaction for each table, which waits two seconds for a lock at most; cancelled, whole tables are done or not.
///
/// What was done comes with what was not: a table that is busy keeps no other from following.
pub async fn follow_mappings(
    client: &mut Client,
    schema: &str,
    mappings: &[Mapping],
) -> (Vec<Followed>, Result<(), TriggerError>) {
    let mut done = Vec::new();
    let stale = match stale(client, schema, mappings).await {
        Ok(stale) => stale,
        Err(error) => return (done, Err(error)),
    };
    let mut result = Ok(());
    for (id, table, source) in stale {
        match follow(client, id, &source).await {
            Ok(problem) => done.push(Followed { table, problem }),
            Err(error) => result = Err(error.into()),
        }
    }
    (done, result)
}

/// Tables whose events are made of something else than the mappings say.
async fn stale(
    client: &Client,
    schema: &str,
    mappings: &[Mapping],
) -> Result<Vec<(i64, String, Source)>, TriggerError> {
    let sql = r#"
select h."id", h."name", h."relation", h."event", h."mappingName", h."data"
from "HttpTable" h where exists (select from pg_class c where c.oid = h."relation") order by h."id""#;
    let mut stale = Vec::new();
    for row in client.query_typed(sql, &[]).await? {
        let (event, mapping, data): (String, Option<String>, Option<String>) =
            (row.get(3), row.get(4), row.get(5));
        let named = mappings.iter().find(|known| Some(&known.name) == mapping.as_ref());
        if mapping.is_some() && named.is_none() {
            continue;
        }
        let source = source_of(client, schema, mappings, row.get(2), named).await?;
        if (&source.event, &source.mapping, &source.data) != (&event, &mapping, &data) {
            stale.push((row.get(0), row.get(1), source));
        }
    }
    Ok(stale)
}

async fn follow(
    client: &mut Client,
    id: i64,
    source: &Source,
) -> Result<Option<String>, tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    transaction.batch_execute("set local lock_timeout = '2s'").await?;
    let parameters: [(&(dyn ToSql + Sync), Type); 4] = [
        (&id, Type::INT8),
        (&source.event, Type::TEXT),
        (&source.mapping, Type::TEXT),
        (&source.data, Type::TEXT),
    ];
    let row = transaction.query_typed("select http_follow_mapping($1, $2, $3, $4)", &parameters).await?;
    transaction.commit().await?;
    Ok(row.first().and_then(|row| row.get(0)))
}
