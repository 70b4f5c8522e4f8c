//! Opening a turn: lock the target's one row, then read what the target knows of itself.
//!
//! Whoever holds this lock is the only writer. A worker that was paused for an hour finds its session thrown
//! out or the lock taken, and the watermark that it reads after the lock is the truth.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{TryStreamExt, pin_mut};
use tenant_sync_core::mapping::TEXT_SETTINGS;
use tenant_sync_core::mapping::ddl::MARKER;
use tenant_sync_core::mapping::names::{quote_ident, quote_literal};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};
use uuid::Uuid;

use crate::error::{TurnError, abuse};

/// More rows than this in our own tables mean that they are not ours any more.
const ROWS_MAX: usize = 10_000;

/// Who a schema belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) deployment: String,
    pub(crate) tenancy: Uuid,
    pub(crate) target: String,
}

/// What the target knows of itself.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) owner: Owner,
    /// Life of the source that its rows were read in.
    pub(crate) epoch: Option<Uuid>,
    pub(crate) mappings: HashMap<String, MappingState>,
    /// Rows of each mapping that the target refused: all, and those whose next try is due.
    pub(crate) refused: HashMap<String, Refused>,
}

/// What the target knows of one mapping. A stranger can write there, so nothing here is trusted to make sense.
#[derive(Debug, Clone)]
pub(crate) struct MappingState {
    pub(crate) watermark: Option<i64>,
    pub(crate) version: Option<i32>,
    pub(crate) fingerprint: String,
    pub(crate) filling: bool,
    pub(crate) fill_position: Option<Vec<String>>,
    pub(crate) flagged_rows: i64,
    /// The table's file when it was last written.
    pub(crate) storage: Option<String>,
    /// The table's file now; `None` = there is no such table.
    pub(crate) storage_now: Option<String>,
    /// Whether the table carries our comment.
    pub(crate) ours: bool,
}

/// How many rows of a mapping a target refuses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) all: i64,
    pub(crate) due: i64,
}

/// Whether the schema is set up.
#[derive(Debug)]
pub(crate) enum Opened {
    /// The transaction is open and the lock held.
    Locked(Box<State>),
    /// Our tables are not there; no transaction is open.
    NotSetUp,
}

/// Limits of a transaction in a target, which also end it if we freeze in the middle.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) statement: Duration,
}

/// Begins the turn's transaction, with its limits, by `SET LOCAL`: behind a pooler nothing may stay behind.
pub(crate) fn begin(limits: Limits) -> String {
    let statement = limits.statement.as_millis();
    format!(
        "begin isolation level read committed;
         set local lock_timeout = '5s'; set local statement_timeout = {statement};
         set local idle_in_transaction_session_timeout = '30s';
         set local tcp_keepalives_idle = 10; set local tcp_keepalives_interval = 5; set local tcp_keepalives_count = 3;
         set local jit = off; {}",
        text_settings()
    )
}

/// Pins how values look as text, on both sides of the road.
pub(crate) fn text_settings() -> String {
    TEXT_SETTINGS
        .iter()
        .map(|(name, value)| format!("set local \"{name}\" = {};", quote_literal(value)))
        .collect()
}

/// Begins a transaction and takes the lock.
pub(crate) async fn open(client: &Client, schema: &str, limits: Limits) -> Result<Opened, TurnError> {
    let s = quote_ident(schema);
    let sql = format!(
        "{} select 'identity' as part, deployment, tenancy_id, target_id, epoch from {s}._sync_identity for update;
         select 'mapping' as part, m.mapping_name, m.last_synced_sequence_id, m.mapping_version, m.fingerprint,
                m.filling, m.fill_position, m.flagged_rows, m.storage, pg_catalog.pg_relation_filenode(c.oid) as storage_now,
                coalesce(pg_catalog.obj_description(c.oid, 'pg_class') like {}, false) as ours
         from {s}._sync_metadata m left join pg_catalog.pg_class c
           on c.relname = m.table_name and c.relkind in ('r', 'p') and c.relnamespace = {}::regnamespace;
         select 'refused' as part, mapping_name, count(*) as n, count(*) filter (where retry_at <= now()) as due
         from {s}._sync_refused group by 2;",
        begin(limits),
        quote_literal(&format!("%{MARKER}%")),
        quote_literal(&s),
    );
    match read(client, &sql).await {
        Ok(state) => Ok(Opened::Locked(Box::new(state))),
        Err(TurnError::Statement(error)) if is_missing(&error) => {
            client.batch_execute("rollback").await?;
            Ok(Opened::NotSetUp)
        }
        Err(error) => Err(error),
    }
}

async fn read(client: &Client, sql: &str) -> Result<State, TurnError> {
    let rows = client.simple_query_raw(sql).await?;
    pin_mut!(rows);
    let mut state: Option<State> = None;
    let mut count = 0;
    while let Some(message) = rows.try_next().await? {
        let SimpleQueryMessage::Row(row) = message else { continue };
        count += 1;
        if count > ROWS_MAX {
            return Err(abuse());
        }
        match (row.get("part"), &mut state) {
            (Some("identity"), None) => state = Some(identity(&row)?),
            (Some("mapping"), Some(state)) => {
                let name = text(&row, "mapping_name")?;
                state.mappings.insert(name, mapping(&row));
            }
            (Some("refused"), Some(state)) => {
                let refused =
                    Refused { all: number(&row, "n").unwrap_or(0), due: number(&row, "due").unwrap_or(0) };
                state.refused.insert(text(&row, "mapping_name")?, refused);
            }
            _ => return Err(abuse()),
        }
    }
    state.ok_or_else(abuse)
}

fn identity(row: &SimpleQueryRow) -> Result<State, TurnError> {
    Ok(State {
        owner: Owner {
            deployment: text(row, "deployment")?,
            tenancy: text(row, "tenancy_id")?.parse().map_err(|_| abuse())?,
            target: text(row, "target_id")?,
        },
        epoch: row.get("epoch").and_then(|epoch| epoch.parse().ok()),
        mappings: HashMap::new(),
        refused: HashMap::new(),
    })
}

fn mapping(row: &SimpleQueryRow) -> MappingState {
    MappingState {
        watermark: number(row, "last_synced_sequence_id").filter(|watermark| *watermark >= 0),
        version: number(row, "mapping_version").and_then(|version| i32::try_from(version).ok()),
        fingerprint: row.get("fingerprint").unwrap_or_default().to_owned(),
        filling: row.get("filling") == Some("t"),
        fill_position: row.get("fill_position").and_then(|position| serde_json::from_str(position).ok()),
        flagged_rows: number(row, "flagged_rows").unwrap_or(1),
        storage: row.get("storage").map(str::to_owned),
        storage_now: row.get("storage_now").map(str::to_owned),
        ours: row.get("ours") == Some("t"),
    }
}

fn text(row: &SimpleQueryRow, column: &str) -> Result<String, TurnError> {
    row.get(column).map(str::to_owned).ok_or_else(abuse)
}

fn number(row: &SimpleQueryRow, column: &str) -> Option<i64> {
    row.get(column).and_then(|value| value.parse().ok())
}

fn is_missing(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| {
        [SqlState::UNDEFINED_TABLE, SqlState::INVALID_SCHEMA_NAME, SqlState::UNDEFINED_COLUMN].contains(code)
    })
}
