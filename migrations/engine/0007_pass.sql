-- One pass of the sequencer. The statements over all sequenced relations are generated once, when a
-- relation or dependency is registered, so that a pass has no text to build and no plan to make.

-- Plans are made once and for tables of any later size: from the indexes named in the migrations.
-- (A plan cached while a table was empty would read all of it for ever.) Base tables are reached only by
-- LATERAL … OFFSET 0, which nothing can turn into a scan of the whole, and CTEs among themselves by
-- "(x in (…)) is true", which is always a hashed lookup: as a join, estimated for few rows, it became a nested
-- loop over 5,000 times 5,000 and took 0.9 s a pass instead of 0.2 s.
create function build_sequencer() returns void
    language plpgsql set search_path from current as $build$
declare
    settings constant text := format('language plpgsql set search_path from current
        set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_mergejoin = off
        set enable_bitmapscan = off set jit = off');
    rel record;
    dep record;
    pending text := '';        -- exists(…) or exists(…): is anything pending?
    found text := '';          -- who has something pending from a position on, and since which transaction
    leftover text := '';       -- lowest pending transaction of a tenancy
    picked text := '';         -- ctes: rows of each relation, locked and visible
    ranked text := '';
    taken text := '';
    touched text := '';        -- ctes: dependents of what was taken
    touched_names jsonb := '{}';
    held text := '';
    blocked jsonb := '{}';
    updates text := '';
    results text := '';
    key_list text;
    key_json text;
    conditions text;
    part text;
    separator text := '';
begin
    for rel in select * from "SequencedRelation" order by "ordinal" loop
        select string_agg(format('r.%I', c), ', ') filter (where c <> 'tenancyId'),
               string_agg(format('%L, r.%I', c, c), ', ')
          into key_list, key_json from unnest(rel."keyColumns") c;
        if rel."relation" in ('DeletedRow', 'ChangedRow') then
            key_list := 'r."id", r."tableName", r."primaryKey"';
        end if;

        pending := pending || separator || format(
            'exists (select from %1$I r where r."shouldUpdateSequenceId" and r."changedBy" is distinct from ''0''
                     and r."changedBy" >= from_xid)
             or exists (select from %1$I r where r."shouldUpdateSequenceId" and r."changedBy" is distinct from ''0''
                        and r."changedBy" = any (revisit))',
            rel."relation");
        found := found || format($$
    -- %1$s
    for hit in
        with fresh as materialized (
            (select r."changedBy" as x, r."tenancyId" as t from %1$I r
             where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '0'
               and r."changedBy" = any (revisit))
            union all
            (select r."changedBy", r."tenancyId" from %1$I r
             where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '0'
               and r."changedBy" >= from_xid
             order by r."changedBy", r."tenancyId" limit scan_limit))
        select f.t, (array_agg(f.x order by f.x))[1] as x, count(*) as n from fresh f group by f.t
    loop
        seen := seen + hit.n;
        tenancies := tenancies || hit.t;
        xids := xids || hit.x;
    end loop;
    if seen >= scan_limit then
        -- More than one look can take: hop from tenancy to tenancy, however many rows and transactions each has.
        select r."tenancyId" into at_t from %1$I r
        where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '2' order by r."tenancyId" limit 1;
        while at_t is not null loop
            select r."changedBy" into at_x from %1$I r
            where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '2'
              and r."tenancyId" = at_t and r."changedBy" >= from_xid
            order by r."changedBy" limit 1;
            if found then
                tenancies := tenancies || at_t;
                xids := xids || at_x;
            end if;
            select r."tenancyId" into at_t from %1$I r
            where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '2'
              and r."tenancyId" > at_t order by r."tenancyId" limit 1;
        end loop;
    end if;
    seen := 0;$$, rel."relation");
        leftover := leftover || separator || format(
            '(select r."changedBy" as x from %1$I r where r."tenancyId" = t.tenancy and r."shouldUpdateSequenceId"
              and r."changedBy" is distinct from ''2'' and r."changedBy" >= t.from_xid order by r."changedBy" limit 1)', rel."relation");

        -- Locked without waiting, and only rows whose locked version is the one that this statement sees:
        -- a row that was changed in between comes with its newer transaction, whole, in a later pass.
        picked := picked || format($$
    picked_%1$s as materialized (
        select p.* from served t cross join lateral (
            select r.ctid as at, r."changedBy", r."tenancyId", %2$s from %3$I r
            where r."tenancyId" = t.tenancy and r."shouldUpdateSequenceId" and r."changedBy" is distinct from '2'
              and r."changedBy" >= t.from_xid
              and not exists (select from "ParkedRow" k where k."relation" = %3$L and k."tenancyId" = r."tenancyId"
                              and k."retryAt" > now() and k."primaryKey" = jsonb_build_object(%4$s))
            order by r."changedBy" limit share for no key update of r skip locked) p
        cross join lateral (select from %3$I v where v.ctid = p.at offset 0) seen),$$,
            rel."ordinal", key_list, rel."relation", key_json);
        ranked := ranked || case when ranked = '' then '' else ' union all ' end ||
            format('select %1$s as rel, at, "changedBy", "tenancyId" from picked_%1$s', rel."ordinal");
        taken := taken || format($$
    taken_%1$s as materialized (
        select p.* from picked_%1$s p
        where (p.at in (select q.at from ranked q where q.rel = %1$s and q.place <= share)) is true),$$,
            rel."ordinal");
        separator := case when separator = '' then ' or ' else separator end;
    end loop;
    leftover := replace(leftover, ' or (select', ' union all (select');

    for dep in select d.*, c."ordinal" as changed_ordinal, t."ordinal" as dependent_ordinal
               from "SequencedDependency" d
               join "SequencedRelation" c on c."relation" = d."changed"
               join "SequencedRelation" t on t."relation" = d."dependent" loop
        select string_agg(format('d.%I = c.%I', b, a), ' and ') into conditions
        from unnest(dep."changedColumns", dep."dependentColumns") as x (a, b);
        touched := touched || format($$
    touched_%1$s_%2$s as materialized (
        select c.at as by_at, d.at from taken_%1$s c cross join lateral (
            select d.ctid as at from %3$I d where %4$s and d."tenancyId" = c."tenancyId" offset 0) d),$$,
            dep.changed_ordinal, dep.dependent_ordinal, dep."dependent", conditions);
        touched_names := jsonb_set(touched_names, array[dep.dependent_ordinal::text],
            coalesce(touched_names -> dep.dependent_ordinal::text, '[]')
            || to_jsonb(format('touched_%s_%s', dep.changed_ordinal, dep.dependent_ordinal)));
        blocked := jsonb_set(blocked, array[dep.changed_ordinal::text],
            coalesce(blocked -> dep.changed_ordinal::text, '[]')
            || jsonb_build_array(jsonb_build_array(
                   format('touched_%s_%s', dep.changed_ordinal, dep.dependent_ordinal), dep.dependent_ordinal)));
        -- The same for a tombstone of the changed relation.
        for rel in select * from "SequencedRelation" where "relation" in ('DeletedRow', 'ChangedRow') loop
            select string_agg(format('d.%I = (c."primaryKey" ->> %L)::%s', b, a, format_type(att.atttypid, att.atttypmod)), ' and ')
              into conditions
            from unnest(dep."changedColumns", dep."dependentColumns") as x (a, b)
            join pg_attribute att on att.attrelid = format('%I', dep."dependent")::regclass and att.attname = b;
            part := format('touched_%s_%s_%s', rel."ordinal", dep.changed_ordinal, dep.dependent_ordinal);
            touched := touched || format($$
    %1$s as materialized (
        select c.at as by_at, d.at from taken_%2$s c cross join lateral (
            select d.ctid as at from %3$I d where %4$s and d."tenancyId" = c."tenancyId" offset 0) d
        where c."tableName" = %5$L),$$, part, rel."ordinal", dep."dependent", conditions, dep."changed");
            touched_names := jsonb_set(touched_names, array[dep.dependent_ordinal::text],
                (touched_names -> dep.dependent_ordinal::text) || to_jsonb(part));
            blocked := jsonb_set(blocked, array[rel."ordinal"::text],
                coalesce(blocked -> rel."ordinal"::text, '[]')
                || jsonb_build_array(jsonb_build_array(part, dep.dependent_ordinal)));
        end loop;
    end loop;

    for rel in select * from "SequencedRelation" order by "ordinal" loop
        if touched_names ? rel."ordinal"::text then
            select string_agg(format('select at from %s', n), ' union ') into part
            from jsonb_array_elements_text(touched_names -> rel."ordinal"::text) n;
            select string_agg(format('%L, r.%I', c, c), ', ') into key_json from unnest(rel."keyColumns") c;
            held := held || format($$
    ready_%1$s as materialized (
        select at from picked_%1$s
        union all
        select h.at from (%2$s except select at from picked_%1$s) w cross join lateral (
            select r.ctid as at from %3$I r
            where r.ctid = w.at
              and not exists (select from "ParkedRow" k where k."relation" = %3$L and k."tenancyId" = r."tenancyId"
                              and k."retryAt" > now() and k."primaryKey" = jsonb_build_object(%4$s))
            for no key update of r skip locked) h
        where h.at = w.at),$$, rel."ordinal", part, rel."relation", key_json);
        end if;
    end loop;

    for rel in select * from "SequencedRelation" order by "ordinal" loop
        part := format('select at from taken_%s', rel."ordinal");
        -- What depends on a taken row must get its id in this pass, or both wait.
        if blocked ? rel."ordinal"::text then
            select part || ' where ' || string_agg(format(
                       'at not in (select x.by_at from %s x where x.at not in (select at from ready_%s))',
                       b ->> 0, b ->> 1), ' and ')
              into part from jsonb_array_elements(blocked -> rel."ordinal"::text) b;
        end if;
        if touched_names ? rel."ordinal"::text then
            select part || string_agg(format(' union select x.at from %s x where (x.at in (select at from ready_%s)) is true',
                                             n, rel."ordinal"), '')
              into part from jsonb_array_elements_text(touched_names -> rel."ordinal"::text) n;
        end if;
        updates := updates || format($$
    given_%1$s as (
        update %2$I r set "sequenceId" = nextval('global_seq_id'), "shouldUpdateSequenceId" = false
        where r.ctid = any (array(%3$s)) returning r."tenancyId", r."sequenceId"),$$,
            rel."ordinal", rel."relation", part);
        results := results || case when results = '' then '' else ' union all ' end
            || format('select "tenancyId", "sequenceId" from given_%s', rel."ordinal");
    end loop;

    execute format($fn$
create or replace function sequencer_has_pending(from_xid xid8, revisit xid8[]) returns boolean
    stable %s as $body$
begin
    return %s;
end $body$ $fn$, settings, pending);

    execute format($fn$
create or replace function sequencer_find(from_xid xid8, revisit xid8[], scan_limit integer,
    out tenancies uuid[], out xids xid8[])
    %s as $body$
declare
    hit record;
    at_x xid8;
    at_t uuid;
    seen bigint := 0;
begin
    tenancies := '{}'; xids := '{}';
    %s
end $body$ $fn$, settings, found);

    execute format($fn$
create or replace function sequencer_leftover(tenancies uuid[], from_xids xid8[])
    returns table (tenancy uuid, from_xid xid8) stable %s as $body$
begin
    return query
    select t.tenancy, l.x from unnest(tenancies, from_xids) as t (tenancy, from_xid)
    cross join lateral (select p.x from (%s) p order by p.x limit 1) l
    where l.x is not null;
end $body$ $fn$, settings, leftover);

    execute format($fn$
create or replace function sequencer_give(tenancies uuid[], from_xids xid8[], share integer,
    out rows_given bigint, out last_id bigint, out targets_asked bigint)
    %1$s as $body$
begin
    with
    wanted as materialized (select t.tenancy, t.from_xid from unnest(tenancies, from_xids) as t (tenancy, from_xid)),
    -- A request that already waits is locked before anything gets an id: else a worker could take it up and
    -- finish before the ids are visible, and nobody would ask again. Held by somebody: not this tenant now.
    requests as materialized (
        select q.id, q."tenancyId" from wanted t cross join lateral (
            select r."id", r."tenancyId" from "OutgoingRequest" r
            where r."kind" = 'sync' and r."tenancyId" = t.tenancy offset 0) q),
    locked as materialized (
        select l.id from (select q.id from requests q order by q.id) q cross join lateral (
            select r."id" from "OutgoingRequest" r where r."id" = q.id for no key update of r skip locked) l),
    served as materialized (
        select t.tenancy, t.from_xid from wanted t
        where t.tenancy not in (select q."tenancyId" from requests q where q.id not in (select l.id from locked l))),
    %2$s
    ranked as materialized (
        select p.rel, p.at, row_number() over (partition by p."tenancyId" order by p."changedBy") as place
        from (%3$s) p),
    %4$s %5$s %6$s %7$s
    given as materialized (%8$s),
    asked as (
        insert into "OutgoingRequest" ("kind", "deduplicationKey", "tenancyId", "databaseId", "dueAt")
        select 'sync', 'sync:' || d."tenancyId" || ':' || d."id", d."tenancyId", d."id", clock_timestamp()
        from (select distinct g."tenancyId" from given g) g
        cross join lateral (select e."tenancyId", e."id" from "ExternalDatabase" e
                            where e."tenancyId" = g."tenancyId" and e."state" <> 'paused' offset 0) d
        order by 2
        on conflict ("deduplicationKey") where "kind" = 'sync'
            do update set "counter" = "OutgoingRequest"."counter" + 1
        returning 1)
    select (select count(*) from given), (select max(g."sequenceId") from given g), (select count(*) from asked)
      into rows_given, last_id, targets_asked;
end $body$ $fn$, settings, picked, ranked, taken, touched, held, updates, results);
end $build$;
comment on function build_sequencer() is 'Writes the functions of a pass from the registered relations and dependencies.';
select build_sequencer();

