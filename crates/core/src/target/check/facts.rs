//! What a server says of itself. Every text is cut: it comes from a stranger.

use std::collections::BTreeSet;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Error, Row};

use super::CheckRequest;
use crate::target::class::{ErrorClass, TargetFault};
use crate::target::dial::{Encryption, Session};
use crate::target::grants::quoted;

/// Tables and views that every target has.
pub(super) const OUR_TABLES: [&str; 3] = ["_sync_identity", "_sync_metadata", "sync_freshness"];

/// Everything that is needed to judge a target.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) server: Server,
    pub(super) encryption: Encryption,
    pub(super) pooler: bool,
    /// None where the server is none that we can ask further.
    pub(super) database: Option<Database>,
    pub(super) relations: Vec<Relation>,
    pub(super) identity: Identity,
    /// Types of the mappings that this server does not know.
    pub(super) missing_types: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Server {
    /// `server_version_num`
    pub(super) version: i32,
    pub(super) is_postgres: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Database {
    pub(super) name: String,
    pub(super) role: String,
    pub(super) encoding: String,
    pub(super) superuser: bool,
    pub(super) standby: bool,
    pub(super) read_only: bool,
    pub(super) may_create_schemas: bool,
    pub(super) may_create_temporary: bool,
    pub(super) schema_exists: bool,
    pub(super) may_create_in_schema: bool,
    pub(super) owns_schema: bool,
    pub(super) missing_readers: Vec<String>,
    pub(super) readers_without_usage: Vec<String>,
}

/// A relation in the schema that has one of our names.
#[derive(Debug, Clone)]
pub(super) struct Relation {
    pub(super) name: String,
    pub(super) is_owned: bool,
}

/// What `_sync_identity` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Identity {
    /// There is none.
    Absent,
    /// Our table without a row.
    Empty,
    /// Whose the schema is.
    Owner { deployment: String, tenancy_id: String, target_id: String },
    /// Something of that name that is not ours, or that this role may not read.
    Unreadable,
}

pub(super) async fn gather(session: &Session, request: &CheckRequest) -> Result<Facts, TargetFault> {
    let kept = |error: Error| session.fault(&error);
    let server = server(session).await.map_err(kept)?;
    let mut facts = Facts {
        server,
        encryption: session.encryption(),
        pooler: false,
        database: None,
        relations: Vec::new(),
        identity: Identity::Absent,
        missing_types: BTreeSet::new(),
    };
    if !facts.server.is_postgres || facts.server.version < 130_000 {
        return Ok(facts);
    }
    facts.pooler = session.behind_pooler().await?;
    facts.database = Some(database(session, request).await.map_err(kept)?);
    facts.missing_types = missing_types(session, request).await.map_err(kept)?;
    let relations = relations(session, request).await.map_err(kept)?;
    if relations.iter().any(|(relation, _)| relation.name == "_sync_identity") {
        let is_table = relations.iter().any(|(r, kind)| r.name == "_sync_identity" && kind == "r");
        facts.identity = if is_table { identity(session, request).await? } else { Identity::Unreadable };
    }
    facts.relations = relations.into_iter().map(|(relation, _)| relation).collect();
    Ok(facts)
}

async fn server(session: &Session) -> Result<Server, Error> {
    let row = session
        .client()
        .query_typed_one(
            "select pg_catalog.current_setting('server_version_num')::pg_catalog.int4,
                    pg_catalog.version() like 'PostgreSQL %'",
            &[],
        )
        .await?;
    Ok(Server { version: row.try_get(0)?, is_postgres: row.try_get(1)? })
}

/// Asks for all types at once, and for each by itself if that fails.
async fn missing_types(session: &Session, request: &CheckRequest) -> Result<BTreeSet<String>, Error> {
    let wanted: BTreeSet<&str> = request.columns.iter().map(|column| column.type_text.as_str()).collect();
    let nulls: Vec<String> = wanted.iter().map(|wanted| format!("null::{wanted}")).collect();
    if nulls.is_empty() || are_known(session, &nulls.join(", ")).await? {
        return Ok(BTreeSet::new());
    }
    let mut missing = BTreeSet::new();
    for (wanted, null) in wanted.into_iter().zip(&nulls) {
        if !are_known(session, null).await? {
            missing.insert(wanted.to_owned());
        }
    }
    Ok(missing)
}

