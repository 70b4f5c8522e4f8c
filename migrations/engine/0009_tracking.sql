-- The operator's own tables. A tracked table carries nothing of ours but triggers, and they only append: a
-- pointer to "ChangedRow" for what was written, a tombstone to "DeletedRow" for what is gone.

create table "TrackedTable" (
    "name" text primary key,
    "relation" oid not null unique,
    "tenantColumn" text not null,
    "keyColumns" text[] not null,
    "columns" text[],
    "ownIndex" text,
    "trackedAt" timestamptz not null default now(),
    "id" bigint generated always as identity unique,
    "firing" text not null default 'always',
    "partitions" oid[],
    constraint "triggers fire always, or only in ordinary sessions" check ("firing" in ('always', 'origin'))
);
comment on table "TrackedTable" is 'Tables of the operator''s own whose changes are recorded.';
comment on column "TrackedTable"."name" is 'Schema, dot, table, as it was called when it was tracked: its feed''s name in "ChangedRow" and "DeletedRow".';
comment on column "TrackedTable"."columns" is 'A change of these counts, and of the key and the tenant; null: of any column.';
comment on column "TrackedTable"."ownIndex" is 'Index on the table that we made for first copies; dropped with the tracking.';
comment on column "TrackedTable"."id" is 'Part of the names of the trigger functions.';
comment on column "TrackedTable"."firing" is 'origin: the triggers sleep under session_replication_role = replica, because only the table''s owner may enable them always.';
comment on column "TrackedTable"."partitions" is 'All below a partitioned table when it was last looked at; null: it is not partitioned.';

create sequence tracking_fault_seq as bigint;
comment on sequence tracking_fault_seq is 'Counts writes that could not be recorded, also those that were rolled back later.';

create table "TrackingFault" (
    "id" bigint primary key default nextval('tracking_fault_seq'),
    "name" text not null,
    "sqlState" text not null,
    "at" timestamptz not null default clock_timestamp()
);
comment on table "TrackingFault" is 'Statements of the application that went through although their changes could not be recorded: that feed is incomplete. At most 1,000 rows.';

-- Never fails, because the application's write must not.
create function tracking_fault(feed text, state text) returns void
    language plpgsql set search_path from current as $$
declare
    number bigint := nextval('tracking_fault_seq');
begin
    insert into "TrackingFault" ("id", "name", "sqlState")
    select number, feed, state
    where (select count(*) from (select from "TrackingFault" limit 1000) kept) < 1000;
exception when others then
    null;
end $$;
comment on function tracking_fault(text, text) is 'Notes that a statement was not recorded.';

create function tenant_value(key text, sample anyelement) returns anyelement
    language plpgsql stable set search_path from current
    set "TimeZone" = 'UTC' set "DateStyle" = 'ISO, YMD' set "IntervalStyle" = 'postgres'
    set extra_float_digits = 1 set bytea_output = 'hex' as $$
declare
    same boolean;
begin
    execute format('select $1::%1$s, $1::%1$s::text = $1', pg_typeof(sample)) into sample, same using key;
    -- The triggers look at the column's text: '04711' is a bigint, and no row's text.
    return case when same then sample end;
exception when others then
    return null;
end $$;
comment on function tenant_value(text, anyelement) is 'A tenant''s key as a value of the tenant column''s type; null if no value of that type reads so.';

-- What a type is in the end, below its domains.
create function tracking_base_type(type oid) returns oid
    language sql stable set search_path from current as $$
    with recursive down (t, base) as (
        select oid, typbasetype from pg_type where oid = type
        union all
        select p.oid, p.typbasetype from down d join pg_type p on p.oid = d.base)
    select t from down where base = 0
$$;
comment on function tracking_base_type(oid) is 'The type below a domain; else the type itself.';

-- aclitem has no binary form, nor has anything that holds one.
create function tracking_has_image(type oid) returns boolean
    language sql stable set search_path from current as $$
    with recursive parts (t) as (
        select type
        union
        select x.t from parts join pg_type p on p.oid = parts.t cross join lateral (
            select p.typbasetype union all select p.typelem
            union all select a.atttypid from pg_attribute a where a.attrelid = p.typrelid and a.attnum > 0 and not a.attisdropped
            union all select r.rngsubtype from pg_range r where p.oid in (r.rngtypid, r.rngmultitypid)) x (t)
        where x.t <> 0)
    select bool_and(p.typsend <> 0) from parts join pg_type p on p.oid = parts.t