-- Gives a row an id and takes it back; parks the row if it refuses.
create function sequencer_try(relation_name text, tenancy uuid, key jsonb, at tid) returns boolean
    language plpgsql set search_path from current as $$
begin
    execute format('update %I set "sequenceId" = nextval(''global_seq_id'') where ctid = $1', relation_name) using at;
    raise exception using errcode = 'TS001', message = 'taken back';
exception
    when sqlstate 'TS001' then
        return true;
    when others then
        insert into "ParkedRow" as p ("relation", "tenancyId", "primaryKey", "sqlState", "retryAt")
        values (relation_name, tenancy, key, sqlstate, now() + interval '10 seconds')
        on conflict ("relation", "tenancyId", "primaryKey") do update set
            "attempts" = p."attempts" + 1, "sqlState" = excluded."sqlState",
            "retryAt" = now() + least(interval '1 hour', interval '10 seconds' * power(2, least(p."attempts", 12)));
        return false;
end $$;
comment on function sequencer_try(text, uuid, jsonb, tid) is 'Whether a row takes an id; if not, it is parked.';

-- Finds the rows of a tenancy that refuse an id by trying each by itself: what is flagged, and what depends on it.
create function sequencer_park(tenancy uuid, tries integer) returns bigint
    language plpgsql set search_path from current as $$
