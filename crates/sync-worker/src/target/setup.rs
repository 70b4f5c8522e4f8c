//! What is created in a target, once: the schema with our own tables, and each mapping's table.
//!
//! DDL waits at most a second for its lock; whoever reads the customer's tables never queues behind us for
//! longer. A table that we did not create is never touched.

use tenant_sync_core::mapping::ddl::{MARKER, create_indexes, create_table};
use tenant_sync_core::mapping::names::{quote_ident, quote_literal};
use tenant_sync_core::target::class::{ErrorClass, TargetFault};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::layout::{self, OUR_NAMES};
use super::state::{Limits, MappingState, Owner, begin};
use super::upgrade::{self, Step};
use crate::error::{TurnError, foreign_table};
use crate::plan::Plan;

/// Sets the schema up for its first and only owner. Does nothing if somebody was faster.
pub(crate) async fn schema(
    client: &Client,
    schema: &str,
    owner: &Owner,
    plans: &[&Plan],
    limits: Limits,
) -> Result<(), TurnError> {
    let s = quote_ident(schema);
    client.batch_execute(&format!("{} set local lock_timeout = '1s';", begin(limits))).await?;
    let exists = query_bool(
        client,
        &format!(
            "select exists (select from pg_catalog.pg_namespace where nspname = {})",
            quote_literal(schema)
        ),
    )
    .await?;
    if exists {
        let names =
            OUR_NAMES.iter().copied().chain(plans.iter().map(|plan| plan.mapping.target.table.as_str()));
        refuse_foreign(client, schema, names).await?;
    } else {
        client
            .batch_execute(&format!(
                "create schema {s}; comment on schema {s} is {};",
                quote_literal(&format!("A tenant's rows. {MARKER}"))
            ))
            .await?;
    }
    let identity = format!(
        "insert into {s}._sync_identity (deployment, tenancy_id, target_id) values ({}, {}, {});",
        quote_literal(&owner.deployment),
        quote_literal(&owner.tenancy.to_string()),
        quote_literal(&owner.target),
    );
    let revoke = layout::privileges(schema, &[], &OUR_NAMES);
    client.batch_execute(&format!("{} {identity} {revoke}; commit;", layout::create(schema))).await?;
    Ok(())
}

/// Stops if a relation of one of these names is there.
async fn refuse_foreign<'a>(
    client: &Client,
    schema: &str,
    names: impl Iterator<Item = &'a str>,
) -> Result<(), TurnError> {
    let names: Vec<String> = names.map(quote_literal).collect();
    let found = client
        .simple_query(&format!(
            "select c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
             where n.nspname = {} and c.relname in ({}) order by 1 limit 1",
            quote_literal(schema),
            names.join(", ")
        ))
        .await?;
    for message in found {
        if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
            return Err(foreign_table(row.get(0).unwrap_or_default()));
        }
    }
    Ok(())
}

/// What had to be done for a mapping's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Table {
    /// It is as the mapping says, and as we left it.
    Unchanged,
    /// It is new, or changed in a way that wants all rows again.
    WantsFill(&'static str),
    /// It was altered in this transaction, which is to end before rows are written: readers wait for it.
    Altered,
    /// It lacks these indexes, which are to be built in a transaction of their own.
    LacksIndexes(Vec<String>),
}

/// Creates a mapping's table, or brings it up to the mapping. Part of the turn's transaction.
pub(crate) async fn table(
    client: &Client,
    schema: &str,
    plan: &Plan,
    known: Option<&MappingState>,
    readers: &[String],
) -> Result<Table, TurnError> {
    let outcome = match known {
        Some(state) if state.storage_now.is_some() && !state.ours => {
            return Err(foreign_table(&plan.mapping.target.table));
        }
        Some(state) if state.storage_now.is_some() => {
            let as_it_should_be =
                state.fingerprint == plan.fingerprint && state.version == Some(plan.mapping.version);
            if !as_it_should_be {
                match upgrade::step(client, schema, plan).await? {
                    Some(Step::Altered) => return Ok(Table::Altered),
                    Some(Step::Indexes(missing)) => return Ok(Table::LacksIndexes(missing)),
                    None => {}
                }
            }
            if !plan.same_content(&state.fingerprint, state.version) {
                Table::WantsFill("the mapping changed")
            } else if state.storage != state.storage_now {
                Table::WantsFill("the table was emptied or rewritten")
            } else {
                Table::Unchanged
            }
        }
        Some(_) => {
            create(client, schema, plan, readers).await?;
            Table::WantsFill("the table was dropped")
        }
        None => {
            refuse_foreign(client, schema, std::iter::once(plan.mapping.target.table.as_str())).await?;
            create(client, schema, plan, readers).await?;
            Table::WantsFill("the target is new")
        }
    };
    Ok(outcome)
}

async fn create(client: &Client, schema: &str, plan: &Plan, readers: &[String]) -> Result<(), TurnError> {
    let mut sql = vec!["set local lock_timeout = '1s'".to_owned()];
    sql.extend(create_table(&plan.mapping, schema));
    client.batch_execute(&sql.join("; ")).await.map_err(|error| unknown_type(plan, error))?;
    let mut sql = create_indexes(&plan.mapping, schema);
    sql.push(format!(
        "insert into {}._sync_metadata (mapping_name, table_name, fingerprint, mapping_version, filling)
         values ({}, {}, {}, {}, true) on conflict (mapping_name) do nothing",
        quote_ident(schema),
        quote_literal(plan.name()),
        quote_literal(&plan.mapping.target.table),
        quote_literal(&plan.fingerprint),
        plan.mapping.version,
    ));
    sql.push(layout::privileges(schema, readers, &[&plan.mapping.target.table]));
    sql.push("set local lock_timeout = '5s'".to_owned());
    client.batch_execute(&sql.join("; ")).await?;
    Ok(())
}

/// A server that is too old for a type, or for its modifier, says so when a column is to have it.
pub(super) fn unknown_type(plan: &Plan, error: tokio_postgres::Error) -> TurnError {
    let codes =
        [SqlState::UNDEFINED_OBJECT, SqlState::INVALID_PARAMETER_VALUE, SqlState::FEATURE_NOT_SUPPORTED];
    if !error.code().is_some_and(|code| codes.contains(code)) {
        return TurnError::Statement(error);
    }
    let fault = TargetFault::from_postgres(&error);
    let table = Some(plan.mapping.target.table.as_str().into());
    TurnError::Fault(TargetFault { class: ErrorClass::TypeMissing, table, ..fault })
}

/// Brings privileges to what the target's setting says.
pub(crate) async fn privileges(
    client: &Client,
    schema: &str,
    plans: &[&Plan],
    readers: &[String],
) -> Result<(), TurnError> {
    let mut tables = vec!["_sync_metadata", "_sync_refused", "sync_freshness"];
    tables.extend(plans.iter().map(|plan| plan.mapping.target.table.as_str()));
    Ok(client.batch_execute(&layout::privileges(schema, readers, &tables)).await?)
}

async fn query_bool(client: &Client, sql: &str) -> Result<bool, TurnError> {
    let messages = client.simple_query(sql).await?;
    Ok(messages.iter().any(
        |message| matches!(message, tokio_postgres::SimpleQueryMessage::Row(row) if row.get(0) == Some("t")),
    ))
}