/// False where the server does not know a type, or not its modifier.
async fn are_known(session: &Session, nulls: &str) -> Result<bool, Error> {
    let known = session.client().query_typed(&format!("select {nulls}"), &[]).await;
    let codes =
        [SqlState::UNDEFINED_OBJECT, SqlState::INVALID_PARAMETER_VALUE, SqlState::FEATURE_NOT_SUPPORTED];
    match known {
        Ok(_) => Ok(true),
        Err(error) if error.code().is_some_and(|code| codes.contains(code)) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn database(session: &Session, request: &CheckRequest) -> Result<Database, Error> {
    let row = session
        .client()
        .query_typed_one(
            "select pg_catalog.current_database()::text,
                    current_user::text,
                    pg_catalog.current_setting('server_encoding'),
                    r.rolsuper,
                    pg_catalog.pg_is_in_recovery(),
                    pg_catalog.current_setting('transaction_read_only')::pg_catalog.bool,
                    pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'),
                    pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY'),
                    n.oid is not null,
                    coalesce(pg_catalog.has_schema_privilege(n.oid, 'CREATE')
                             and pg_catalog.has_schema_privilege(n.oid, 'USAGE'), false),
                    coalesce(pg_catalog.pg_has_role(n.nspowner, 'USAGE'), false),
                    array(select name from pg_catalog.unnest($2) as name
                          where name not in (select rolname::text from pg_catalog.pg_roles)),
                    array(select reader.rolname::text from pg_catalog.pg_roles as reader
                          where reader.rolname::text = any ($2)
                            and not pg_catalog.has_schema_privilege(reader.oid, n.oid, 'USAGE'))
             from pg_catalog.pg_roles as r
             left join pg_catalog.pg_namespace as n on n.nspname::text = $1
             where r.rolname = current_user",
            &[(&request.schema, Type::TEXT), (&request.read_roles, Type::TEXT_ARRAY)],
        )
        .await?;
    read_database(&row)
}

fn read_database(row: &Row) -> Result<Database, Error> {
    Ok(Database {
        name: row.try_get(0)?,
        role: row.try_get(1)?,
        encoding: row.try_get(2)?,
        superuser: row.try_get(3)?,
        standby: row.try_get(4)?,
        read_only: row.try_get(5)?,
        may_create_schemas: row.try_get(6)?,
        may_create_temporary: row.try_get(7)?,
        schema_exists: row.try_get(8)?,
        may_create_in_schema: row.try_get(9)?,
        owns_schema: row.try_get(10)?,
        missing_readers: row.try_get(11)?,
        readers_without_usage: row.try_get(12)?,
    })
}

/// Relations of our names, with their kind.
async fn relations(session: &Session, request: &CheckRequest) -> Result<Vec<(Relation, String)>, Error> {
    let names: Vec<&str> = request.tables.iter().map(String::as_str).chain(OUR_TABLES).collect();
    let rows = session
        .client()
        .query_typed(
            "select c.relname::text, c.relkind::text, pg_catalog.pg_has_role(c.relowner, 'USAGE')
             from pg_catalog.pg_class as c
             join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
             where n.nspname::text = $1 and c.relname::text = any ($2)
             order by 1
             limit 1000",
            &[(&request.schema, Type::TEXT), (&names, Type::TEXT_ARRAY)],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((Relation { name: row.try_get(0)?, is_owned: row.try_get(2)? }, row.try_get(1)?)))
        .collect()
}

async fn identity(session: &Session, request: &CheckRequest) -> Result<Identity, TargetFault> {
    let statement = format!(
        "select pg_catalog.left(deployment::text, 200), pg_catalog.left(tenancy_id::text, 200),
                pg_catalog.left(target_id::text, 200)
         from {}.\"_sync_identity\" limit 2",
        quoted(&request.schema)
    );
    let rows = match session.client().query_typed(&statement, &[]).await {
        Ok(rows) => rows,
        Err(error) => {
            let fault = session.fault(&error);
            return match fault.class {
                // It has other columns, or is somebody else's.
                ErrorClass::SchemaChanged | ErrorClass::PermissionDenied => Ok(Identity::Unreadable),
                _ => Err(fault),
            };
        }
    };
    let [row] = rows.as_slice() else {
        return Ok(if rows.is_empty() { Identity::Empty } else { Identity::Unreadable });
    };
    let owner = || -> Result<Identity, Error> {
        Ok(Identity::Owner {
            deployment: row.try_get(0)?,
            tenancy_id: row.try_get(1)?,
            target_id: row.try_get(2)?,
        })
    };
    // A null in it is nothing that we wrote.
    Ok(owner().unwrap_or(Identity::Unreadable))
}
