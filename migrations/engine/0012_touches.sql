-- What touches rows of a mapping by columns that are not in its own key (a line item by its invoice) says so in the
-- feed: a change of it appends, besides the pointer to the row, one to each value that these columns had and have.

alter table "TrackedTable"
    add column "touches" text[] not null default '{}',
    add column "touchesSettlesAt" xid8,
    add column "touchesSettleAfter" text[],
    add column "touchesSettled" boolean not null default true;
comment on column "TrackedTable"."touches" is 'Columns beyond the key of which old and new values are recorded, because rows of mappings are found by them.';
comment on column "TrackedTable"."touchesSettled" is 'Every transaction that may have written without recording these has ended.';
comment on column "TrackedTable"."touchesSettleAfter" is 'Virtual numbers of the transactions that ran when recording began.';

-- Two feeds of one name would only cost reading: whatever is pointed to is looked up.
create function touch_feed(feed text) returns text
    language sql immutable as $$ select feed || ' (touches)' $$;
comment on function touch_feed(text) is 'What the values of touch columns are called in "ChangedRow".';

-- The touches that are columns still: an application drops what it likes.
create function tracking_touches(tracked "TrackedTable") returns text[]
    language sql stable set search_path from current as $$
    select array(select c from unnest(tracked."touches") c
                 where exists (select from pg_attribute a where a.attrelid = tracked."relation" and a.attname = c
                                 and a.attnum > 0 and not a.attisdropped) order by c)
$$;
comment on function tracking_touches("TrackedTable") is 'Columns beyond the key whose values are recorded.';

-- Always one lookup in an index a row: no plan can read all tenants.
create function tracking_tenancy(tracked "TrackedTable", alias text) returns text
    language sql stable set search_path from current as $$
    select format('cross join lateral (select t."id" from %I."Tenancy" t where t."tenantKey" = %s.%I::text collate "default" offset 0) t',
                  current_schema(), alias, tracked."tenantColumn")
$$;
comment on function tracking_tenancy("TrackedTable", text) is 'The join that finds whose a row is.';

-- `condition` on the rows, or true. A row without any value touches nothing.
create function tracking_touched(tracked "TrackedTable", rows_of text, alias text, condition text) returns text
    language sql stable set search_path from current as $$
    select format('select t."id", %L, %s from %s %s %s where num_nonnulls(%s) > 0 and %s', touch_feed(tracked."name"),
                  tracking_key(tracked."relation", tracking_touches(tracked), alias), rows_of, alias,
                  tracking_tenancy(tracked, alias),
                  (select string_agg(format('%s.%I', alias, c), ', ') from unnest(tracking_touches(tracked)) c), condition)
    where cardinality(tracking_touches(tracked)) > 0
$$;
comment on function tracking_touched("TrackedTable", text, text, text) is 'A query for the values of touch columns, as "ChangedRow" takes them; null if there are none to record.';

create function tracking_each_once(query text) returns text
    language sql immutable as $$ select '(select distinct * from (' || query || ') touched)' $$;
comment on function tracking_each_once(text) is 'A thousand line items of one invoice touch it once.';

-- Writes a trigger function of a tracked table. Its body knows the table's columns, so that no statement has to be
-- built or planned for a write; all names are qualified, whatever the application's search_path is. A failure is
-- noted and never the application's. Text settings are pinned where a key or tenant column reads differently
-- under others.
create or replace function tracking_write(tracked "TrackedTable", event text, body text) returns void
    language plpgsql set search_path from current as $write$
declare
    plain boolean := (
        select bool_and(tracking_base_type(a.atttypid) in ('bool'::regtype, 'int2'::regtype, 'int4'::regtype, 'int8'::regtype,
                            'numeric'::regtype, 'uuid'::regtype) or t.typtype = 'e' or t.typcategory = 'S')
        from pg_attribute a join pg_type t on t.oid = tracking_base_type(a.atttypid)
        where a.attrelid = tracked."relation" and a.attname in (select unnest(tracked."keyColumns" || tracked."touches") union select tracked."tenantColumn"));
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

