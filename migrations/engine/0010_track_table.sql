-- Tracking a table, ending it, and what is asked about tracked tables.

-- As the owner of our schema, whoever calls: the application's migrations need EXECUTE on this and on
-- untrack_table, and no right on our tables. What the owner lacks on the table is named.
create function track_table("table" regclass, tenant_column text, columns text[] default null) returns text
    language plpgsql security definer set search_path from current set client_min_messages = warning as $$
#variable_conflict use_column
declare
    oid_of_it constant oid := $1::oid;
    watched text[] := (select array_agg(distinct c order by c) from unnest($3) c);
    feed text;
    lacking text[];
    at text;
    known "TrackedTable";
    wanted "TrackedTable";
begin
    select n.nspname || '.' || c.relname into feed
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = oid_of_it;
    if feed is null then
        raise exception using errcode = 'undefined_table', message = format('there is no table %s', $1);
    end if;
    at := tracking_refusal(oid_of_it);
    if at is not null then
        raise exception using errcode = 'wrong_object_type', message = format('%s %s', feed, at);
    end if;
    if $3 is not null and watched is null then
        watched := '{}';
    end if;
    select array_agg(format('%L', c)) into lacking from unnest($2 || coalesce(watched, '{}')) c
    where not exists (select from pg_attribute a where a.attrelid = oid_of_it and a.attname = c and a.attnum > 0 and not a.attisdropped);
    if lacking is not null or $2 is null then
        raise exception using errcode = 'undefined_column', message = format('%s has no column %s; it has %s', feed,
            coalesce(array_to_string(lacking, ', '), 'null'),
            (select string_agg(a.attname, ', ' order by a.attnum) from pg_attribute a
             where a.attrelid = oid_of_it and a.attnum > 0 and not a.attisdropped));
    end if;
    perform tracking_privileges(oid_of_it);

    perform tracking_locate();
    -- A table of that name that is gone.
    perform tracking_forget(k) from "TrackedTable" k
    where k."name" = feed and not exists (select from pg_class c where c.oid = k."relation");
    select * into known from "TrackedTable" k where k."relation" = $1::oid;
    if known is null and exists (select from "TrackedTable" k where k."name" = feed) then
        raise exception using errcode = 'duplicate_object', message = format(
            '%s is the name under which %s is tracked, which was renamed: untrack that first', feed,
            (select k."relation"::regclass from "TrackedTable" k where k."name" = feed));
    end if;
    if known."tenantColumn" = $2 and known."columns" is not distinct from watched
       and known."keyColumns" = tracking_key_columns(oid_of_it) and tracking_is_whole(known) then
        return known."name";
    end if;
    insert into "TrackedTable" as k ("name", "relation", "tenantColumn", "keyColumns", "columns", "partitions")
    values (coalesce(known."name", feed), oid_of_it, $2, tracking_key_columns(oid_of_it), watched,
            case when (select c.relkind from pg_class c where c.oid = oid_of_it) = 'p' then tracking_partitions(oid_of_it) end)
    on conflict ("name") do update set "tenantColumn" = excluded."tenantColumn", "keyColumns" = excluded."keyColumns",
        "columns" = excluded."columns", "partitions" = coalesce(k."partitions", excluded."partitions"), "trackedAt" = now()
    returning * into wanted;
    perform tracking_write_all(wanted);
    perform tracking_attach(wanted);
    return wanted."name";
end $$;
comment on function track_table(regclass, text, text[]) is 'Records changes of a table from now on; returns its feed''s name. Again with other arguments: replaces what was said before.';

create function tracking_privileges(relation oid) returns void
    language plpgsql stable set search_path from current as $$
declare
    schema_name text := (select quote_ident(n.nspname) from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = relation);
    lacking text;
begin
    if not has_schema_privilege(schema_name::regnamespace, 'USAGE') then
        lacking := format('grant usage on schema %s to %I', schema_name, current_user);
    end if;
    select nullif(concat_ws('; ', lacking, 'grant select, trigger on ' || string_agg(
               format('%I.%I', n.nspname, c.relname), ', ' order by c.oid <> relation, 1) || format(' to %I', current_user)), '')
      into lacking
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where (c.oid = relation or c.oid = any (tracking_partitions(relation))) and c.relkind in ('r', 'p')
      and not (has_table_privilege(c.oid, 'SELECT') and has_table_privilege(c.oid, 'TRIGGER'));
    if lacking is not null then
        raise exception using errcode = 'insufficient_privilege', message = format(
            '%I may not read %s or create triggers on it; its owner can allow it: %s', current_user, relation::regclass, lacking);
    end if;
end $$;
comment on function tracking_privileges(oid) is 'Fails with the GRANT that is missing to track a table.';

create function tracking_forget(tracked "TrackedTable") returns void
    language plpgsql set search_path from current set client_min_messages = warning as $$
declare
    one regprocedure;
