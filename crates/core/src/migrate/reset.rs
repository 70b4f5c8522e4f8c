//! Taking everything back that migrations made, and nothing else.

use std::collections::BTreeSet;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{GenericClient, Transaction};

use super::error::{MigrateError, reason};
use super::live::{Attempts, Failed, LiveTransaction};
use super::migrator::Migrator;
use super::objects::{self, Object, Space};
use super::record::{self, Record, SCHEMA_COMMENT};
use super::session::{Session, quote};
use super::status::State;
use super::{Observer, foreign};

/// What a reset would drop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// The database, as the server calls it.
    pub database: String,
    /// The schema.
    pub schema: String,
    /// Everything of ours that exists there.
    pub objects: Vec<String>,
    /// Targets whose connection strings would be lost.
    pub targets: i64,
}

/// A statement that drops one thing, and how the thing is called.
#[derive(Debug)]
struct Drop {
    name: String,
    sql: String,
    is_schema: bool,
}

/// How an attempt ends that does not end at a lock.
enum Attempt {
    Dropped(Vec<String>),
    Refused(MigrateError),
}

impl Migrator {
    /// What [`Migrator::reset`] would drop. Nothing is changed.
    ///
    /// # Errors
    /// The database cannot be asked, or a newer version made things that this one does not know.
    pub async fn survey(&self) -> Result<Survey, MigrateError> {
        let session = Session::open(&self.internal).await?;
        let records = self.known_records(&session).await?;
        let drops = self.drops(&session.client, &session.schema, &records).await?;
        Ok(Survey {
            database: database(&session.client).await?,
            schema: session.schema.clone(),
            objects: drops.into_iter().map(|d| d.name).collect(),
            targets: targets(&session.client, &session.schema).await?,
        })
    }

    /// Drops what the applied migrations made, the record of them, triggers of ours on other tables, and
    /// the schema if we made it and nothing else is in it; all in one transaction. Returns what was dropped.
    /// Where targets exist, `database` must be the database's name.
    ///
    /// # Errors
    /// [`MigrateError::TargetsExist`], [`MigrateError::Depended`] if something of somebody else's depends
    /// on what is ours, [`MigrateError::Unknown`] if a newer version was here. Nothing is dropped then.
    pub async fn reset(
        &self,
        database: Option<&str>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<String>, MigrateError> {
        let mut session = Session::open(&self.internal).await?;
        session.settle().await?;
        session.lock(&self.limits, observer).await?;
        let records = self.known_records(&session).await?;
        let mut attempts = Attempts::new(&self.limits);
        loop {
            match self.attempt(&mut session, &records, database).await {
                Ok(Attempt::Dropped(names)) => return Ok(names),
                Ok(Attempt::Refused(error)) => return Err(error),
                Err(failed) => attempts.after(failed, "reset", false).await?,
            }
        }
    }

    async fn attempt(
        &self,
        session: &mut Session,
        records: &[Record],
        named: Option<&str>,
    ) -> Result<Attempt, Failed> {
        let at = Failed::at(1);
        let Session { client, schema } = session;
        let mut live = LiveTransaction::begin(client, schema, &self.limits).await.map_err(&at)?;
        live.bound_lock_wait().await.map_err(&at)?;
        let targets = targets(live.inner(), schema).await.map_err(&at)?;
        let database = database(live.inner()).await.map_err(&at)?;
        if targets > 0 && named != Some(&database) {
            return Ok(Attempt::Refused(MigrateError::TargetsExist { targets, database }));
        }
        let drops = self.drops(live.inner(), schema, records).await.map_err(&at)?;
        let attempt = drop_all(live.inner_mut(), drops).await.map_err(&at)?;
        if matches!(attempt, Attempt::Dropped(_)) {
            live.commit().await.map_err(&at)?;
        }
        Ok(attempt)
    }

    async fn known_records(&self, session: &Session) -> Result<Vec<Record>, MigrateError> {
        record::exists(&session.client, &session.schema).await?;
        let (status, records) = self.compare(session).await?;
        let names = status.names(State::Unknown);
        if names.is_empty() { Ok(records) } else { Err(MigrateError::Unknown { names }) }
    }

    /// Everything of ours that exists, in an order that is likely to work.
    async fn drops(
        &self,
        client: &impl GenericClient,
        schema: &str,
        records: &[Record],
    ) -> Result<Vec<Drop>, tokio_postgres::Error> {
        let begun = |name: &str| records.iter().any(|r| r.name == name);
        let mut made: BTreeSet<Object> = objects::made_by(self.migrations.iter().filter(|m| begun(&m.name)));
        // Reading the records has shown that this one is ours.
        made.insert(Object { space: Space::Relation, name: record::TABLE.to_owned() });
        let existing = foreign::existing(client, schema, &made).await?;
        let names =
            |space| existing.iter().filter(|o| o.space == space).map(|o| o.name.as_str()).collect::<Vec<_>>();
        let (relations, routines, types) =
            (names(Space::Relation), names(Space::Routine), names(Space::Type));
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 5] = [
            (&schema, Type::TEXT),
            (&relations, Type::TEXT_ARRAY),
            (&routines, Type::TEXT_ARRAY),
            (&types, Type::TEXT_ARRAY),
            (&SCHEMA_COMMENT, Type::TEXT),
        ];
        let rows = client.query_typed(DROPS, &parameters).await?;
        let mut drops = own_indexes(client, schema).await?;
        drops.extend(rows.iter().map(|row| Drop {
            name: row.get(1),
            sql: row.get(2),
            is_schema: row.get(0),
        }));
        Ok(drops)
    }
}

