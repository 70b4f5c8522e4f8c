//! What stands in the schema under a name that is ours.

use std::collections::BTreeSet;

use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;

use super::error::MigrateError;
use super::list::Migrations;
use super::objects::{self, Object, Space};
use super::record::Record;

/// Refuses names that a migration is going to make and that are taken by something no migration of ours
/// made. A migration that was begun may have made them itself.
pub(super) async fn refuse(
    client: &impl GenericClient,
    schema: &str,
    migrations: &Migrations,
    records: &[Record],
) -> Result<(), MigrateError> {
    let begun = |name: &str| records.iter().any(|r| r.name == name);
    let ours = objects::made_by(migrations.iter().filter(|m| begun(&m.name)));
    let wanted: BTreeSet<Object> = objects::created_by(migrations.iter().filter(|m| !begun(&m.name)))
        .difference(&ours)
        .cloned()
        .collect();
    let taken = existing(client, schema, &wanted).await?;
    if taken.is_empty() {
        return Ok(());
    }
    Err(MigrateError::Foreign {
        schema: schema.to_owned(),
        names: taken.iter().map(ToString::to_string).collect(),
    })
}

/// Which of `objects` exist in the schema.
pub(super) async fn existing(
    client: &impl GenericClient,
    schema: &str,
    objects: &BTreeSet<Object>,
) -> Result<Vec<Object>, tokio_postgres::Error> {
    let names =
        |space| objects.iter().filter(|o| o.space == space).map(|o| o.name.as_str()).collect::<Vec<_>>();
    let (relations, routines, types) = (names(Space::Relation), names(Space::Routine), names(Space::Type));
    let sql = "with ns as (select oid from pg_namespace where nspname = $1) \
        select 0, relname::text from pg_class join ns on ns.oid = relnamespace \
            where relname = any($2) and relkind <> 'c' \
        union select 1, proname::text from pg_proc join ns on ns.oid = pronamespace where proname = any($3) \
        union select 2, typname::text from pg_type join ns on ns.oid = typnamespace where typname = any($4) \
        order by 1, 2";
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 4] = [
        (&schema, Type::TEXT),
        (&relations, Type::TEXT_ARRAY),
        (&routines, Type::TEXT_ARRAY),
        (&types, Type::TEXT_ARRAY),
    ];
    let rows = client.query_typed(sql, &parameters).await?;
    let space = |number: i32| match number {
        0 => Space::Relation,
        1 => Space::Routine,
        _ => Space::Type,
    };
    Ok(rows.iter().map(|row| Object { space: space(row.get(0)), name: row.get(1) }).collect())
}
