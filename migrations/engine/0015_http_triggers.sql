-- Triggers: a change of a row becomes an event in the outbox, in the application's own transaction.
--
-- A table has one function for each operation, however many triggers are registered for it: the function joins the
-- triggers' rows by table and tenancy. What it knows itself is the table's columns and the rules, which are
-- conditions without their values.

-- Never fails, because the application's write must not.
create function http_fault(table_id bigint, trigger_id uuid, state text) returns void
    language plpgsql set search_path from current as $$
begin
    insert into "HttpFault" ("tableId", "triggerId", "sqlState")
    select table_id, trigger_id, state
    where (select count(*) from (select from "HttpFault" limit 1000) kept) < 1000;
exception when others then
    null;
end $$;
comment on function http_fault(bigint, uuid, text) is 'Notes that a statement made no events.';

-- A column's type as a cast that changes no value: by its own name, for "character" in words means a single one.
create function http_column_type(relation oid, column_name text) returns text
    language sql stable as $$
    select format('%I.%I', n.nspname, t.typname)
    from pg_attribute a join pg_type t on t.oid = a.atttypid join pg_namespace n on n.oid = t.typnamespace
    where a.attrelid = relation and a.attname = column_name and a.attnum > 0 and not a.attisdropped
$$;
comment on function http_column_type(oid, text) is 'Type of a column in SQL; null if there is no such column.';

-- What a condition is compiled to. Values never become part of the text: they are the trigger's arguments.
create function http_compile_condition(relation oid, condition jsonb, columns text[],
                                       out on_update text, out on_other text, out arguments text[])
    language plpgsql stable set search_path from current
    set "TimeZone" = 'UTC' set "DateStyle" = 'ISO, YMD' set "IntervalStyle" = 'postgres'
    set extra_float_digits = 1 set bytea_output = 'hex' as $$
#variable_conflict use_variable
declare
    one jsonb;
    place bigint;
    operation text;
    column_name text;
    column_type text;
    term text;
    terms text[] := '{}';
    changes text[] := '{}';
    argument text;
