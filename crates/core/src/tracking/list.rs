//! What there is to say about tracked tables.

use deadpool_postgres::GenericClient;
use time::OffsetDateTime;
use tokio_postgres::Row;

/// Whether the triggers of a table are there and fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Firing {
    /// For every write.
    Always,
    /// But not under `session_replication_role = replica`.
    Origin,
    /// Some are disabled, or fire in replicas only.
    Disabled,
    /// Some are gone: track the table again.
    Missing,
    /// The table itself is gone.
    NoTable,
}

/// A tracked table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its feed's name.
    pub name: String,
    /// What the table is called now, as SQL; its feed's name if it is gone.
    pub table: String,
    /// The column that says whose a row is.
    pub tenant_column: String,
    /// The key by which its rows are known.
    pub key_columns: Vec<String>,
    /// Columns that count as a change; `None` = all.
    pub columns: Option<Vec<String>>,
    /// Columns beyond the key whose values are recorded, because rows of mappings are found by them.
    pub touches: Vec<String>,
    /// Its triggers.
    pub firing: Firing,
    /// It has an index by which a first copy can walk.
    pub has_index: bool,
    /// The index that we made for that.
    pub own_index: Option<String>,
    /// Statements that were not recorded, and when the last of them was.
    pub faults: i64,
    /// When the last of them was.
    pub last_fault_at: Option<OffsetDateTime>,
    /// Its SQLSTATE.
    pub last_fault: Option<String>,
    /// Partitions were attached or detached since the last look.
    pub partitions_changed: bool,
    /// Since when it is tracked as it is now.
    pub tracked_at: OffsetDateTime,
}

const LIST: &str = r#"
    select k."name", coalesce((select format('%I.%I', n.nspname, c.relname) from pg_class c
                               join pg_namespace n on n.oid = c.relnamespace where c.oid = r.relation), k."name"),
           k."tenantColumn", k."keyColumns", k."columns", k."ownIndex", k."trackedAt",
           case when r.relation is null then 'gone'
                when exists (select from pg_trigger t where t.tgfoid in (select tracking_functions(k)) and t.tgenabled in ('D', 'R')) then 'disabled'
                when not tracking_is_whole(k) then 'missing'
                when exists (select from pg_trigger t where t.tgfoid in (select tracking_functions(k)) and t.tgenabled = 'O') then 'origin'
                else 'always' end,
           coalesce(tracking_has_index(k, r.relation), false),
           f.faults, f."at", f."sqlState",
           k."name" in (select tracked_partitions_changed()), k."touches"
    from "TrackedTable" k
    cross join lateral (select (select c.oid from pg_class c where c.oid = k."relation") as relation) r
    cross join lateral (select count(*) as faults, max("at") as "at", (array_agg("sqlState" order by "id" desc))[1] as "sqlState"
                        from "TrackingFault" f where f."name" = k."name") f
    order by k."name""#;

/// All tracked tables, by name.
///
/// # Errors
/// The database cannot be asked.
pub async fn list<C: GenericClient>(client: &C) -> Result<Vec<Line>, tokio_postgres::Error> {
    Ok(client.query(LIST, &[]).await?.iter().map(line).collect())
}

fn line(row: &Row) -> Line {
    Line {
        name: row.get(0),
        table: row.get(1),
        tenant_column: row.get(2),
        key_columns: row.get(3),
        columns: row.get(4),
        own_index: row.get(5),
        tracked_at: row.get(6),
        firing: match row.get(7) {
            "always" => Firing::Always,
            "origin" => Firing::Origin,
            "disabled" => Firing::Disabled,
            "gone" => Firing::NoTable,
            _ => Firing::Missing,
        },
        has_index: row.get(8),
        faults: row.get(9),
        last_fault_at: row.get(10),
        last_fault: row.get(11),
        partitions_changed: row.get(12),
        touches: row.get(13),
    }
}
