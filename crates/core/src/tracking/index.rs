//! The index by which a first copy walks a tenant's rows. It is recorded before it is begun, so that whatever a
//! crash leaves is known as ours.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::TrackingError;
use super::session::Session;

/// A table or partition, as far as its index is concerned.
#[derive(Debug)]
struct Place {
    /// Schema and table, as SQL.
    table: String,
    is_partitioned: bool,
    has_index: bool,
    owner: String,
    /// This role may make an index there.
    may: bool,
    columns: String,
    /// Name that an index of ours has there.
    name: String,
    /// The same with its schema.
    qualified: String,
    /// An index of that name is there.
    exists: bool,
}

/// `$1` = the tracked table. The table first, then what lies below it.
const PLACES: &str = r#"
    select format('%I.%I', n.nspname, c.relname), c.relkind = 'p', tracking_has_index(k, c.oid), pg_get_userbyid(c.relowner)::text,
           pg_has_role(c.relowner, 'USAGE') and has_schema_privilege(n.oid, 'CREATE'),
           (select string_agg(w.definition, ', ' order by w.place) from tracking_index_columns(k) w),
           i.name, format('%I.%I', n.nspname, i.name), exists (select from pg_class x where x.relnamespace = n.oid and x.relname = i.name)
    from "TrackedTable" k
    cross join lateral (select k."relation" as oid union all select unnest(tracking_partitions(k."relation"))) p
    join pg_class c on c.oid = p.oid join pg_namespace n on n.oid = c.relnamespace
    cross join lateral (select 'tenant_sync_first_copy_' || left(md5(current_schema() || ':' || c.oid), 12) as name) i
    where k."relation" = $1 and c.relkind in ('r', 'p') order by c.oid <> k."relation", c.oid"#;

/// Makes the index if the table has none that serves, without making a writer wait.
pub(super) async fn ensure(session: &mut Session<'_>, relation: u32) -> Result<(), TrackingError> {
    let places = places(&session.client, relation).await?;
    let Some((root, below)) = places.split_first().filter(|(root, _)| !root.has_index) else { return Ok(()) };
    let leaves = below.iter().chain((!root.is_partitioned).then_some(root));
    let leaves: Vec<&Place> = leaves.filter(|place| !place.is_partitioned && !place.has_index).collect();
    if !root.may {
        // The root's, which waits for writers, comes last: it takes up those of the partitions.
        let each = leaves.into_iter().chain(root.is_partitioned.then_some(root)).map(Place::statement);
        return Err(TrackingError::NeedsIndex {
            table: root.table.clone(),
            owner: root.owner.clone(),
            statement: each.collect::<Vec<_>>().join(";\n  "),
        });
    }
    record(&session.client, relation, Some(&root.qualified)).await?;
    for leaf in leaves {
        if leaf.exists {
            // An interrupted attempt left it invalid: no query uses it, and every write pays for it.
            let drop = format!("drop index concurrently if exists {}", leaf.qualified);
            session.concurrently(&leaf.table, &drop).await?;
        }
        session.concurrently(&leaf.table, &leaf.concurrently()).await?;
    }
    if root.is_partitioned {
        // Takes up the partitions' indexes, so that nothing is left to build.
        let attach = format!("create index if not exists {} on {} ({})", root.name, root.table, root.columns);
        session.with_locks(&root.table, &attach).await?;
    }
    Ok(())
}

/// Drops what [`ensure`] made, and what an interrupted one left.
pub(super) async fn remove(session: &mut Session<'_>, relation: u32) -> Result<(), TrackingError> {
    let sql = r#"select "ownIndex" is not null from "TrackedTable" where "relation" = $1"#;
    let rows = session.client.query_typed(sql, &[(&relation, Type::OID)]).await?;
    if !rows.first().is_some_and(|row| row.get(0)) {
        return Ok(());
    }
    if let Some((root, below)) = places(&session.client, relation).await?.split_first() {
        if root.is_partitioned {
            let drop = format!("drop index if exists {}", root.qualified);
            session.with_locks(&root.table, &drop).await?;
        }
        for leaf in below.iter().chain([root]).filter(|place| place.exists && !place.is_partitioned) {
            let drop = format!("drop index concurrently if exists {}", leaf.qualified);
            session.concurrently(&leaf.table, &drop).await?;
        }
    }
    record(&session.client, relation, None).await
}

impl Place {
    fn concurrently(&self) -> String {
        format!("create index concurrently {} on {} ({})", self.name, self.table, self.columns)
    }

    /// For the owner to run, who may call it as they like.
    fn statement(&self) -> String {
        let how = if self.is_partitioned { "" } else { " concurrently" };
        format!("create index{how} on {} ({})", self.table, self.columns)
    }
}

async fn places(client: &Client, relation: u32) -> Result<Vec<Place>, TrackingError> {
    let rows = client.query_typed(PLACES, &[(&relation, Type::OID)]).await?;
    let place = |row: &tokio_postgres::Row| Place {
        table: row.get(0),
        is_partitioned: row.get(1),
        has_index: row.get(2),
        owner: row.get(3),
        may: row.get(4),
        columns: row.get(5),
        name: row.get(6),
        qualified: row.get(7),
        exists: row.get(8),
    };
    Ok(rows.iter().map(place).collect())
}

async fn record(client: &Client, relation: u32, index: Option<&str>) -> Result<(), TrackingError> {
    let sql = r#"update "TrackedTable" set "ownIndex" = $2 where "relation" = $1"#;
    client.query_typed(sql, &[(&relation, Type::OID), (&index, Type::TEXT)]).await?;
    Ok(())
}