begin
    arguments := '{}';
    if condition is not null and (jsonb_typeof(condition) <> 'array' or jsonb_array_length(condition) not between 1 and 20) then
        raise exception using errcode = 'invalid_parameter_value', message =
            'the condition is no list of 1 to 20 objects: write it like [{"column": "plan", "op": "=", "value": "gold"}]';
    end if;
    for one, place in select c.c, c.n from jsonb_array_elements(coalesce(condition, '[]')) with ordinality c (c, n) loop
        if jsonb_typeof(one) <> 'object' or exists (select from jsonb_object_keys(one) k where k not in ('column', 'op', 'value'))
           or jsonb_typeof(one -> 'column') is distinct from 'string' or jsonb_typeof(one -> 'op') is distinct from 'string' then
            raise exception using errcode = 'invalid_parameter_value', message = format(
                'condition %s is no object of "column", "op" and "value"', place);
        end if;
        column_name := one ->> 'column';
        operation := lower(one ->> 'op');
        column_type := http_column_type(relation, column_name);
        if column_type is null then
            raise exception using errcode = 'undefined_column', message = format(
                'condition %s: there is no column %s; there are %s', place, to_json(left(column_name, 63)),
                (select string_agg(a.attname, ', ' order by a.attnum) from pg_attribute a
                 where a.attrelid = relation and a.attnum > 0 and not a.attisdropped));
        elsif operation not in ('=', '!=', '<', '>', 'in', 'is null', 'changed') then
            raise exception using errcode = 'invalid_parameter_value', message = format(
                'condition %s: there is no "op" %s; there are =, !=, <, >, in, is null and changed', place, to_json(left(operation, 20)));
        elsif operation in ('is null', 'changed') then
            if one ? 'value' then
                raise exception using errcode = 'invalid_parameter_value', message = format(
                    'condition %s: "%s" takes no "value"', place, operation);
            elsif operation = 'changed' then
                changes := changes || column_name;
            else
                terms := terms || format('r.%I is null', column_name);
            end if;
            continue;
        elsif not one ? 'value' or jsonb_typeof(one -> 'value') = 'null' then
            raise exception using errcode = 'invalid_parameter_value', message = format(
                'condition %s: "%s" needs a "value" that is not null; there is "is null" for that', place, operation);
        end if;
        if operation = 'in' then
            if jsonb_typeof(one -> 'value') <> 'array' or jsonb_array_length(one -> 'value') not between 1 and 1000
               or exists (select from jsonb_array_elements(one -> 'value') v where jsonb_typeof(v) not in ('string', 'number', 'boolean')) then
                raise exception using errcode = 'invalid_parameter_value', message = format(
                    'condition %s: "in" needs a list of 1 to 1000 strings, numbers or truth values', place);
            end if;
            argument := (select array_agg(v)::text from jsonb_array_elements_text(one -> 'value') v);
            term := format('r.%%1$I = any ((t."arguments"[%s])::%s[])', cardinality(arguments) + 1, column_type);
        else
            argument := one ->> 'value';
            if column_type = 'pg_catalog.jsonb' then
                argument := (one -> 'value')::text;
            elsif jsonb_typeof(one -> 'value') not in ('string', 'number', 'boolean') then
                raise exception using errcode = 'invalid_parameter_value', message = format(
                    'condition %s: "%s" needs a string, a number or a truth value', place, operation);
            end if;
            term := format(case operation when '!=' then 'r.%%1$I is distinct from (t."arguments"[%s])::%s'
                           else 'r.%%1$I ' || operation || ' (t."arguments"[%s])::%s' end, cardinality(arguments) + 1, column_type);
        end if;
        arguments := arguments || argument;
        begin
            -- On a row of nulls: does the value read as the column's type, and can the two be compared?
            execute format('select (%s) from (select null::%s as %I) r, (select $1 as "arguments") t',
                           format(term, column_name), column_type, column_name) using arguments;
        exception when others then
            raise exception using errcode = 'invalid_parameter_value', message = format(
                'condition %s: the value cannot be compared with the column %s, which is %s (%s)', place, column_name,
                column_type, sqlstate);
        end;
        terms := terms || format(term, column_name);
    end loop;
    for column_name in select c from unnest(columns) c loop
        if http_column_type(relation, column_name) is null then
            raise exception using errcode = 'undefined_column', message = format(
                'there is no column %s; there are %s', to_json(left(column_name, 63)),
                (select string_agg(a.attname, ', ' order by a.attnum) from pg_attribute a
                 where a.attrelid = relation and a.attnum > 0 and not a.attisdropped));
        end if;
    end loop;
    on_other := coalesce(nullif(array_to_string(terms, ' and '), ''), 'true');
    select concat_ws(' and ', nullif(on_other, 'true'),
               (select string_agg(format('(%s) <> (%s)', tracking_image(relation, array[c], 'o'), tracking_image(relation, array[c], 'r')),
                                  ' and ' order by c) from (select distinct c from unnest(changes) c) x),
               case when cardinality(columns) > 0 then format('(%s) <> (%s)', tracking_image(relation, columns, 'o'),
                                                              tracking_image(relation, columns, 'r')) end)
      into on_update;
    on_update := coalesce(nullif(on_update, ''), 'true');
end $$;
comment on function http_compile_condition(oid, jsonb, text[]) is 'Compiles a condition and the columns that count in an update, or says what is wrong with them.';

create function http_function(on_table "HttpTable", event text) returns name
    language sql immutable as $$ select format('http_%s_%s', on_table."id", event)::name $$;
comment on function http_function("HttpTable", text) is 'Name of a trigger function.';

create function http_functions(on_table "HttpTable") returns setof regprocedure
    language sql stable set search_path from current as $$
    select p.oid::regprocedure from pg_proc p
    where p.pronamespace = quote_ident(current_schema())::regnamespace and p.prorettype = 'trigger'::regtype
      and p.proname in (select http_function(on_table, e) from unnest(array['insert', 'update', 'delete', 'truncate']) e)
$$;
comment on function http_functions("HttpTable") is 'The trigger functions of a table.';

-- Statements of the trigger functions, over rows "r" (and "o", as they were before) that `source` names:
-- {RULE} stands for the triggers' conditions, {ONE} and {SKIP} for the variables.
create function http_statement(on_table "HttpTable", event text, source text, what text) returns text
    language plpgsql stable set search_path from current as $$
