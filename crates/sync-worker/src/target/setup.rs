//! What is created in a target, once: the schema with our own tables, and each mapping's table.
//!
//! DDL waits at most a second for its lock; whoever reads the customer's tables never queues behind us for
//! longer. A table that we did not create is never touched.

use tenant_sync_core::mapping::ddl::{MARKER, add_column, create_indexes, create_table, qualified};
use tenant_sync_core::mapping::names::{quote_ident, quote_literal};
use tokio_postgres::Client;

use super::layout::{self, OUR_NAMES};
use super::state::{Limits, MappingState, Owner, begin};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// It is as the mapping says, and as we left it.
    Unchanged,
    /// It is new, or changed in a way that wants all rows again.
    WantsFill(&'static str),
    /// It was altered in this transaction, which is to end before rows are written: readers wait for it.
    Altered,
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
        Some(state) if state.storage_now.is_some() && state.fingerprint == plan.fingerprint => {
            if state.storage == state.storage_now {
                return Ok(Table::Unchanged);
            }
            return Ok(Table::WantsFill("the table was emptied or rewritten"));
        }
        Some(state) if state.storage_now.is_some() => {
            if upgrade(client, schema, plan).await? {
                return Ok(Table::Altered);
            }
            Table::WantsFill("the mapping changed")
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
    sql.extend(create_indexes(&plan.mapping, schema));
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

/// Adds what the mapping gained, and says whether anything was missing. What it lost stays in the target, for
/// whoever reads it, and may be null.
async fn upgrade(client: &Client, schema: &str, plan: &Plan) -> Result<bool, TurnError> {
    let present = client
        .simple_query(&format!(
            "select a.attname, a.attnotnull from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
             join pg_catalog.pg_namespace n on n.oid = c.relnamespace
             where n.nspname = {} and c.relname = {} and a.attnum > 0 and not a.attisdropped",
            quote_literal(schema),
            quote_literal(&plan.mapping.target.table)
        ))
        .await?;
    let mut names: Vec<String> = Vec::new();
    let mut sql = vec!["set local lock_timeout = '1s'".to_owned()];
    let table = qualified(&plan.mapping, schema);
    for message in &present {
        let tokio_postgres::SimpleQueryMessage::Row(row) = message else { continue };
        let name = row.get(0).unwrap_or_default().to_owned();
        if row.get(1) == Some("t") && plan.mapping.column(&name).is_none() {
            sql.push(format!("alter table {table} alter column {} drop not null", quote_ident(&name)));
        }
        names.push(name);
    }
    for column in plan.mapping.columns.iter().filter(|column| !names.contains(&column.name)) {
        sql.extend(add_column(&plan.mapping, schema, column));
    }
    let altered = sql.len() > 1;
    if altered {
        sql.extend(create_indexes(&plan.mapping, schema));
        sql.push("set local lock_timeout = '5s'".to_owned());
        client.batch_execute(&sql.join("; ")).await?;
    }
    Ok(altered)
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