$$;
comment on function tracking_has_image(oid) is 'Whether values of a type have a binary form.';

-- Text for everything whose JSON could not be read back as it was: arrays, composites, floats, times.
create function tracking_key(relation oid, key_columns text[], alias text) returns text
    language sql stable set search_path from current as $$
    select 'jsonb_build_object(' || string_agg(format('%L, %s.%I%s', c, alias, c,
        case when tracking_base_type(a.atttypid) in ('bool'::regtype, 'int2'::regtype, 'int4'::regtype, 'int8'::regtype,
                                                     'numeric'::regtype) then '' else '::text' end), ', ' order by ord) || ')'
    from unnest(key_columns) with ordinality k (c, ord)
    join pg_attribute a on a.attrelid = relation and a.attname = c
$$;
comment on function tracking_key(oid, text[], text) is 'Expression for the key of a row as an object of column and value.';

create function tracking_image(relation oid, image_columns text[], alias text) returns text
    language sql stable set search_path from current as $$
    select case when image_columns is not null
        then 'record_send(row(' || (
            select string_agg(format('%s.%I%s', alias, c,
                       case when tracking_has_image(a.atttypid) then '' else '::text' end), ', ' order by ord)
            from unnest(image_columns) with ordinality k (c, ord)
            join pg_attribute a on a.attrelid = relation and a.attname = c) || '))'
        when (select bool_and(tracking_has_image(a.atttypid)) from pg_attribute a
              where a.attrelid = relation and a.attnum > 0 and not a.attisdropped)
        then format('record_send(%s.*)', alias)
        else format('textsend((%s.*)::text)', alias) end
$$;
comment on function tracking_image(oid, text[], text) is 'Expression for the binary image of what counts in a row.';

-- The primary key, or the shortest unique key that cannot be null, is checked at once and holds for every row.
create function tracking_key_columns(relation oid) returns text[]
    language sql stable set search_path from current as $$
    select array(select a.attname::text from unnest(i.indkey::int2[]) with ordinality k (attnum, ord)
                 join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
                 where k.ord <= i.indnkeyatts order by k.ord)
    from pg_index i
    where i.indrelid = relation and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null
      and (i.indisprimary or i.indimmediate and not exists (
          select from unnest(i.indkey::int2[]) with ordinality k (attnum, ord)
          join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
          where k.ord <= i.indnkeyatts and not a.attnotnull))
    order by i.indisprimary desc, i.indnkeyatts, i.indexrelid limit 1
$$;
comment on function tracking_key_columns(oid) is 'Columns by which a row is known; null if there are none.';

-- Why a table cannot be tracked, and what to do; null if it can.
create function tracking_refusal(relation oid) returns text
    language sql stable set search_path from current as $$
    select case
        when c.relkind in ('v', 'm') then 'is a view: track the tables that it reads'
        when c.relkind = 'f' then 'is a foreign table: run tenant-sync on the server where its rows live'
        when c.relkind not in ('r', 'p') then 'is no table'
        when n.nspname in ('pg_catalog', 'information_schema', 'pg_toast') then 'belongs to the server: track a table of your own'
        when c.relpersistence = 't' then 'is temporary: track a permanent table'
        when c.relpersistence = 'u' then 'is unlogged and empty after a crash: alter table … set logged, then track it'
        when n.nspname = current_schema() and c.relname in (
            'Project', 'Tenancy', 'ExternalDatabase', 'SyncState', 'TargetSession', 'OutgoingRequest', 'SourceEpoch',
            'SequencerPass', 'SequencerBacklog', 'ParkedRow', 'SequencedRelation', 'SequencedDependency', 'TombstonePurge',
            'DeletedRow', 'ChangedRow', 'Fusebox', 'WorkerHeartbeat', 'CacheEntry', 'SyncSample', 'TrackedTable',
            'TrackingFault', 'TrackingWatch', 'SchemaMigration', 'ProjectUser', 'ContactChannel', 'Event', 'EventIpInfo', 'AuthMethod')
            then 'is one of tenant-sync''s own: track a table of your application'
        when c.relispartition then format('is a partition: track %s, of which it is a part',
            pg_partition_root(c.oid)::regclass)
        when exists (select from pg_inherits where inhparent = c.oid) and c.relkind = 'r'
            then 'has tables that inherit from it, and a write to one of them is none to it: make it a partitioned table, or track the others only'
        when exists (select from pg_inherits where inhrelid = c.oid)
            then 'inherits from another table, and a write to that one can change it unseen: make it a partitioned table'
        when tracking_key_columns(c.oid) is null
            then 'has no key: give it a primary key, or a unique index on columns that are not null, without a condition and not deferrable'
        end
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = relation
$$;
comment on function tracking_refusal(oid) is 'Why a table cannot be tracked, and what to do.';

