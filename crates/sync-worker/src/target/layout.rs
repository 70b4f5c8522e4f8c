//! What we keep in a target besides the tenant's rows: who owns the schema, and how far each mapping is.

use tenant_sync_core::mapping::{MARKER, quote_ident, quote_literal};

/// Tables and views of ours in every target. Mappings may not use these names.
pub(crate) const OUR_NAMES: [&str; 4] = ["_sync_identity", "_sync_metadata", "_sync_refused", "sync_freshness"];

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
    sql += &comment("column", "_sync_identity.epoch", "Life of the source database that the rows were read in.");
    sql += &comment("table", "_sync_metadata", "How far each mapping is: the truth about what is in this schema.");
    sql += &comment("column", "_sync_metadata.last_synced_sequence_id", "Every change up to this id is here.");
    sql += &comment(
        "column",
        "_sync_metadata.complete_as_of",
        "Every change committed in the source before this instant (the source's clock) is here.",
    );
    sql += &comment("column", "_sync_metadata.storage", "The table's file when it was last written, to see that it was emptied.");
    sql += &comment("column", "_sync_metadata.filling", "The table is being filled; rows may be missing until it ends.");
    sql += &comment("column", "_sync_metadata.flagged_rows", "Changes that were written before they had an id.");
    sql += &comment("table", "_sync_refused", "Rows that this database refused; they are tried again.");
    sql += &comment("view", "sync_freshness", "How old the picture is that each table shows.");
    sql
}

/// Lets a role read, and nothing else.
pub(crate) fn grant_read(schema: &str, role: &str, tables: &[&str]) -> String {
    let (s, role) = (quote_ident(schema), quote_ident(role));
    let tables: Vec<String> = tables.iter().map(|table| format!("{s}.{}", quote_ident(table))).collect();
    format!("grant usage on schema {s} to {role}; grant select on {} to {role};", tables.join(", "))
}

/// Takes away what the database's default privileges gave to anybody else: nobody but us writes there, and who
/// may read is the target's setting.
pub(crate) fn revoke_from_others(schema: &str, tables: &[&str]) -> String {
    let names: Vec<String> = tables.iter().map(|table| quote_literal(table)).collect();
    format!(
        "do $revoke$ declare held record; begin
           for held in
             select distinct c.oid::regclass as relation, a.grantee
             from pg_catalog.pg_class c cross join lateral pg_catalog.aclexplode(c.relacl) a
             where c.relnamespace = {}::regnamespace and c.relname in ({}) and a.grantee <> c.relowner
           loop
             execute format('revoke all on %s from %s', held.relation,
               case when held.grantee = 0 then 'public' else quote_ident(pg_catalog.pg_get_userbyid(held.grantee)) end);
           end loop;
         end $revoke$",
        quote_literal(&quote_ident(schema)),
        names.join(", ")
    )
}