declare
    rel record;
    candidates text;
    key_json text;
    refused bigint;
    parked bigint := 0;
begin
    for rel in select * from "SequencedRelation" order by "ordinal" loop
        select string_agg(format('%L, r.%I', c, c), ', ') into key_json from unnest(rel."keyColumns") c;
        select string_agg(arm, ' union ') into candidates from (
            select format('(select k.ctid as at from %I k where k."tenancyId" = $1 and k."shouldUpdateSequenceId"
                            and k."changedBy" is distinct from ''2'' order by k."changedBy" limit $2)', rel."relation")
            union all
            select format('(select d.ctid from %I c join %I d on d."tenancyId" = c."tenancyId" and %s
                            where c."tenancyId" = $1 and c."shouldUpdateSequenceId"
                              and c."changedBy" is distinct from ''2'' limit $2)',
                          dep."changed", rel."relation",
                          (select string_agg(format('d.%I = c.%I', b, a), ' and ')
                           from unnest(dep."changedColumns", dep."dependentColumns") as x (a, b)))
            from "SequencedDependency" dep where dep."dependent" = rel."relation"
            union all
            select format('(select d.ctid from %I c join %I d on d."tenancyId" = c."tenancyId" and %s
                            where c."tenancyId" = $1 and c."shouldUpdateSequenceId"
                              and c."changedBy" is distinct from ''2'' and c."tableName" = %L limit $2)',
                          pointer, rel."relation",
                          (select string_agg(format('d.%I = (c."primaryKey" ->> %L)::%s', b, a,
                                                    format_type(att.atttypid, att.atttypmod)), ' and ')
                           from unnest(dep."changedColumns", dep."dependentColumns") as x (a, b)
                           join pg_attribute att on att.attrelid = format('%I', rel."relation")::regclass and att.attname = b),
                          dep."changed")
            from "SequencedDependency" dep, unnest(array['DeletedRow', 'ChangedRow']) as pointer
            where dep."dependent" = rel."relation") as arms (arm);
        execute format(
            'select count(*) from (
                 select r.ctid as at, jsonb_build_object(%s) as key from %I r where r.ctid in (%s)
                 for no key update skip locked) q
             where not sequencer_try(%L, $1, q.key, q.at)', key_json, rel."relation", candidates, rel."relation")
            into refused using tenancy, tries;
        parked := parked + refused;
    end loop;
    return parked;