/// Indexes go with their tables. A schema that we made goes last, if it is empty by then. The functions of
/// tracked tables take their triggers along, which needs no owner of those tables.
const DROPS: &str = "
    with ns as (select oid from pg_namespace where nspname = $1),
    relation as (select c.* from pg_class c join ns on ns.oid = relnamespace where relname = any($2)),
    routine as (select p.* from pg_proc p join ns on ns.oid = pronamespace where proname = any($3)),
    drops as (
        select 1 as step, format('trigger %I on %s', tgname, tgrelid::regclass) as name,
               format('drop trigger %I on %s', tgname, tgrelid::regclass) as sql
        from pg_trigger join routine on routine.oid = tgfoid
        where not tgisinternal and tgparentid = 0 and tgrelid not in (select oid from relation)
      union all
        select case when relkind in ('v', 'm') then 2 else 3 end,
               format('%s %I', kind, relname), format('drop %s %I.%I', kind, $1, relname)
        from relation, lateral (select case relkind when 'v' then 'view' when 'm' then 'materialized view'
                                when 'S' then 'sequence' else 'table' end as kind) k
        where relkind in ('r', 'p', 'v', 'm', 'S')
      union all
        select 4, format('%s %s', kind, oid::regprocedure), format('drop %s %s', kind, oid::regprocedure)
        from routine, lateral (select case prokind when 'p' then 'procedure' when 'a' then 'aggregate'
                               else 'function' end as kind) k
      union all
        select 1, format('function %s and its triggers', p.oid::regprocedure),
               format('drop function %s cascade', p.oid::regprocedure)
        from pg_proc p join ns on ns.oid = pronamespace
        where prorettype = 'trigger'::regtype and proname ~ '^(track|http)_[0-9]+_(insert|update|delete|truncate|row)$'
          and obj_description(p.oid, 'pg_proc') like 'tenant-sync: %'
      union all
        select 5, format('type %I', typname), format('drop type %I.%I', $1, typname)
        from pg_type join ns on ns.oid = typnamespace where typname = any($4)
      union all
        select 6, format('schema %I', $1), format('drop schema %I', $1)
        from ns where obj_description(oid, 'pg_namespace') = $5
    )
    select step = 6, name, sql from drops order by step, name";

