//! What the mappings need of the sequencer, written into its registry: which columns count as a change, and
//! which rows depend on which.
//!
//! Things are only added. A neighbouring version with fewer mappings takes nothing away, and a column too many
//! costs a rewrite that the target then skips.

use std::collections::{BTreeMap, BTreeSet};

use tenant_sync_core::db::{DbError, Internal};
use tenant_sync_core::mapping::{self, Dependency, Mapping};
use tenant_sync_core::worker::patience::{Setback, until_done};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Transaction};

use crate::touches::Touches;

/// An application's open transaction delays the registration, but queues behind it no longer than this.
const LOCK_TIMEOUT: &str = "set local lock_timeout = '2s'";

/// What was added to the registry.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Registered {
    /// Columns that count as a change from now on, by relation.
    pub columns: BTreeMap<String, BTreeSet<String>>,
    /// Dependencies that the sequencer follows from now on.
    pub dependencies: BTreeSet<Dependency>,
}

impl Registered {
    fn is_empty(&self) -> bool {
        self.columns.is_empty() && self.dependencies.is_empty()
    }
}

/// Registers as soon as Postgres can be reached and no application transaction is in the way.
pub(crate) async fn when_reachable(internal: &Internal, mappings: &[Mapping]) -> Result<(), DbError> {
    let waiting = "the mappings' needs cannot be registered yet, trying again";
    let registered = until_done(waiting, || async {
        let mut client = internal.get().await.map_err(|error| Setback::NotYet(error.to_string()))?;
        register(&mut client, mappings).await.map_err(|error| {
            if passes(&error) { Setback::NotYet(error.to_string()) } else { Setback::Never(error) }
        })
    })
    .await?;
    if !registered.is_empty() {
        tracing::info!(columns = ?registered.columns, dependencies = registered.dependencies.len(),
            "the mappings read more than before; what depends on it is filled again");
    }
    Ok(())
}

fn passes(error: &DbError) -> bool {
    match error {
        DbError::Query(error) => error.code().is_none_or(|code| {
            [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::ADMIN_SHUTDOWN]
                .contains(code)
        }),
        _ => true,
    }
}

/// Adds what is missing, in one transaction; asks for a fill of the mappings that read what was added, because
/// changes of it may have gone unnoticed until now.
///
/// # Errors
/// Postgres does, also when a lock is not to be had within two seconds; then nothing was changed.
pub async fn register(client: &mut Client, mappings: &[Mapping]) -> Result<Registered, DbError> {
    Touches::of(mappings).record(client).await?;
    if missing(client, mappings).await?.is_empty() {
        return Ok(Registered::default());
    }
    let transaction = client.transaction().await?;
    transaction.batch_execute(LOCK_TIMEOUT).await?;
    transaction.batch_execute(r#"lock table "SequencedRelation" in share row exclusive mode"#).await?;
    let added = missing(&transaction, mappings).await?;
    for (relation, columns) in &added.columns {
        let columns: Vec<&String> = columns.iter().collect();
        transaction
            .execute(
                r#"update "SequencedRelation" set "columns" = "columns" || $2::text[] where "relation" = $1"#,
                &[relation, &columns],
            )
            .await?;
        transaction.execute("select watch_relation($1)", &[relation]).await?;
    }
    for dependency in &added.dependencies {
        let (changed, dependent): (Vec<&String>, Vec<&String>) =
            dependency.columns.iter().map(|(changed, dependent)| (changed, dependent)).unzip();
        transaction
            .execute(
                r#"insert into "SequencedDependency" ("changed", "dependent", "changedColumns", "dependentColumns")
                   values ($1, $2, $3, $4) on conflict do nothing"#,
                &[&dependency.changed, &dependency.dependent, &changed, &dependent],
            )
            .await?;
    }
    transaction.execute("select build_sequencer()", &[]).await?;
    ask_for_fills(&transaction, mappings, &added).await?;
    transaction.commit().await?;
    Ok(added)
}

/// Compares the registry with what the mappings need.
async fn missing(
    client: &impl tokio_postgres::GenericClient,
    mappings: &[Mapping],
) -> Result<Registered, DbError> {
    let mut missing = Registered::default();
    let needed = mapping::reads(mappings);
    let rows =
        client.query(r#"select "relation", "columns", "keyColumns" from "SequencedRelation""#, &[]).await?;
    for row in rows {
        let (relation, columns, key): (String, Vec<String>, Vec<String>) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let known: BTreeSet<String> = columns.into_iter().chain(key).collect();
        let new: BTreeSet<String> = needed
            .get(&relation)
            .into_iter()
            .flatten()
            .filter(|column| !known.contains(*column))
            .cloned()
            .collect();
        if !new.is_empty() && !known.is_empty() {
            missing.columns.insert(relation, new);
        }
    }
    let known = client
        .query(r#"select "changed", "dependent", "changedColumns", "dependentColumns" from "SequencedDependency""#, &[])
        .await?;
    let mut followed = BTreeSet::new();
    for row in known {
        let (changed, dependent): (Vec<String>, Vec<String>) = (row.try_get(2)?, row.try_get(3)?);
        let mut columns: Vec<(String, String)> = changed.into_iter().zip(dependent).collect();
        columns.sort();
        followed.insert(Dependency { changed: row.try_get(0)?, dependent: row.try_get(1)?, columns });
    }
    missing.dependencies = mapping::dependencies(mappings)
        .into_iter()
        .filter(|dependency| !followed.contains(dependency))
        .collect();
    Ok(missing)
}

async fn ask_for_fills(
    transaction: &Transaction<'_>,
    mappings: &[Mapping],
    added: &Registered,
) -> Result<(), DbError> {
    let concerned: Vec<&str> = mappings
        .iter()
        .filter(|mapping| {
            let reads = mapping::reads(std::slice::from_ref(*mapping));
            let columns = added.columns.iter().any(|(relation, new)| {
                reads.get(relation).is_some_and(|columns| columns.iter().any(|column| new.contains(column)))
            });
            columns || mapping.touches().iter().any(|touch| added.dependencies.contains(touch))
        })
        .map(|mapping| mapping.name.as_str())
        .collect();
    transaction.execute("select request_fills($1)", &[&concerned]).await?;
    Ok(())
}