declare
    own constant text := quote_ident(current_schema());
    operation constant text := case event when 'update' then 'updated' when 'insert' then 'created' else 'deleted' end;
    listens constant text := case event when 'truncate' then 'delete' else event end;
    data constant text := coalesce(on_table."data", 'select {row}.*');
    tenancy constant text := case when on_table."tenantColumn" = 'tenancyId'
        then 'cross join lateral (select r."tenancyId" as id) k'
        else format('cross join lateral (select k."id" as id from %s."Tenancy" k where k."tenantKey" = r.%I::text collate "default" offset 0) k',
                    own, on_table."tenantColumn") end;
    -- Two lookups in an index a row, and never a scan of all triggers.
    trigger_columns constant text := 't."id", t."ruleId", t."arguments", t."columns", t."ordered", t."eventLimit"';
    triggers constant text := format($f$cross join lateral (
            select %1$s from %2$s."HttpTrigger" t
            where t."tableId" = %3$s and t."tenancyId" = k.id and t."state" = 'active' and %4$L = any (t."operations")
              and ({ONE} is null or t."id" = {ONE})
            union all
            select %1$s from %2$s."HttpTrigger" t
            where t."tableId" = %3$s and t."tenancyId" is null and t."state" = 'active' and %4$L = any (t."operations")
              and ({ONE} is null or t."id" = {ONE})
            offset 0) t$f$, trigger_columns, own, on_table."id", listens);
    datum constant text := 'cross join lateral (select row_to_json(x) as data from (%s) x limit 1) %s';
    after_data constant text := format(datum, replace(data, '{row}', 'r'), 'd');
    before_data constant text := case when event = 'update' then format(datum, replace(data, '{row}', 'o'), 'b') else '' end;
    differs constant text := case when event = 'update'
        then 'and (t."columns" is not null or d.data::text <> b.data::text)' else '' end;
    stamp constant text := $f$to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')$f$;
    previous constant text := case when event = 'update' then $f$, 'previous', coalesce(
            (select json_object_agg(p.key, p.value) from json_each(b.data) p join json_each(d.data) q on q.key = p.key
             where p.value::text <> q.value::text), '{}'::json)$f$ else '' end;
    order_key constant text := (select 'concat_ws('':'', ' || string_agg(format('r.%I::text', c), ', ') || ')'
                                from unnest(on_table."keyColumns") c);
    matched constant text := format('from %s %s %s', source, tenancy, triggers);
    into_outbox constant text := format('insert into %s."OutgoingRequest"
            ("kind", "destinationId", "position", "tenancyId", "eventType", "orderKey", "body")', own);
    asked constant text := format($f$insert into %s."OutgoingRequest" ("kind", "destinationId", "askedBy")
        select 'deliveryAsk', m."destinationId", pg_current_xact_id() from (select distinct "destinationId" from made) m$f$, own);
begin
    return case what
    when 'concerned' then format('select array_agg(distinct t.id) into concerned %s', matched)
    when 'anybody' then format('exists (select %s)', matched)
    when 'events' then format($f$
        with made as (
            %1$s
            select 'http', t.id, nextval('%2$s.outgoing_request_seq'), k.id, %3$L, case when t."ordered" then %4$s end,
                   json_build_object('type', %3$L, 'timestamp', %5$s, 'tenancyId', k.id, 'data', d.data%6$s)::text
            %7$s %8$s %9$s
            where t.id <> all ({SKIP}) and ({RULE}) %10$s
            returning "destinationId")
        %11$s$f$, into_outbox, own, on_table."event" || '.' || operation, order_key, stamp, previous, matched, after_data,
        before_data, differs, asked)
    when 'bulk' then format($f$
        with counted as (
            select t.id, count(*) as number, case when count(distinct k.id) = 1 then min(k.id::text)::uuid end as tenancy
            %1$s %2$s %3$s where ({RULE}) %4$s
            group by t.id, t."eventLimit" having count(*) > %5$s
        ), made as (
            %6$s
            select 'http', c.id, nextval('%7$s.outgoing_request_seq'), c.tenancy, %8$L, null,
                   json_build_object('type', %8$L, 'timestamp', %9$s, 'tenancyId', c.tenancy,
                                     'data', json_build_object('count', c.number))::text
            from counted c
            returning "destinationId"
        ), asked as (
            %10$s)
        select coalesce(array_agg(m."destinationId"), '{}') from made m$f$, matched,
        case when event = 'update' then after_data else '' end, before_data, differs,
        case when event = 'truncate' then '0' else 't."eventLimit"' end, into_outbox, own,
        on_table."event" || '.' || operation || '.bulk', stamp, asked) end;
end $$;
comment on function http_statement("HttpTable", text, text, text) is 'A statement of the trigger functions.';

-- Only rules of triggers that are not broken: one that names a column which is gone would fail for all.
create function http_rules(on_table "HttpTable", event text) returns text
    language sql stable set search_path from current as $$
    select coalesce('case t."ruleId" ' || string_agg(format('when %s then %s', r."id",
               case event when 'update' then r."onUpdate" else r."onOther" end), ' ' order by r."id")
           || ' else t."ruleId" is null end', 't."ruleId" is null')
    from "HttpRule" r where r."tableId" = on_table."id"
      and exists (select from "HttpTrigger" t where t."ruleId" = r."id" and t."state" <> 'broken')
$$;
comment on function http_rules("HttpTable", text) is 'Condition that a row meets the rule of a trigger.';

-- Tries all triggers at once. If that fails, each by itself, with its own rule alone: then one broken definition
-- costs the others nothing, and it is known which it was. A failure is noted and never the application's.
create function http_arm(on_table "HttpTable", event text, source text) returns text
    language plpgsql stable set search_path from current as $$
declare
    own constant text := quote_ident(current_schema());
    column_of_rule constant text := case event when 'update' then 'onUpdate' else 'onOther' end;
    rules constant text := http_rules(on_table, event);
    events constant text := http_statement(on_table, event, source, 'events');
    bulk constant text := http_statement(on_table, event, source, 'bulk');
begin
    return format($f$
    -- Most rows are nobody's business: that is found out first, by a small statement.
    one := null;
    tried := case when %10$s then array[one] else '{}' end;
    place := 1;
    while place <= cardinality(tried) loop
        one := tried[place];
        place := place + 1;
        begin
            skipped := '{}';
            if one is null then
                if %1$s then
                    %2$s
                end if;
                %3$s
            else
                select %4$I into rule from %5$s."HttpRule" q
                where q."id" = (select t."ruleId" from %5$s."HttpTrigger" t where t."id" = one);
                rule := coalesce(rule, 'true');
                if %1$s then
                    execute replace(%6$L, '{RULE}', rule) into skipped using one, skipped;
                end if;
                %7$s
            end if;
        exception
            when serialization_failure then
                raise;
            when others then
                if one is null then
                    %8$s
                    tried := tried || coalesce(concerned[:1000], '{}');
                else
                    perform %5$s.http_fault(%9$s, one, sqlstate);
                end if;
        end;
    end loop;$f$,
        format('total > (select h."lowestLimit" from %s."HttpTable" h where h."id" = %s)', own, on_table."id"),
        replace(replace(replace(bulk, 'select coalesce(array_agg(m."destinationId"), ''{}'') from made m',
            'select coalesce(array_agg(m."destinationId"), ''{}'') into skipped from made m'), '{RULE}', rules), '{ONE}', 'one') || ';',
        replace(replace(replace(events, '{RULE}', rules), '{ONE}', 'one'), '{SKIP}', 'skipped') || ';',
        column_of_rule, own, replace(bulk, '{ONE}', '$1'),
        format('execute replace(%L, ''{RULE}'', rule) using one, skipped;', replace(replace(events, '{ONE}', '$1'), '{SKIP}', '$2')),
        replace(http_statement(on_table, event, source, 'concerned'), '{ONE}', 'one') || ';', on_table."id",
        replace(http_statement(on_table, event, source, 'anybody'), '{ONE}', 'one'));
end $$;
comment on function http_arm("HttpTable", text, text) is 'The part of a trigger function that makes events of some rows.';

create function http_write(on_table "HttpTable", event text, body text) returns void
    language plpgsql set search_path from current as $$
begin
    -- Plans are made once and hold for any number of rows: base tables are reached by an index, row by row, rows of a
    -- statement are matched by hash, and that first, as it is written (the cost of all those lookups hides from the
    -- planner what a nested loop over 20,000 times 20,000 rows adds).
    execute format($f$
create or replace function %1$I.%2$I() returns trigger language plpgsql security definer
    set search_path = pg_catalog, %1$I, pg_temp set row_security = off
    set "TimeZone" = 'UTC' set "DateStyle" = 'ISO, YMD' set "IntervalStyle" = 'postgres'
    set extra_float_digits = 1 set bytea_output = 'hex'
    set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_nestloop = off set enable_mergejoin = off
    set enable_bitmapscan = off set jit = off set join_collapse_limit = 1 set from_collapse_limit = 1 as $body$
declare
    tried uuid[];
    concerned uuid[];
    skipped uuid[];
    one uuid;
    rule text;
    place integer;
    total bigint := 1;
begin
    if coalesce(current_setting('tenant_sync.sequencing', true), '') = 'on' then
        return null;
    end if;
    %3$s
    return null;
exception
    -- The server has decided that the application's transaction cannot be serialized, and tells it here.
    when serialization_failure then
        raise;
    when others then
        begin
            perform %1$I.http_fault(%4$s, null, sqlstate);
        exception when others then
            null;
        end;
        return null;
end $body$ $f$, current_schema(), http_function(on_table, event), body, on_table."id");
    execute format('comment on function %I() is %L', http_function(on_table, event), 'tenant-sync: makes events of changes of ' || on_table."name");
    execute format('revoke all on function %I() from public', http_function(on_table, event));
end $$;
comment on function http_write("HttpTable", text, text) is 'Writes a trigger function.';

create function http_heard(on_table "HttpTable") returns text[]
    language sql stable set search_path from current as $$
    select coalesce(array_agg(distinct o order by o), '{}') from "HttpTrigger" t cross join unnest(t."operations") o
    where t."tableId" = on_table."id" and t."state" <> 'broken'
$$;
comment on function http_heard("HttpTable") is 'Operations of a table that somebody listens to.';

create function http_write_all(on_table "HttpTable") returns void
    language plpgsql set search_path from current as $$
declare
    relation oid := on_table."relation";
    of_key text[] := on_table."keyColumns" || on_table."tenantColumn";
    before text := tracking_image(relation, of_key, 'o');
    after text := tracking_image(relation, of_key, 'r');
    heard text[] := http_heard(on_table);
    inserts boolean := 'insert' = any (heard);
    updates boolean := 'update' = any (heard);
    deletes boolean := 'delete' = any (heard);
    counted constant text := $f$perform from %1$s limit 1 offset 1;
    if found then
        select count(*) into total from %1$s;
    end if;$f$;
begin
    perform http_write(on_table, 'insert', case when inserts then
        format(counted, 'new_rows') || http_arm(on_table, 'insert', 'new_rows r') else '' end);
    perform http_write(on_table, 'delete', case when deletes then
        format(counted, 'old_rows') || http_arm(on_table, 'delete', 'old_rows r') else '' end);
    -- A row is another one when its key or tenant changed: a delete there, an insert here.
    perform http_write(on_table, 'update', case when cardinality(heard) > 0 then format(counted, 'new_rows') || format($f$
    if exists (select from old_rows o where (%1$s in (select %2$s from new_rows r)) is not true) then
        %3$s
        %4$s
    end if;
    %5$s$f$, before, after,
        case when deletes then http_arm(on_table, 'delete', format(
            '(select o.* from old_rows o where (%s in (select %s from new_rows r)) is not true) r', before, after)) else '' end,
        case when inserts then http_arm(on_table, 'insert', format(
            '(select r.* from new_rows r where (%s in (select %s from old_rows o)) is not true) r', after, before)) else '' end,
        case when updates then http_arm(on_table, 'update', format('old_rows o join new_rows r on %s = %s', before, after)) else '' end)
        else '' end);
    -- Partitions are truncated with their table, and speak for themselves.
    perform http_write(on_table, 'truncate', case when deletes then format($f$
    execute replace(%1$L, '{TABLE}', tg_relid::regclass::text) into skipped using (
        select coalesce(array_agg(g.tgrelid), '{}') from pg_trigger g where g.tgfoid = %2$L::regproc and g.tgrelid <> tg_relid);$f$,
        replace(replace(http_statement(on_table, 'truncate', '(select r.* from {TABLE} r where r.tableoid <> all ($1)) r', 'bulk'),
                '{RULE}', http_rules(on_table, 'truncate')), '{ONE}', 'null::uuid'),
        format('%I.%I', current_schema(), http_function(on_table, 'truncate'))) else '' end);
end $$;
comment on function http_write_all("HttpTable") is 'Writes the trigger functions of a table.';

-- Plans every statement of the trigger functions once, on no rows.
create function http_try(on_table "HttpTable") returns void
    language plpgsql set search_path from current as $$
declare
    event text;
    source text;
    nothing constant text := format('(select x.* from %s x limit 0)', on_table."relation"::regclass);
begin
    foreach event in array array['insert', 'update', 'delete'] loop
        source := case event when 'update' then nothing || ' o cross join ' || nothing || ' r' else nothing || ' r' end;
        execute 'explain ' || replace(replace(replace(http_statement(on_table, event, source, 'events'),
            '{RULE}', http_rules(on_table, event)), '{ONE}', 'null::uuid'), '{SKIP}', '''{}''::uuid[]');
    end loop;
exception when others then
    raise exception using errcode = 'invalid_parameter_value', message = format(
        'events of %s cannot be made (%s): %s', on_table."name", sqlstate, sqlerrm);
end $$;
comment on function http_try("HttpTable") is 'Fails if events of a table cannot be made.';

-- A function is written anew only if there is something that it does not know.
create function http_refresh(table_id bigint) returns void
    language plpgsql set search_path from current as $$
declare
    on_table "HttpTable";
    digest text;
begin
    update "HttpTable" h set "lowestLimit" = coalesce((select min(t."eventLimit") from "HttpTrigger" t where t."tableId" = h."id"), 10000)
    where h."id" = table_id returning * into on_table;
    digest := md5(concat_ws('|', on_table."event", on_table."data", on_table."tenantColumn", on_table."keyColumns"::text,
                            http_heard(on_table)::text, http_rules(on_table, 'update')));
    if on_table."writtenFrom" is distinct from digest or (select count(*) from http_functions(on_table)) < 4 then
        perform http_write_all(on_table);
        update "HttpTable" set "writtenFrom" = digest where "id" = table_id;
    end if;
end $$;
comment on function http_refresh(bigint) is 'Writes the trigger functions of a table if what they know has changed.';

-- Takes a lock on the table only where a trigger is missing.
create function http_attach(on_table "HttpTable") returns void
    language plpgsql set search_path from current set client_min_messages = warning as $$
declare
    one record;
    event text;
begin
    for one in
        select c.oid::regclass as relation, c.oid as number, c.relkind = 'r' or c.oid = on_table."relation" as has_truncate
        from pg_class c where c.oid = on_table."relation" or c.oid = any (tracking_partitions(on_table."relation")) and c.relkind in ('r', 'p')
    loop
        foreach event in array array['insert', 'update', 'delete', 'truncate'] loop
            continue when event = 'truncate' and not one.has_truncate
                or exists (select from pg_trigger g where g.tgrelid = one.number
                           and g.tgfoid = to_regprocedure(format('%I.%I()', current_schema(), http_function(on_table, event))));
            execute format(case event
                when 'truncate' then 'create trigger %I before truncate on %s for each statement execute function %I()'
                when 'insert' then 'create trigger %I after insert on %s referencing new table as new_rows for each statement execute function %I()'
                when 'update' then 'create trigger %I after update on %s referencing old table as old_rows new table as new_rows for each statement execute function %I()'
                else 'create trigger %I after delete on %s referencing old table as old_rows for each statement execute function %I()' end,
                tracking_trigger('http_' || event), one.relation, http_function(on_table, event));
        end loop;
    end loop;
end $$;
comment on function http_attach("HttpTable") is 'Creates the triggers of a table, and of its partitions, that are missing.';

create function http_forget(table_id bigint) returns void
    language plpgsql set search_path from current set client_min_messages = warning as $$
declare
    on_table "HttpTable";
    one regprocedure;
begin
    select * into on_table from "HttpTable" where "id" = table_id;
    -- The triggers go with their functions, and need no owner of the table.
    for one in select http_functions(on_table) loop
        execute format('drop function %s cascade', one);
    end loop;
    delete from "HttpTable" where "id" = table_id;
end $$;
comment on function http_forget(bigint) is 'Takes back what was made for a table that has no trigger any more.';