create or replace function tracking_write_all(tracked "TrackedTable") returns void
    language plpgsql set search_path from current as $$
declare
    relation oid := tracked."relation";
    of_key text[] := tracked."keyColumns" || tracked."tenantColumn";
    counting text[] := case when tracked."columns" is not null then (
        select array_agg(distinct c order by c)
        from unnest(tracked."columns" || tracking_touches(tracked) || tracked."keyColumns" || tracked."tenantColumn") c) end;
    into_feed text := format('insert into %I."ChangedRow" ("tenancyId", "tableName", "primaryKey")', current_schema());
    into_dead text := format('insert into %I."DeletedRow" ("tenancyId", "tableName", "primaryKey")', current_schema());
    row_of text := format('select t."id", %L, ', tracked."name");
    of_new text := row_of || tracking_key(relation, tracked."keyColumns", 'n');
    of_old text := row_of || tracking_key(relation, tracked."keyColumns", 'o');
    tenant_of_new text := tracking_tenancy(tracked, 'n');
    tenant_of_old text := tracking_tenancy(tracked, 'o');
    new_counts constant text := format('(sha256(%s) in (select sha256(%s) from old_rows o)) is not true',
        tracking_image(relation, counting, 'n'), tracking_image(relation, counting, 'o'));
    old_counts constant text := format('(sha256(%s) in (select sha256(%s) from new_rows n)) is not true',
        tracking_image(relation, counting, 'o'), tracking_image(relation, counting, 'n'));
    new_touches text := tracking_touched(tracked, 'new_rows', 'n', 'true');
    old_touches text := tracking_touched(tracked, 'old_rows', 'o', 'true');
    both_touches text := new_touches || ' union all ' || old_touches;
    changed_touches text := tracking_touched(tracked, 'new_rows', 'n', new_counts) || ' union all '
                            || tracking_touched(tracked, 'old_rows', 'o', old_counts);
    -- Stands for the table that is truncated.
    any_table constant text := 'table_' || md5(tracked."name");
    not_twice constant text := '$1 is null or o.tableoid <> all ($1)';
    own_triggers constant text := format(
        '(select array_agg(g.tgrelid) from pg_trigger g where g.tgfoid = %L::regproc and g.tgrelid <> tg_relid)',
        format('%I.%I', current_schema(), tracking_function(tracked, 'truncate')));
    truncated text;
    touched text;