-- Writes a trigger function of a tracked table. Its body knows the table's columns, so that no statement has to be
-- built or planned for a write; all names are qualified, whatever the application's search_path is. A failure is
-- noted and never the application's. Text settings are pinned where a key or tenant column reads differently
-- under others.
create function tracking_write(tracked "TrackedTable", event text, body text) returns void
    language plpgsql set search_path from current as $write$
declare
    plain boolean := (
        select bool_and(tracking_base_type(a.atttypid) in ('bool'::regtype, 'int2'::regtype, 'int4'::regtype, 'int8'::regtype,
                            'numeric'::regtype, 'uuid'::regtype) or t.typtype = 'e' or t.typcategory = 'S')
        from pg_attribute a join pg_type t on t.oid = tracking_base_type(a.atttypid)
        where a.attrelid = tracked."relation" and a.attname in (select unnest(tracked."keyColumns") union select tracked."tenantColumn"));
    as_text boolean := exists (
        select from pg_attribute a where a.attrelid = tracked."relation" and a.attnum > 0 and not a.attisdropped
          and not tracking_has_image(a.atttypid));
    settings text := ' set search_path = pg_catalog, pg_temp';
begin
    if not plain or as_text then
        settings := settings || $$ set "TimeZone" = 'UTC' set "DateStyle" = 'ISO, YMD' set "IntervalStyle" = 'postgres'
            set extra_float_digits = 1 set bytea_output = 'hex'$$;
    end if;
    if event = 'truncate' then
        settings := settings || ' set row_security = off';
    end if;
    execute format($$
create or replace function %1$I.%2$I() returns trigger language plpgsql security definer%3$s as $body$
begin
    %4$s
    return null;
exception
    -- The server has decided that the application's transaction cannot be serialized, and tells it here.
    when serialization_failure then
        raise;
    when others then
        begin
            perform %1$I.tracking_fault(%5$L, sqlstate);
        exception when others then
            null;
        end;
        return null;
end $body$ $$, current_schema(), tracking_function(tracked, event), settings, body, tracked."name");
    execute format('comment on function %I() is %L', tracking_function(tracked, event),
                   'tenant-sync: records changes of ' || tracked."name");
    execute format('revoke all on function %I() from public', tracking_function(tracked, event));
end $write$;

create function tracking_function(tracked "TrackedTable", event text) returns name
    language sql immutable as $$
    select format('track_%s_%s', tracked."id", event)::name
$$;
comment on function tracking_function("TrackedTable", text) is 'Name of a trigger function.';

create function tracking_functions(tracked "TrackedTable") returns setof regprocedure
    language sql stable set search_path from current as $$
    select p.oid::regprocedure from pg_proc p
    where p.pronamespace = quote_ident(current_schema())::regnamespace and p.prorettype = 'trigger'::regtype
      and p.proname in (select tracking_function(tracked, e)
                        from unnest(array['insert', 'update', 'delete', 'truncate', 'row']) e)
$$;
comment on function tracking_functions("TrackedTable") is 'The trigger functions of a tracked table.';

create function tracking_trigger(event text) returns name
    language sql stable set search_path from current as $$
    select format('~tenant_sync_%s_%s', case when octet_length(current_schema()) > 40 then md5(current_schema())
                                        else current_schema() end, event)::name
$$;
comment on function tracking_trigger(text) is 'Name of a trigger: sorts last, so that the application''s own have run; other installations in this database have others.';

create function tracking_write_all(tracked "TrackedTable") returns void
    language plpgsql set search_path from current as $$