end $$;
comment on function sequencer_park(uuid, integer) is 'Parks the rows of a tenancy that refuse an id; returns how many.';

create function backfill_null_sequence_ids(batch_limit integer,
    out outcome text, out rows_given bigint, out tenancies bigint, out targets_asked bigint, out parked bigint,
    out last_sequence_id bigint, out more boolean)
    language plpgsql set search_path from current as $$
declare
    before "SequencerPass";
    epoch "SourceEpoch";
    snapshot pg_snapshot;
    found record;
    todo uuid[];
    todo_from xid8[];
    full_scan boolean;
    share integer;
    one record;
    given_rows bigint;
    given_id bigint;
    asked bigint;
    backlog boolean;
    added bigint;
begin
    rows_given := 0; tenancies := 0; targets_asked := 0; parked := 0; more := false;
    -- One allocation at a time, until commit; whoever comes second stands by.
    if not pg_try_advisory_xact_lock(1952805748, hashtext(current_schema())) then
        outcome := 'standby';
        return;
    end if;
    select * into before from "SequencerPass" order by "pass" desc limit 1;
    select * into epoch from "SourceEpoch" order by "number" desc limit 1;
    last_sequence_id := coalesce(before."lastSequenceId", 0);

    perform set_config('synchronous_commit', 'on', true)
        where current_setting('synchronous_commit') in ('off', 'local');
    perform set_config('lock_timeout', '200ms', true), set_config('tenant_sync.sequencing', 'on', true);

    if epoch is null or epoch."postmasterStartedAt" <> pg_postmaster_start_time() then
        perform setval('global_seq_id', last_sequence_id) from global_seq_id s
            where last_sequence_id > 0 and s.last_value < last_sequence_id;
        -- A copy made by logical replication has the rows and not the sequence.
        perform setval('changed_row_seq', n.last) from changed_row_seq s, (
            select ('x' || right(replace(c."id"::text, '-', ''), 16))::bit(64)::bigint as last
            from "ChangedRow" c order by c."id" desc limit 1) n
            where s.last_value < n.last;
        insert into "SourceEpoch" ("firstSequenceId", "reason")
        values (last_sequence_id + 1, case when epoch is null then 'first start' else 'the server was started' end);
    end if;

    -- Ahead of us only after a restore into another cluster: then, and once a minute for safety, look at all.
    full_scan := before is null or before."fromXid" > pg_snapshot_xmax(pg_current_snapshot())
        or before."scannedFullyAt" < clock_timestamp() - interval '1 minute';
    if full_scan then
        before."fromXid" := '0'; before."revisit" := '{}';
    end if;
    backlog := full_scan or before."backlog";

    if not sequencer_has_pending(before."fromXid", before."revisit")
       and not (backlog and exists (
           select from "SequencerBacklog" b where b."notBefore" is null or b."notBefore" <= now()))
       and not full_scan
       and pg_snapshot_xmax(pg_current_snapshot())::text::numeric - before."fromXid"::text::numeric < 10000
    then
        outcome := 'empty';
        return;
    end if;

    select pg_current_snapshot() as snapshot, f.* into found
    from sequencer_find(before."fromXid", before."revisit", batch_limit) f;
    snapshot := found.snapshot;
    -- What is found is looked at after this snapshot was taken: at least all that it shows is found.
    with waiting as materialized (
        select b."tenancyId" as t, b."fromXid" as x, b."servedPass" as served, b."notBefore" > now() as later
        from "SequencerBacklog" b where backlog)
    select array_agg(b.t order by b.served, b.x), array_agg(b.x order by b.served, b.x) into todo, todo_from
    from (select c.t, (array_agg(c.x order by c.x))[1] as x, max(c.served) as served
          from (select u.t, u.x, 0 as served from unnest(found.tenancies, found.xids) as u (t, x)
                where u.t not in (select w.t from waiting w where w.later)
                union all
                select w.t, w.x, w.served from waiting w where w.later is not true) c
          group by c.t) b;
    tenancies := coalesce(cardinality(todo), 0);

    if tenancies > 0 then
        -- Every tenant gets a share before any gets a second; those beyond the batch come first next time.
        share := greatest(1, batch_limit / tenancies);
        begin
            select g.rows_given, g.last_id, g.targets_asked into rows_given, given_id, targets_asked
            from sequencer_give(todo[1:batch_limit], todo_from[1:batch_limit], share) g;
            last_sequence_id := greatest(last_sequence_id, given_id);
        exception when others then
            -- Somebody's row refuses: tenant by tenant, and where a tenant refuses, row by row.
            for one in select u.t, u.x from unnest(todo[1:batch_limit], todo_from[1:batch_limit]) as u (t, x) loop
                given_rows := 0; given_id := 0; asked := 0;
                begin
                    select g.rows_given, g.last_id, g.targets_asked into given_rows, given_id, asked
                    from sequencer_give(array[one.t], array[one.x], share) g;
                exception when others then
                    begin
                        parked := parked + sequencer_park(one.t, share);
                        select g.rows_given, g.last_id, g.targets_asked into given_rows, given_id, asked
                        from sequencer_give(array[one.t], array[one.x], share) g;
                    exception when others then
                        insert into "SequencerBacklog" as b ("tenancyId", "fromXid", "failures", "notBefore", "lastError")
                        values (one.t, one.x, 1, now() + interval '1 second', sqlstate)
                        on conflict ("tenancyId") do update set "failures" = b."failures" + 1, "lastError" = sqlstate,
                            "notBefore" = now() + least(interval '1 minute', interval '1 second' * power(2, least(b."failures", 6)));
                        backlog := true;
                    end;
                end;
                rows_given := rows_given + given_rows;
                targets_asked := targets_asked + asked;
                last_sequence_id := greatest(last_sequence_id, given_id);
            end loop;
        end;

        -- What is left of them is remembered, and who did not have a turn; who is through is forgotten.
        insert into "SequencerBacklog" as b ("tenancyId", "fromXid", "servedPass")
        select l.tenancy, l.from_xid, coalesce(before."pass", 0) + 1
        from sequencer_leftover(todo[1:batch_limit], todo_from[1:batch_limit]) l
        union all
        select u.t, u.x, 0 from unnest(todo[batch_limit + 1:], todo_from[batch_limit + 1:]) as u (t, x)
        where not exists (select from "SequencerBacklog" k where k."tenancyId" = u.t and k."fromXid" <= u.x)
        on conflict ("tenancyId") do update set "fromXid" = excluded."fromXid",
            "servedPass" = greatest(b."servedPass", excluded."servedPass");
        get diagnostics added = row_count;
        backlog := backlog or added > 0;
        if backlog then
            delete from "SequencerBacklog" b
            where b."tenancyId" = any (todo[1:batch_limit]) and b."servedPass" <= coalesce(before."pass", 0);
        end if;
        delete from "ParkedRow" k where k."retryAt" < now() - interval '1 day';
    end if;

    insert into "SequencerPass" ("pass", "lastSequenceId", "fromXid", "revisit", "scannedFullyAt", "rows", "backlog")
    values (coalesce(before."pass", 0) + 1, last_sequence_id,
            pg_snapshot_xmax(snapshot), array(select pg_snapshot_xip(snapshot)),
            case when full_scan then clock_timestamp() else before."scannedFullyAt" end,
            rows_given, backlog and exists (select from "SequencerBacklog"));
    delete from "SequencerPass" p
    where p."pass" in (select o."pass" from "SequencerPass" o
                       where o."pass" < coalesce(before."pass", 0) - 10000 order by o."pass" limit 100);
    if targets_asked > 0 then
        perform pg_notify('tenant_sync_due', current_schema());
    end if;
    more := rows_given > 0 and backlog and exists (
        select from "SequencerBacklog" b where b."notBefore" is null or b."notBefore" <= now());
    outcome := 'done';