begin
    perform tracking_write(tracked, 'insert', format('%s %s from new_rows n %s%s;', into_feed, of_new, tenant_of_new,
        coalesce(' union all ' || tracking_each_once(new_touches), '')));
    perform tracking_write(tracked, 'delete', format('%s %s from old_rows o %s;%s', into_dead, of_old, tenant_of_old,
        coalesce(format(' %s ', into_feed) || tracking_each_once(old_touches) || ';', '')));
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
                %6$s %7$s from new_rows n %8$s%11$s;
            end if;
        elsif (select count(*) from new_rows)
                > coalesce(nullif(current_setting('tenant_sync.compare_rows', true), '')::bigint, 1000000) then
            -- More digests than a session should hold: all of it counts. A tombstone of a key that is there says nothing.
            %3$s %4$s from old_rows o %5$s;
            %6$s %7$s from new_rows n %8$s%11$s;
        else
            planned_for := current_setting('work_mem');
            perform set_config('work_mem', '1000GB', true);
            if exists (select from old_rows o where (%1$s in (select %2$s from new_rows n)) is not true) then
                %3$s %4$s from old_rows o %5$s where (%1$s in (select %2$s from new_rows n)) is not true;
            end if;
            %6$s %7$s from new_rows n %8$s where %13$s%12$s;
            perform set_config('work_mem', planned_for, true);
        end if;
    end;$body$,
        tracking_image(relation, of_key, 'o'), tracking_image(relation, of_key, 'n'), into_dead, of_old, tenant_of_old,
        into_feed, of_new, tenant_of_new, tracking_image(relation, counting, 'n'), tracking_image(relation, counting, 'o'),
        coalesce(' union all ' || tracking_each_once(both_touches), ''),
        coalesce(' union all ' || tracking_each_once(changed_touches), ''), new_counts));
    -- TRUNCATE of a partitioned table fires for the table and for its partitions; each row is one of theirs.
    truncated := format('execute %L || tg_relid::regclass || %L using %s;', format('%s %s from ', into_dead, of_old),
                        format(' o %s where %s', tenant_of_old, not_twice), own_triggers);
    touched := into_feed || ' ' || tracking_each_once(tracking_touched(tracked, any_table, 'o', '(' || not_twice || ')'));
    if touched is not null then
        truncated := truncated || format(' execute replace(%L, %L, tg_relid::regclass::text) using %s;', touched, any_table, own_triggers);
    end if;
    perform tracking_write(tracked, 'truncate', truncated);
    if tracked."partitions" is not null then
        perform tracking_write(tracked, 'row', format($body$if tg_op = 'DELETE' or tg_op = 'UPDATE' and
        (select %1$s from (select old.*) o) <> (select %2$s from (select new.*) n) then
        %3$s %4$s from (select old.*) o %5$s;
    end if;
    if tg_op = 'INSERT' or tg_op = 'UPDATE' and
        (select %6$s from (select old.*) o) <> (select %7$s from (select new.*) n) then
        %8$s %9$s from (select new.*) n %10$s;
    end if;%11$s$body$,
            tracking_image(relation, of_key, 'o'), tracking_image(relation, of_key, 'n'), into_dead, of_old, tenant_of_old,
            tracking_image(relation, counting, 'o'), tracking_image(relation, counting, 'n'), into_feed, of_new, tenant_of_new,
            coalesce(tracking_row_touches(tracked, into_feed, counting), '')));
    end if;
end $$;

-- OLD and NEW of the operation that has none are null, and touch nothing.
create function tracking_row_touches(tracked "TrackedTable", into_feed text, counting text[]) returns text
    language sql stable set search_path from current as $$
    select format($body$
    if tg_op <> 'UPDATE' or (select %1$s from (select old.*) o) <> (select %2$s from (select new.*) n) then
        %3$s %4$s;
    end if;$body$, tracking_image(tracked."relation", counting, 'o'), tracking_image(tracked."relation", counting, 'n'), into_feed,
        tracking_each_once(tracking_touched(tracked, '(select new.*)', 'n', 'true') || ' union all '
                           || tracking_touched(tracked, '(select old.*)', 'o', 'true')))
    where cardinality(tracking_touches(tracked)) > 0
$$;
comment on function tracking_row_touches("TrackedTable", text, text[]) is 'What the row trigger of a partitioned table does for touch columns.';

-- Begins to record what mappings need: for each feed the columns of a touch, as a JSON array, if its key does not
-- hold them. Nothing waits for the table: only functions are written anew. What was written meanwhile without them is
-- compared, see settle_touches.
create function record_touches(feeds text[], needed text[]) returns bigint
    language plpgsql set search_path from current as $$
declare
    tracked "TrackedTable";
    wanted text[];
    begun bigint := 0;
begin
    for tracked in
        select k.* from "TrackedTable" k
        where exists (select from unnest(feeds, needed) w (feed, names)
                      where w.feed = k."name" and tracking_lacks(k, w.names))
           or cardinality(tracking_touches(k)) < cardinality(k."touches")
        for no key update of k skip locked
    loop
        select array(
            select c from unnest(feeds, needed) w (feed, names), jsonb_array_elements_text(w.names::jsonb) c
            where w.feed = tracked."name" and tracking_lacks(tracked, w.names)
            union select unnest(tracking_touches(tracked))) into wanted;
        update "TrackedTable" k set "touches" = wanted where k."name" = tracked."name" returning * into tracked;
        update "TrackedTable" k set "touches" = tracking_touches(tracked), "touchesSettled" = false,
            "touchesSettlesAt" = null, "touchesSettleAfter" = null
        where k."name" = tracked."name" returning * into tracked;
        perform tracking_write_all(tracked);
        begun := begun + 1;
    end loop;
    return begun;