declare
    relation oid := tracked."relation";
    of_key text[] := tracked."keyColumns" || tracked."tenantColumn";
    counting text[] := case when tracked."columns" is not null then (
        select array_agg(distinct c order by c) from unnest(tracked."columns" || tracked."keyColumns" || tracked."tenantColumn") c) end;
    -- Always one lookup in an index a row: no plan can read all tenants.
    lookup constant text := 'cross join lateral (select t."id" from %I."Tenancy" t where t."tenantKey" = %s.%I::text collate "default" offset 0) t';
    into_feed text := format('insert into %I."ChangedRow" ("tenancyId", "tableName", "primaryKey")', current_schema());
    into_dead text := format('insert into %I."DeletedRow" ("tenancyId", "tableName", "primaryKey")', current_schema());
    row_of text := format('select t."id", %L, ', tracked."name");
    of_new text := row_of || tracking_key(relation, tracked."keyColumns", 'n');
    of_old text := row_of || tracking_key(relation, tracked."keyColumns", 'o');
    tenant_of_new text := format(lookup, current_schema(), 'n', tracked."tenantColumn");
    tenant_of_old text := format(lookup, current_schema(), 'o', tracked."tenantColumn");
begin
    perform tracking_write(tracked, 'insert', format('%s %s from new_rows n %s;', into_feed, of_new, tenant_of_new));
    perform tracking_write(tracked, 'delete', format('%s %s from old_rows o %s;', into_dead, of_old, tenant_of_old));
    -- "(x in (…)) is true" is a hashed lookup and never a join, whose cached plan could turn quadratic; the large
    -- work_mem is for the planner, because only a lookup by hash stays linear. Of what counts in a row a digest is
    -- kept, 32 bytes for a row of any width. A single row is compared first and written by a plain statement then:
    -- what starting a statement costs is most of what such a write costs.
    perform tracking_write(tracked, 'update', format($body$declare
        moved boolean;
        changed boolean;
        planned_for text;
    begin
        perform from new_rows limit 1 offset 1;
        if not found then
            select %1$s <> %2$s, %10$s <> %9$s into moved, changed from old_rows o, new_rows n limit 1;
            if moved then
                %3$s %4$s from old_rows o %5$s;
            end if;
            if changed then
                %6$s %7$s from new_rows n %8$s;
            end if;
        elsif (select count(*) from new_rows)
                > coalesce(nullif(current_setting('tenant_sync.compare_rows', true), '')::bigint, 1000000) then
            -- More digests than a session should hold: all of it counts. A tombstone of a key that is there says nothing.
            %3$s %4$s from old_rows o %5$s;
            %6$s %7$s from new_rows n %8$s;
        else
            planned_for := current_setting('work_mem');
            perform set_config('work_mem', '1000GB', true);
            if exists (select from old_rows o where (%1$s in (select %2$s from new_rows n)) is not true) then
                %3$s %4$s from old_rows o %5$s where (%1$s in (select %2$s from new_rows n)) is not true;
            end if;
            %6$s %7$s from new_rows n %8$s where (sha256(%9$s) in (select sha256(%10$s) from old_rows o)) is not true;
            perform set_config('work_mem', planned_for, true);
        end if;
    end;$body$,
        tracking_image(relation, of_key, 'o'), tracking_image(relation, of_key, 'n'), into_dead, of_old, tenant_of_old,
        into_feed, of_new, tenant_of_new, tracking_image(relation, counting, 'n'), tracking_image(relation, counting, 'o')));
    -- TRUNCATE of a partitioned table fires for the table and for its partitions; each row is one of theirs.
    perform tracking_write(tracked, 'truncate', format(
        'execute %L || tg_relid::regclass || %L using (
            select array_agg(g.tgrelid) from pg_trigger g where g.tgfoid = %L::regproc and g.tgrelid <> tg_relid);',
        format('%s %s from ', into_dead, of_old),
        format(' o %s where $1 is null or o.tableoid <> all ($1)', tenant_of_old),
        format('%I.%I', current_schema(), tracking_function(tracked, 'truncate'))));
    if tracked."partitions" is not null then
        perform tracking_write(tracked, 'row', format($body$if tg_op = 'DELETE' or tg_op = 'UPDATE' and
        (select %1$s from (select old.*) o) <> (select %2$s from (select new.*) n) then
        %3$s %4$s from (select old.*) o %5$s;
    end if;
    if tg_op = 'INSERT' or tg_op = 'UPDATE' and
        (select %6$s from (select old.*) o) <> (select %7$s from (select new.*) n) then
        %8$s %9$s from (select new.*) n %10$s;
    end if;$body$,
            tracking_image(relation, of_key, 'o'), tracking_image(relation, of_key, 'n'), into_dead, of_old, tenant_of_old,
            tracking_image(relation, counting, 'o'), tracking_image(relation, counting, 'n'), into_feed, of_new, tenant_of_new));
    end if;
