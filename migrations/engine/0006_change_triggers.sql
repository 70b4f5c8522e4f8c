-- What a change of a sequenced relation does, in the application's own transaction: it flags the row, or
-- leaves a tombstone. Nothing here touches another table's rows.

create function reset_sequence_id_on_update() returns trigger
    language plpgsql set search_path from current as $$
begin
    -- Whatever the application wrote into these columns (an ORM that saves a row it read earlier, a copied
    -- row) is replaced: else it could hide a change.
    new."sequenceId" := case when tg_op = 'UPDATE' then old."sequenceId" end;
    new."shouldUpdateSequenceId" := true;
    new."changedBy" := pg_current_xact_id();
    return new;
end $$;
comment on function reset_sequence_id_on_update() is 'Flags a new or changed row for the sequencer.';

create function keep_sequence_columns() returns trigger
    language plpgsql as $$
begin
    if coalesce(current_setting('tenant_sync.sequencing', true), '') <> 'on' then
        new."sequenceId" := old."sequenceId";
        new."shouldUpdateSequenceId" := old."shouldUpdateSequenceId";
        new."changedBy" := old."changedBy";
    end if;
    return new;
end $$;
comment on function keep_sequence_columns() is 'Lets only the sequencer write the sequence columns of a row that did not change otherwise.';

create function log_deleted_row() returns trigger
    language plpgsql
    set search_path from current
    set "TimeZone" = 'UTC' set "DateStyle" = 'ISO, YMD' set "IntervalStyle" = 'postgres'
    set extra_float_digits = 1 set bytea_output = 'hex' as $$
begin
    -- The trigger's arguments are the key columns.
    insert into "DeletedRow" ("tenancyId", "tableName", "primaryKey")
    select (j.r ->> 'tenancyId')::uuid, tg_table_name,
           (select jsonb_object_agg(k.k, j.r -> k.k) from unnest(tg_argv) k (k))
    from (select to_jsonb(g) as r from gone g) j
    where j.r ->> 'tenancyId' is not null;
    return null;
end $$;
comment on function log_deleted_row() is 'Leaves a tombstone for each deleted row; AFTER DELETE by statement, OLD TABLE AS gone.';

create function log_moved_row() returns trigger
    language plpgsql
    set search_path from current
    set "TimeZone" = 'UTC' set "DateStyle" = 'ISO, YMD' set "IntervalStyle" = 'postgres'
    set extra_float_digits = 1 set bytea_output = 'hex' as $$
declare
    row_before jsonb := to_jsonb(old);
begin
    insert into "DeletedRow" ("tenancyId", "tableName", "primaryKey")
    select (row_before ->> 'tenancyId')::uuid, tg_table_name,
           (select jsonb_object_agg(k.k, row_before -> k.k) from unnest(tg_argv) k (k))
    where row_before ->> 'tenancyId' is not null;
    return null;
end $$;
comment on function log_moved_row() is 'Leaves a tombstone for the old key of a row whose key or tenant changed.';

create function log_truncated_rows() returns trigger
    language plpgsql
    set search_path from current
    set "TimeZone" = 'UTC' set "DateStyle" = 'ISO, YMD' set "IntervalStyle" = 'postgres'
    set extra_float_digits = 1 set bytea_output = 'hex' as $$
begin
    execute format(
        'insert into "DeletedRow" ("tenancyId", "tableName", "primaryKey")
         select r."tenancyId", %L, (select jsonb_object_agg(k.k, to_jsonb(r) -> k.k) from unnest($1) k (k))
         from %I.%I r where r."tenancyId" is not null',
        tg_table_name, tg_table_schema, tg_table_name) using tg_argv;
    return null;
end $$;
comment on function log_truncated_rows() is 'Leaves a tombstone for each row that TRUNCATE is about to remove.';

-- Creates, or creates anew, the triggers of a sequenced relation, so that changes of exactly its "columns"
-- count. Their names sort last: a BEFORE trigger of the application's has had its say by then.
create function watch_relation(relation_name text) returns void
    language plpgsql set search_path from current as $$
declare
    watched "SequencedRelation";
    changed text;
    moved text;
    key_arguments text;
    trigger_name text;
begin
    select * into strict watched from "SequencedRelation" where "relation" = relation_name;
    if cardinality(watched."columns") = 0 then
        return;
    end if;
    -- What *<> stands for, by its name: a dump writes "row(…) *<> row(…)", which no server reads again.
    select format('pg_catalog.record_image_ne(row(%s), row(%s))',
                  string_agg(format('old.%I', c), ', '), string_agg(format('new.%I', c), ', '))
      into changed from unnest(watched."columns") c;
    select format('pg_catalog.record_image_ne(row(%s), row(%s))',
                  string_agg(format('old.%I', c), ', '), string_agg(format('new.%I', c), ', ')),
           string_agg(quote_literal(c), ', ')
      into moved, key_arguments from unnest(watched."keyColumns") c;

    execute format('create or replace trigger "~tenant_sync_insert" before insert on %I
        for each row execute function reset_sequence_id_on_update()', relation_name);
    execute format('create or replace trigger "~tenant_sync_update" before update on %I
        for each row when (%s) execute function reset_sequence_id_on_update()', relation_name, changed);
    execute format('create or replace trigger "~tenant_sync_keep" before update on %I
        for each row when (not (%s) and pg_catalog.record_image_ne(
            row(old."sequenceId", old."shouldUpdateSequenceId", old."changedBy"),
            row(new."sequenceId", new."shouldUpdateSequenceId", new."changedBy")))
        execute function keep_sequence_columns()', relation_name, changed);
    execute format('create or replace trigger "~tenant_sync_moved" after update on %I
        for each row when (%s) execute function log_moved_row(%s)', relation_name, moved, key_arguments);
    execute format('create or replace trigger "~tenant_sync_delete" after delete on %I
        referencing old table as gone for each statement execute function log_deleted_row(%s)',
        relation_name, key_arguments);
    execute format('create or replace trigger "~tenant_sync_truncate" before truncate on %I
        for each statement execute function log_truncated_rows(%s)', relation_name, key_arguments);
    -- Restore and replication tools write with session_replication_role = replica.
    foreach trigger_name in array array['insert', 'update', 'keep', 'moved', 'delete', 'truncate'] loop
        execute format('alter table %I enable always trigger %I', relation_name, '~tenant_sync_' || trigger_name);
    end loop;
end $$;
comment on function watch_relation(text) is 'Creates the triggers of a sequenced relation.';