end $$;
comment on function record_touches(text[], text[]) is 'Lets tracked tables record old and new values of the columns by which they touch rows; returns in how many that is new.';

create function tracking_lacks(tracked "TrackedTable", names text) returns boolean
    language sql stable set search_path from current as $$
    select bool_or(c <> all (tracked."keyColumns"))
           and bool_or(c <> all (tracked."touches") and exists (
               select from pg_attribute a where a.attrelid = tracked."relation" and a.attname = c and a.attnum > 0 and not a.attisdropped))
    from jsonb_array_elements_text(names::jsonb) c
$$;
comment on function tracking_lacks("TrackedTable", text) is 'Whether these columns, a JSON array, are not in the key and not all recorded.';

-- As a new tenancy settles: whoever was running when recording began may still write without it, because it holds
-- a lock on the table and does not look at its functions anew. Once the last of them has ended, targets are compared.
-- `reads` names a feed for each of `mapping_names`.
create function settle_touches(mapping_names text[], reads text[]) returns bigint
    language plpgsql set search_path from current as $$
declare
    ended text[];
    running text[];
begin
    if not exists (select from "TrackedTable" k where not k."touchesSettled") then
        return 0;
    end if;
    with now_running as materialized (select transactions_running() as those)
    update "TrackedTable" k set "touchesSettlesAt" = pg_snapshot_xmax(pg_current_snapshot()), "touchesSettleAfter" = r.those
    from now_running r where not k."touchesSettled" and k."touchesSettlesAt" is null;
    running := transactions_running();
    with done as (
        update "TrackedTable" k set "touchesSettled" = true, "touchesSettleAfter" = null
        where not k."touchesSettled" and k."touchesSettlesAt" <= pg_snapshot_xmin(pg_current_snapshot())
          and not k."touchesSettleAfter" && running
        returning k."name")
    select array_agg(d."name") into ended from done d;
    if ended is null then
        return 0;
    end if;
    return request_fills(array(select distinct u.mapping from unnest(mapping_names, reads) as u (mapping, feed)
                               where u.feed = any (ended)));
end $$;
comment on function settle_touches(text[], text[]) is 'Notices when no transaction is left that may have written without recording its touches; returns how many targets are compared once more.';

-- From which transaction on a tenancy may have changes without an id, as far as this snapshot shows. Transactions
-- that were running at the last pass and have ended since may have left some. Many of them are recent, and cost a
-- reader little; one that is long behind may be of another database or have written nothing here, and all that was
-- processed since would be walked for it: so whether it left something of this tenancy is looked up.
create or replace function tail_start(tenancy uuid) returns xid8
    language plpgsql stable set search_path from current set enable_seqscan = off as $$
declare
    recent constant numeric := 1000;
    newest record;
    lowest xid8;
    ended xid8;
    rel text;
    left_some boolean;
begin
    select s."fromXid", s."revisit" into newest from "SequencerPass" s order by s."pass" desc limit 1;
    if newest."fromXid" is null or newest."fromXid" > pg_snapshot_xmax(pg_current_snapshot()) then
        return '0';
    end if;
    lowest := least(newest."fromXid", (select b."fromXid" from "SequencerBacklog" b where b."tenancyId" = tenancy));
    for ended in
        select x from unnest(newest."revisit") x
        where x < lowest and pg_visible_in_snapshot(x, pg_current_snapshot()) order by x
    loop
        if newest."fromXid"::text::numeric - ended::text::numeric <= recent then
            return ended;
        end if;
        for rel in select r."relation" from "SequencedRelation" r loop
            execute format('select exists (select from %I r where r."tenancyId" = $1 and r."shouldUpdateSequenceId"
                                           and r."changedBy" is distinct from ''2'' and r."changedBy" = $2)', rel)
            into left_some using tenancy, ended;
            if left_some then
                return ended;
            end if;
        end loop;
    end loop;
    return lowest;
end $$;