end $$;
comment on function backfill_null_sequence_ids(integer) is 'One pass of the sequencer: ids in fair shares, requests for the tenants'' targets; says what it did. The only thing that the sequencer calls.';

-- From which transaction on a tenancy may have changes without an id, as far as this snapshot shows.
create function tail_start(tenancy uuid) returns xid8
    language sql stable set search_path from current as $$
    select case
        when p."fromXid" is null or p."fromXid" > pg_snapshot_xmax(pg_current_snapshot()) then '0'::xid8
        else least(p."fromXid", (select x from unnest(p."revisit") x order by x limit 1),
                   (select b."fromXid" from "SequencerBacklog" b where b."tenancyId" = tenancy))
    end
    from (select 1) one left join lateral (
        select s."fromXid", s."revisit" from "SequencerPass" s order by s."pass" desc limit 1) p on true
$$;
comment on function tail_start(uuid) is 'Lower bound for the transactions of a tenancy''s flagged rows in this snapshot.';

-- A target shows a watermark that this database has never given: the database has stepped back.
create function note_source_rewound(watermark bigint) returns boolean
    language plpgsql set search_path from current as $$
declare
    newest "SequencerPass";
begin
    perform set_config('lock_timeout', '10s', true);
    perform pg_advisory_xact_lock(1952805748, hashtext(current_schema()));
    select * into newest from "SequencerPass" order by "pass" desc limit 1;
    if newest is null or watermark <= newest."lastSequenceId" then
        return false;
    end if;
    -- A watermark is a stranger's input: a jump that no loss could explain is not made, the target is mended only.
    if watermark - newest."lastSequenceId" > 1000000000 then
        return false;
    end if;
    insert into "SourceEpoch" ("firstSequenceId", "reason")
    values (newest."lastSequenceId" + 1, 'a target was ahead of this database');
    perform setval('global_seq_id', greatest(watermark, (select last_value from global_seq_id)));
    insert into "SequencerPass" ("pass", "lastSequenceId", "fromXid", "revisit", "scannedFullyAt", "backlog")
    values (newest."pass" + 1, watermark, newest."fromXid", newest."revisit", newest."scannedFullyAt", newest."backlog");
    return true;
end $$;
comment on function note_source_rewound(bigint) is 'Begins a new epoch and lets the sequence jump past a watermark from a lost future; false if there is nothing to note.';
