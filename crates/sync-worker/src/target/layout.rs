//! What we keep in a target besides the tenant's rows: who owns the schema, and how far each mapping is.

use tenant_sync_core::mapping::ddl::MARKER;
use tenant_sync_core::mapping::names::{quote_ident, quote_literal};

/// Tables and views of ours in every target. Mappings may not use these names.
pub(crate) const OUR_NAMES: [&str; 4] =
    ["_sync_identity", "_sync_metadata", "_sync_refused", "sync_freshness"];

/// Creates the tables of ours; the schema exists. One owner's row is inserted, so that a second owner is refused.
pub(crate) fn create(schema: &str) -> String {
    let s = quote_ident(schema);
    let comment = |kind: &str, name: &str, text: &str| {
        format!("comment on {kind} {s}.{name} is {};\n", quote_literal(&format!("{text} {MARKER}")))
    };
    let mut sql = format!(
        "create table {s}._sync_identity (
            singleton boolean primary key default true check (singleton),
            deployment text not null, tenancy_id uuid not null, target_id text not null,
            epoch uuid, created_at timestamptz not null default now());
         create table {s}._sync_metadata (
            mapping_name text primary key, last_synced_sequence_id bigint not null default 0,
            mapping_version integer, updated_at timestamptz not null default now(), complete_as_of timestamptz,
            table_name text not null, fingerprint text not null, storage bigint,
            filling boolean not null default false, fill_position jsonb, flagged_rows integer not null default 0);
         create table {s}._sync_refused (
            mapping_name text not null, key jsonb not null, sqlstate text not null, reason text not null,
            refused_at timestamptz not null default now(), attempts integer not null default 1,
            retry_at timestamptz not null, primary key (mapping_name, key));
         create view {s}.sync_freshness as
            select mapping_name, table_name, complete_as_of, now() - complete_as_of as age, filling
            from {s}._sync_metadata;\n"
    );
    sql += &comment("table", "_sync_identity", "Which deployment, tenant and target this schema belongs to.");
    sql +=
        &comment("column", "_sync_identity.epoch", "Life of the source database that the rows were read in.");
    sql += &comment(
        "table",
        "_sync_metadata",
        "How far each mapping is: the truth about what is in this schema.",
    );
    sql +=
        &comment("column", "_sync_metadata.last_synced_sequence_id", "Every change up to this id is here.");
    sql += &comment(
        "column",
        "_sync_metadata.complete_as_of",
        "Every change committed in the source before this instant (the source's clock) is here.",
    );
    sql += &comment(
        "column",
        "_sync_metadata.storage",
        "The table's file when it was last written, to see that it was emptied.",
    );
    sql += &comment(
        "column",
        "_sync_metadata.filling",
        "The table is being filled; rows may be missing until it ends.",
    );
    sql +=
        &comment("column", "_sync_metadata.flagged_rows", "Changes that were written before they had an id.");
    sql += &comment("table", "_sync_refused", "Rows that this database refused; they are tried again.");
    sql += &comment("view", "sync_freshness", "How old the picture is that each table shows.");
    sql
}

/// Who may do what with `tables`: the readers may read, and nobody but us may do anything else, whatever the
/// database's default privileges say. Writes only where something is to be changed.
pub(crate) fn privileges(schema: &str, readers: &[String], tables: &[&str]) -> String {
    let list = |names: &mut dyn Iterator<Item = &str>| {
        format!("array[{}]::text[]", names.map(quote_literal).collect::<Vec<_>>().join(", "))
    };
    format!(
        "do $privileges$ declare
           home constant regnamespace := {}::regnamespace;
           readers constant text[] := {};
           tables constant text[] := {};
           one record;
         begin
           for one in
             select c.oid::regclass as relation, a.privilege_type as privilege,
                    case when a.grantee = 0 then 'public' else quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) end as role
             from pg_catalog.pg_class c cross join lateral pg_catalog.aclexplode(c.relacl) a
             where c.relnamespace = home and c.relname = any (tables) and a.grantee <> c.relowner
               and not (a.privilege_type = 'SELECT' and pg_catalog.pg_get_userbyid(a.grantee) = any (readers))
           loop
             execute format('revoke %s on %s from %s', one.privilege, one.relation, one.role);
           end loop;
           for one in
             select c.oid::regclass as relation, quote_ident(r.reader) as role
             from pg_catalog.pg_class c cross join unnest(readers) as r (reader)
             where c.relnamespace = home and c.relname = any (tables)
               and not pg_catalog.has_table_privilege(r.reader, c.oid, 'SELECT')
           loop
             execute format('grant select on %s to %s', one.relation, one.role);
           end loop;
           for one in
             select quote_ident(r.reader) as role from unnest(readers) as r (reader)
             where not pg_catalog.has_schema_privilege(r.reader, home::oid, 'USAGE')
               -- A schema that the customer's administrator owns is granted by its owner.
               and pg_catalog.pg_has_role((select nspowner from pg_catalog.pg_namespace where oid = home), 'USAGE')
           loop
             execute format('grant usage on schema %s to %s', home, one.role);
           end loop;
         end $privileges$",
        quote_literal(&quote_ident(schema)),
        list(&mut readers.iter().map(String::as_str)),
        list(&mut tables.iter().copied()),
    )
}