begin
    -- The triggers go with their functions, and need no owner of the table.
    for one in select tracking_functions(tracked) loop
        execute format('drop function %s cascade', one);
    end loop;
    if to_regclass(tracked."ownIndex") is not null then
        execute format('drop index %s', tracked."ownIndex");
    end if;
    delete from "TrackingFault" where "name" = tracked."name";
    delete from "TrackedTable" where "name" = tracked."name";
end $$;
comment on function tracking_forget("TrackedTable") is 'Takes back all that tracking a table has made.';

create function untrack_table("table" regclass) returns void
    language plpgsql security definer set search_path from current as $$
begin
    perform tracking_locate();
    perform tracking_forget(k) from "TrackedTable" k where k."relation" = $1::oid;
end $$;
comment on function untrack_table(regclass) is 'Ends the tracking of a table and leaves the table as it was; does nothing if it is not tracked.';

-- ATTACH and DETACH fire no trigger: rows come and go unseen.
create function tracked_partitions_changed() returns setof text
    language sql stable set search_path from current as $$
    select k."name" from "TrackedTable" k
    where k."partitions" is not null and exists (select from pg_class c where c.oid = k."relation")
      and k."partitions" <> tracking_partitions(k."relation")
$$;
comment on function tracked_partitions_changed() is 'Feeds of partitioned tables to which partitions were attached, or from which some were detached, since note_tracked_partitions.';

create function note_tracked_partitions(feed text) returns boolean
    language plpgsql set search_path from current set client_min_messages = warning as $$
declare
    tracked "TrackedTable";
begin
    update "TrackedTable" k set "partitions" = tracking_partitions(k."relation")
    where k."name" = feed and k."name" in (select tracked_partitions_changed())
    returning * into tracked;
    if not found then
        return false;
    end if;
    perform tracking_attach(tracked);
    return true;
end $$;
comment on function note_tracked_partitions(text) is 'Takes the partitions that are there now for known, and gives the new ones triggers of their own; false if nothing changed.';

-- The columns of an index by which a first copy walks a tenant's rows: those of text in the order of their bytes.
create function tracking_index_columns(tracked "TrackedTable")
    returns table (place bigint, attnum int2, collation oid, definition text)
    language sql stable set search_path from current as $$
    select row_number() over (order by w.ord), a.attnum,
           case when w.ord = 0 or a.attcollation = 0 then a.attcollation else '"C"'::regcollation::oid end,
           quote_ident(a.attname) || case when w.ord > 0 and a.attcollation not in (0, '"C"'::regcollation)
                                          then ' collate "C"' else '' end
    from (select 0, tracked."tenantColumn"
          union all
          -- What is no type of the server's own is text in targets, and sorted so: that comes last.
          select k.ord + case when tracking_base_type(t.atttypid) >= 16384 then 1000 else 0 end, k.c
          from unnest(tracked."keyColumns") with ordinality k (c, ord)
          join pg_attribute t on t.attrelid = tracked."relation" and t.attname = k.c
          where k.c <> tracked."tenantColumn") w (ord, c)
    join pg_attribute a on a.attrelid = tracked."relation" and a.attname = w.c
$$;
comment on function tracking_index_columns("TrackedTable") is 'Columns of the index that first copies need.';

create function tracking_has_index(tracked "TrackedTable", relation oid) returns boolean
    language sql stable set search_path from current as $$
    select exists (
        select from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am m on m.oid = c.relam
        where i.indrelid = relation and i.indisvalid and i.indisready and m.amname = 'btree'
          and i.indpred is null and i.indexprs is null
          and i.indnkeyatts >= (select count(*) from tracking_index_columns(tracked))
          and not exists (
              select from tracking_index_columns(tracked) w
              join pg_attribute r on r.attrelid = tracked."relation" and r.attnum = w.attnum
              join pg_attribute a on a.attrelid = relation and a.attname = r.attname
              where (i.indkey::int2[])[w.place - 1] <> a.attnum or (i.indcollation::oid[])[w.place - 1] <> w.collation
                 or (i.indoption::int2[])[w.place - 1] <> 0
                 or not (select o.opcdefault from pg_opclass o where o.oid = (i.indclass::oid[])[w.place - 1])))
$$;
comment on function tracking_has_index("TrackedTable", oid) is 'Whether a table or partition has an index by which a first copy can walk.';

-- Where a database was restored from a dump, tables have other numbers: the triggers say which are meant.
create function tracking_locate() returns void
    language sql set search_path from current as $$
    update "TrackedTable" k set "relation" = l.relation
    from "TrackedTable" o cross join lateral (
        select max(coalesce(pg_partition_root(t.tgrelid), t.tgrelid)) as relation from pg_trigger t
        join tracking_functions(o) f on f = t.tgfoid) l
    where k."name" = o."name" and l.relation <> k."relation" and not exists (
        select from pg_trigger t join tracking_functions(k) f on f = t.tgfoid where t.tgrelid = k."relation")
$$;
comment on function tracking_locate() is 'Corrects the numbers of tracked tables.';

-- Who may execute these may track any table that the owner of this schema may.
revoke all on function track_table(regclass, text, text[]), untrack_table(regclass) from public;