/// Drops all, in whatever order their dependencies allow. A thing that others of ours depend on goes in a
/// later round; when a round drops nothing, what holds the first of the rest is not ours.
async fn drop_all(
    transaction: &mut Transaction<'_>,
    mut left: Vec<Drop>,
) -> Result<Attempt, tokio_postgres::Error> {
    let mut dropped = Vec::new();
    while !left.is_empty() {
        let before = dropped.len();
        let mut held = Vec::new();
        for drop in left {
            match try_drop(transaction, &drop).await? {
                None => dropped.push(drop.name),
                Some(reason) => held.push((drop, reason)),
            }
        }
        if dropped.len() == before {
            // A schema of ours that others use as well just stays.
            let refused = held.into_iter().find(|(drop, _)| !drop.is_schema);
            return Ok(refused.map_or(Attempt::Dropped(dropped), |(drop, reason)| {
                Attempt::Refused(MigrateError::Depended { object: drop.name, reason })
            }));
        }
        left = held.into_iter().map(|(drop, _)| drop).collect();
    }
    Ok(Attempt::Dropped(dropped))
}

/// Drops one thing, or says what depends on it.
async fn try_drop(
    transaction: &mut Transaction<'_>,
    drop: &Drop,
) -> Result<Option<String>, tokio_postgres::Error> {
    let savepoint = transaction.savepoint("one").await?;
    match savepoint.batch_execute(&drop.sql).await {
        Ok(()) => savepoint.commit().await.map(|()| None),
        Err(error) if error.code() == Some(&SqlState::DEPENDENT_OBJECTS_STILL_EXIST) => {
            savepoint.rollback().await?;
            Ok(Some(dependents(&error)))
        }
        Err(error) => Err(error),
    }
}

/// Here the server's detail is wanted: it names what depends, and carries no values.
fn dependents(error: &tokio_postgres::Error) -> String {
    error.as_db_error().and_then(|e| e.detail()).map_or_else(|| reason(error), |d| d.replace('\n', "; "))
}

async fn database(client: &impl GenericClient) -> Result<String, tokio_postgres::Error> {
    let rows = client.query_typed("select current_database()::text", &[]).await?;
    rows.first().map_or_else(|| Ok(String::new()), |row| row.try_get(0))
}

/// Indexes that we made on tracked tables.
async fn own_indexes(client: &impl GenericClient, schema: &str) -> Result<Vec<Drop>, tokio_postgres::Error> {
    let table = format!("{}.\"TrackedTable\"", quote(schema));
    if !is_there(client, &table).await? {
        return Ok(Vec::new());
    }
    let sql =
        format!(r#"select "ownIndex" from {table} where to_regclass("ownIndex") is not null order by 1"#);
    let rows = client.query_typed(&sql, &[]).await?;
    let drop = |index: String| Drop {
        name: format!("index {index}"),
        sql: format!("drop index {index}"),
        is_schema: false,
    };
    Ok(rows.iter().map(|row| drop(row.get(0))).collect())
}

async fn is_there(client: &impl GenericClient, relation: &str) -> Result<bool, tokio_postgres::Error> {
    let sql = "select from pg_class where oid = to_regclass($1)";
    Ok(!client.query_typed(sql, &[(&relation, Type::TEXT)]).await?.is_empty())
}

/// Rows of `"ExternalDatabase"`, 0 if there is no such table.
async fn targets(client: &impl GenericClient, schema: &str) -> Result<i64, tokio_postgres::Error> {
    let table = format!("{}.\"ExternalDatabase\"", quote(schema));
    if !is_there(client, &table).await? {
        return Ok(0);
    }
    let rows = client.query_typed(&format!("select count(*) from {table}"), &[]).await?;
    rows.first().map_or(Ok(0), |row| row.try_get(0))
}