end $$;
comment on function tracking_write_all("TrackedTable") is 'Writes the trigger functions of a tracked table.';

-- What lies below a partitioned table.
create function tracking_partitions(relation oid) returns oid[]
    language sql stable set search_path from current as $$
    select array(select t.relid::oid from pg_partition_tree(relation) t where t.relid <> relation order by 1)
$$;
comment on function tracking_partitions(oid) is 'All partitions below a table, at any depth.';

-- Triggers by statement see the writes that name their own table only. So each partition has them, and those that
-- came later are seen by the row trigger of the root, which every partition inherits; it leaves the known ones alone.
create function tracking_attach(tracked "TrackedTable") returns void
    language plpgsql set search_path from current set client_min_messages = warning as $$
declare
    one record;
    event text;
    transition text;
    fires text := 'always';
begin
    for one in
        select c.oid::regclass as relation, c.relkind = 'r' as has_rows, c.oid = tracked."relation" as is_root
        from pg_class c where c.oid = any (tracked."partitions" || tracked."relation")
          and (c.oid = tracked."relation" or has_table_privilege(c.oid, 'TRIGGER')) and c.relkind in ('r', 'p')
    loop
        foreach event in array array['insert', 'update', 'delete'] loop
            transition := case event when 'insert' then 'new table as new_rows' when 'delete' then 'old table as old_rows'
                          else 'old table as old_rows new table as new_rows' end;
            execute format('create or replace trigger %I after %s on %s referencing %s for each statement execute function %I()',
                tracking_trigger(event), event, one.relation, transition, tracking_function(tracked, event));
        end loop;
        if one.has_rows or one.is_root then
            execute format('create or replace trigger %I before truncate on %s for each statement execute function %I()',
                tracking_trigger('truncate'), one.relation, tracking_function(tracked, 'truncate'));
        end if;
    end loop;
    if tracked."partitions" is not null then
        execute format('create or replace trigger %I after insert or update on %s for each row
            when (new.tableoid <> all (%L::oid[])) execute function %I()',
            tracking_trigger('row'), tracked."relation"::regclass, tracked."partitions", tracking_function(tracked, 'row'));
        execute format('create or replace trigger %I after delete on %s for each row
            when (old.tableoid <> all (%L::oid[])) execute function %I()',
            tracking_trigger('row_delete'), tracked."relation"::regclass, tracked."partitions", tracking_function(tracked, 'row'));
    end if;
    -- Restore and replication tools write with session_replication_role = replica.
    for one in
        select t.tgrelid::regclass as relation, t.tgname as name, pg_has_role(c.relowner, 'USAGE') as may
        from pg_trigger t join pg_class c on c.oid = t.tgrelid
        where t.tgfoid in (select tracking_functions(tracked)) order by t.tgparentid <> 0
    loop
        if one.may then
            execute format('alter table %s enable always trigger %I', one.relation, one.name);
        else
            fires := 'origin';
        end if;
    end loop;
    update "TrackedTable" set "firing" = fires where "name" = tracked."name";
end $$;
comment on function tracking_attach("TrackedTable") is 'Creates the triggers of a tracked table, or creates them anew.';

create function tracking_is_whole(tracked "TrackedTable") returns boolean
    language sql stable set search_path from current as $$
    select count(distinct t.tgname) = case when tracked."partitions" is null then 4 else 6 end
           and bool_and(t.tgenabled in ('O', 'A'))
    from pg_trigger t where t.tgrelid = tracked."relation" and t.tgfoid in (select tracking_functions(tracked))
$$;
comment on function tracking_is_whole("TrackedTable") is 'Whether all triggers of a tracked table are there and enabled.';
