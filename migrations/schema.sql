-- What the migrations make of an empty database. Written by `deploy/check-schema --write`; for readers only.

CREATE FUNCTION public.activity_to_fold() RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $_$
    select exists (
        select from "ActivityFold" f where f."source" in ('Event', 'ProjectUser') and (f."phase" <> 'feed' or f."until" is not null
            or pg_snapshot_xmax(f."seen") > pg_snapshot_xmax(pg_current_snapshot())))
    or exists (
        select from "ActivityFold" f
        join lateral (select from "Event" e where '$user-activity' = any (e."systemEventTypeIds")
                      and e."changedBy" >= pg_snapshot_xmin(f."seen") and not pg_visible_in_snapshot(e."changedBy", f."seen")
                      order by e."changedBy", e."id" limit 1) e on true
        where f."source" = 'Event')
    or exists (
        select from "ActivityFold" f
        join lateral (select from "UserFeed" u where u."changedBy" >= pg_snapshot_xmin(f."seen")
                      and not pg_visible_in_snapshot(u."changedBy", f."seen")
                      order by u."changedBy", u."id" limit 1) u on true
        where f."source" = 'ProjectUser')
$_$;

CREATE FUNCTION public.backfill_null_sequence_ids(batch_limit integer, OUT outcome text, OUT rows_given bigint, OUT tenancies bigint, OUT targets_asked bigint, OUT parked bigint, OUT last_sequence_id bigint, OUT more boolean) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION public.backfill_null_sequence_ids(batch_limit integer, OUT outcome text, OUT rows_given bigint, OUT tenancies bigint, OUT targets_asked bigint, OUT parked bigint, OUT last_sequence_id bigint, OUT more boolean) IS 'One pass of the sequencer: ids in fair shares, requests for the tenants'' targets; says what it did. The only thing that the sequencer calls.';

CREATE TABLE public."ActivityFold" (
    source text NOT NULL,
    phase text DEFAULT 'older'::text NOT NULL,
    seen pg_snapshot DEFAULT pg_current_snapshot() NOT NULL,
    until pg_snapshot,
    "afterXid" xid8,
    "afterTenancyId" uuid,
    "afterId" uuid,
    "afterPlace" bigint,
    at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT "the phase is a known one" CHECK ((phase = ANY (ARRAY['all'::text, 'older'::text, 'feed'::text]))),
    CONSTRAINT "the source is a known one" CHECK ((source = ANY (ARRAY['Event'::text, 'ProjectUser'::text, 'UserActivity'::text])))
);

COMMENT ON TABLE public."ActivityFold" IS 'How far each source is folded. The row of "UserActivity" is where the look for rows without a user has come to.';

COMMENT ON COLUMN public."ActivityFold".phase IS 'older: rows from before the column; feed: what becomes visible; all: everything once more, after the numbers of transactions stepped back.';

COMMENT ON COLUMN public."ActivityFold".seen IS 'Whatever this snapshot shows is folded.';

COMMENT ON COLUMN public."ActivityFold".until IS 'The snapshot that is being folded, in batches; everything up to "after…" is.';

COMMENT ON COLUMN public."ActivityFold".at IS 'When it was last gone on with; a console that is up looks for rows without a user all the time.';

CREATE FUNCTION public.begin_fold(fold_source text) RETURNS public."ActivityFold"
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET lock_timeout TO '2s'
    AS $$
declare
    state "ActivityFold";
begin
    perform pg_advisory_xact_lock(1952805749, hashtext(current_schema()));
    select f.* into strict state from "ActivityFold" f where f."source" = fold_source;
    if pg_snapshot_xmax(state."seen") > pg_snapshot_xmax(pg_current_snapshot()) then
        -- Restored into a server that has given fewer numbers: the recorded ones mean nothing there.
        state."phase" := 'all';
        state."seen" := pg_current_snapshot();
        state."afterPlace" := null;
        state."afterXid" := null;
        state."afterId" := null;
        state."afterTenancyId" := null;
        state."until" := null;
        if fold_source = 'ProjectUser' then
            -- Whatever the feed shows by now is in the table that is about to be walked.
            state."phase" := 'older';
            delete from "UserFeed";
        end if;
    end if;
    if state."phase" = 'feed' and state."until" is null then
        state."until" := pg_current_snapshot();
    end if;
    return state;
end $$;

CREATE FUNCTION public.build_sequencer() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $_$
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
            do update set "counter" = "OutgoingRequest"."counter" + 1, "traceparent" = excluded."traceparent"
        returning 1)
    select (select count(*) from given), (select max(g."sequenceId") from given g), (select count(*) from asked)
      into rows_given, last_id, targets_asked;
end $body$ $fn$, settings, picked, ranked, taken, touched, held, updates, results);
end $_$;

COMMENT ON FUNCTION public.build_sequencer() IS 'Writes the functions of a pass from the registered relations and dependencies.';

CREATE FUNCTION public.default_tenant_key() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    new."tenantKey" := coalesce(new."tenantKey", new."id"::text);
    return new;
end $$;

CREATE FUNCTION public.end_delivery(delivery uuid, held_claim bigint, known_counter bigint, destination uuid) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
    delete from "OutgoingRequest" r
    where r."id" = delivery and r."claim" = held_claim and r."runningSince" is not null and r."counter" = known_counter
      and not exists (select from "OutgoingRequest" w
                      where w."kind" = 'http' and w."state" = 'pending' and w."destinationId" = destination);
    return found;
end $$;

COMMENT ON FUNCTION public.end_delivery(delivery uuid, held_claim bigint, known_counter bigint, destination uuid) IS 'Ends a turn if nothing of the destination waits and nobody asked meanwhile: its delivery row is gone.';

CREATE FUNCTION public.end_fold(state public."ActivityFold", full_batch boolean, last_xid xid8, last_tenancy uuid, last_id uuid, last_place bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    if full_batch then
        state."afterXid" := last_xid;
        state."afterTenancyId" := last_tenancy;
        state."afterId" := last_id;
        state."afterPlace" := last_place;
    else
        if state."phase" = 'feed' then
            state."seen" := state."until";
            state."until" := null;
        end if;
        state."phase" := case state."phase" when 'all' then 'older' else 'feed' end;
        state."afterXid" := null;
        state."afterTenancyId" := null;
        state."afterId" := null;
        state."afterPlace" := null;
    end if;
    update "ActivityFold" f
    set "phase" = state."phase", "seen" = state."seen", "until" = state."until", "afterXid" = state."afterXid",
        "afterTenancyId" = state."afterTenancyId", "afterId" = state."afterId",
        "afterPlace" = state."afterPlace", "at" = now()
    where f."source" = state."source";
end $$;

CREATE FUNCTION public.enqueue_http_request(url text, method text, headers jsonb, body jsonb, deduplication_key text DEFAULT NULL::text, options jsonb DEFAULT '{}'::jsonb) RETURNS uuid
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $_$
    select enqueue_http_request($1, $2, $3, $4::text, $5, $6)
$_$;

COMMENT ON FUNCTION public.enqueue_http_request(url text, method text, headers jsonb, body jsonb, deduplication_key text, options jsonb) IS 'As the other one, with a body of JSON.';

CREATE FUNCTION public.enqueue_http_request(url text, method text DEFAULT 'POST'::text, headers jsonb DEFAULT '{}'::jsonb, body text DEFAULT NULL::text, deduplication_key text DEFAULT NULL::text, options jsonb DEFAULT '{}'::jsonb) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO, YMD'
    AS $_$
#variable_conflict use_column
declare
    verb constant text := upper(coalesce($2, 'POST'));
    wishes constant jsonb := coalesce($6, '{}');
    body_limit constant integer := (select s."maxBodyBytes" from "HttpSettings" s);
    problem text;
    origin text;
    destination uuid;
    request uuid;
    due timestamptz;
begin
    problem := coalesce(
        http_url_problem($1),
        case when verb not in ('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE')
             then format('the method is %s; it can be GET, HEAD, POST, PUT, PATCH or DELETE', to_json(left($2, 40)))
             when verb in ('GET', 'HEAD') and $4 is not null then format('a %s request has no body', verb)
             when octet_length($4) > body_limit
             then format('the body has %s bytes, and may have %s (requests.max_body_bytes)', octet_length($4), body_limit)
             when char_length($5) not between 1 and 200 then 'the deduplication key has not 1 to 200 characters' end,
        http_headers_problem($3),
        http_request_options_problem(wishes));
    if problem is not null then
        raise exception using errcode = 'invalid_parameter_value', message = 'enqueue_http_request: ' || problem;
    end if;
    origin := http_origin($1);
    destination := http_origin_id(origin);
    due := greatest(now(), coalesce((wishes ->> 'not_before')::timestamptz, now()));
    -- While a request with this key waits, another is the same one. It may leave just now: then this one goes, too.
    for attempt in 1 .. 10 loop
        insert into "OutgoingRequest" ("kind", "destinationId", "position", "deduplicationKey", "tenancyId", "dueAt", "method",
                                       "url", "headers", "body", "orderKey", "timeoutMillis")
        values ('http', destination, nextval('outgoing_request_seq'), $5, (wishes ->> 'tenancy_id')::uuid, due, verb,
                $1, nullif($3, '{}'), $4, wishes ->> 'order_key', (wishes ->> 'timeout_ms')::integer)
        on conflict ("destinationId", "deduplicationKey")
            where "kind" = 'http' and "state" = 'pending' and "deduplicationKey" is not null do nothing
        returning "id" into request;
        if request is not null then
            insert into "OutgoingRequest" ("kind", "destinationId", "dueAt", "url", "askedBy")
            values ('deliveryAsk', destination, due, origin, pg_current_xact_id());
            return request;
        end if;
        select r."id" into request from "OutgoingRequest" r
        where r."kind" = 'http' and r."state" = 'pending' and r."destinationId" = destination and r."deduplicationKey" = $5;
        if request is not null then
            return request;
        end if;
    end loop;
    return null;
end $_$;

COMMENT ON FUNCTION public.enqueue_http_request(url text, method text, headers jsonb, body text, deduplication_key text, options jsonb) IS 'Sends an HTTP request once the transaction is committed; returns its id, or that of the one that waits with the same deduplication key.';

CREATE FUNCTION public.enqueue_tenant_sync(tenancy uuid) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    asked bigint;
begin
    -- Insert-only: an application's open transaction must hold no row that the engine waits for.
    insert into "OutgoingRequest" ("kind", "deduplicationKey", "tenancyId", "databaseId")
    select 'ask', 'sync:' || d."tenancyId" || ':' || d."id", d."tenancyId", d."id"
    from "ExternalDatabase" d
    where d."tenancyId" = tenancy and d."state" <> 'paused'
    order by 2;
    get diagnostics asked = row_count;
    return asked;
end $$;

COMMENT ON FUNCTION public.enqueue_tenant_sync(tenancy uuid) IS 'Asks for a sync of all targets of a tenancy; returns how many were asked for. A tenancy without a target is never enqueued.';

CREATE FUNCTION public.fold_events(batch_rows integer) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $_$
declare
    state "ActivityFold";
    first_day date := (now() at time zone 'UTC')::date - 31;
    from_xid xid8;
    from_id uuid;
    taken bigint;
    last_xid xid8;
    last_id uuid;
begin
    state := begin_fold('Event');
    from_xid := coalesce(state."afterXid", case state."phase" when 'feed' then pg_snapshot_xmin(state."seen") else '0' end);
    from_id := coalesce(state."afterId", '00000000-0000-0000-0000-000000000000');
    with batch as materialized (
        select e.* from (
            (select e."changedBy", e."id", e."eventStartedAt", e."data", e."endUserIpInfoGuessId" from "Event" e
             where state."phase" = 'feed' and '$user-activity' = any (e."systemEventTypeIds")
               and (e."changedBy", e."id") >= (from_xid, from_id) and e."changedBy" < pg_snapshot_xmax(state."until")
               and not pg_visible_in_snapshot(e."changedBy", state."seen")
               and pg_visible_in_snapshot(e."changedBy", state."until")
             order by e."changedBy", e."id" limit batch_rows)
            union all
            (select e."changedBy", e."id", e."eventStartedAt", e."data", e."endUserIpInfoGuessId" from "Event" e
             where state."phase" = 'older' and '$user-activity' = any (e."systemEventTypeIds")
               and e."changedBy" is null and e."id" >= from_id
             order by e."id" limit batch_rows)
            union all
            (select e."changedBy", e."id", e."eventStartedAt", e."data", e."endUserIpInfoGuessId" from "Event" e
             where state."phase" = 'all' and '$user-activity' = any (e."systemEventTypeIds")
               and (e."changedBy", e."id") >= (from_xid, from_id)
             order by e."changedBy", e."id" limit batch_rows)) e),
    events as materialized (
        select t."id" as tenancy, e.usr, e.at, e.anonymous, e.info, i."countryCode" as country from (
            select b."data" ->> 'projectId' as project, b."data" ->> 'branchId' as branch, b."eventStartedAt" as at,
                   case when b."data" ->> 'userId' like '________-____-____-____-____________'
                         and translate(b."data" ->> 'userId', '0123456789abcdefABCDEF', '') = '----'
                        then (b."data" ->> 'userId')::uuid end as usr,
                   coalesce(b."data" ->> 'isAnonymous', '') = 'true' as anonymous, b."endUserIpInfoGuessId" as info
            from batch b where isfinite(b."eventStartedAt")) e
        join "Tenancy" t on t."projectId" = e.project and t."branchId" = e.branch
        left join "EventIpInfo" i on i."id" = e.info
        where e.usr is not null),
    -- One aggregate and then look-ups by key: joins of several small results were planned as nested loops over them.
    users as materialized (
        select e.tenancy, e.usr, max(e.at) as at,
               max(e.at) filter (where e.info is not null) as info_at,
               (array_agg(e.info order by e.at desc) filter (where e.info is not null))[1] as info,
               max(e.at) filter (where e.country is not null) as country_at,
               (array_agg(e.country order by e.at desc) filter (where e.country is not null))[1] as country
        from events e group by 1, 2),
    active as (
        insert into "UserActivity" as a ("tenancyId", "projectUserId", "isAnonymous", "lastActiveAt", "eventAt",
            "ipInfoAt", "ipInfoId", "countryAt", "countryCode")
        select n.tenancy, n.usr, coalesce(u."isAnonymous", false),
               case when u."projectUserId" is not null then greatest(u."lastActiveAt", o."eventAt", n.at) end,
               greatest(o."eventAt", n.at),
               case when o."ipInfoAt" > n.info_at then o."ipInfoAt" else coalesce(n.info_at, o."ipInfoAt") end,
               case when o."ipInfoAt" > n.info_at then o."ipInfoId" else coalesce(n.info, o."ipInfoId") end,
               case when o."countryAt" > n.country_at then o."countryAt" else coalesce(n.country_at, o."countryAt") end,
               case when o."countryAt" > n.country_at then o."countryCode" else coalesce(n.country, o."countryCode") end
        from users n
        left join lateral (
            select * from "UserActivity" o where o."tenancyId" = n.tenancy and o."projectUserId" = n.usr limit 1) o on true
        left join lateral (
            select * from "ProjectUser" u where u."tenancyId" = n.tenancy and u."projectUserId" = n.usr limit 1) u on true
        on conflict ("tenancyId", "projectUserId") do update set
            "isAnonymous" = excluded."isAnonymous", "lastActiveAt" = excluded."lastActiveAt", "eventAt" = excluded."eventAt",
            "ipInfoAt" = excluded."ipInfoAt", "ipInfoId" = excluded."ipInfoId",
            "countryAt" = excluded."countryAt", "countryCode" = excluded."countryCode"
        where (a."isAnonymous", a."lastActiveAt", a."eventAt", a."ipInfoAt", a."ipInfoId", a."countryAt", a."countryCode")
            is distinct from (excluded."isAnonymous", excluded."lastActiveAt", excluded."eventAt", excluded."ipInfoAt",
                excluded."ipInfoId", excluded."countryAt", excluded."countryCode")),
    days as materialized (
        select e.tenancy, (e.at at time zone 'UTC')::date as day, e.usr, bool_and(e.anonymous) as anonymous
        from events e where (e.at at time zone 'UTC')::date >= first_day group by 1, 2, 3),
    news as materialized (
        select d.*, o."isAnonymous" as was_anonymous from days d
        left join lateral (
            select o."isAnonymous" from "UserActivityDay" o
            where o."tenancyId" = d.tenancy and o."day" = d.day and o."projectUserId" = d.usr limit 1) o on true
        where o."isAnonymous" is null or (o."isAnonymous" and not d.anonymous)),
    kept as (
        insert into "UserActivityDay" ("tenancyId", "day", "projectUserId", "isAnonymous")
        select n.tenancy, n.day, n.usr, n.anonymous from news n
        on conflict ("tenancyId", "day", "projectUserId") do update set "isAnonymous" = excluded."isAnonymous"),
    counted as (
        insert into "ActivityDay" as a ("tenancyId", "day", "users", "anonymousUsers")
        select n.tenancy, n.day, count(*) filter (where n.was_anonymous is null),
               count(*) filter (where n.anonymous) - count(*) filter (where n.was_anonymous)
        from news n group by 1, 2
        on conflict ("tenancyId", "day") do update
        set "users" = a."users" + excluded."users", "anonymousUsers" = a."anonymousUsers" + excluded."anonymousUsers")
    select count(*), (array_agg(b."changedBy" order by b."changedBy" desc nulls first, b."id" desc))[1],
           (array_agg(b."id" order by b."changedBy" desc nulls first, b."id" desc))[1]
    into taken, last_xid, last_id from batch b;
    perform end_fold(state, taken >= batch_rows, last_xid, null, last_id, null);
    return taken >= batch_rows or state."phase" <> 'feed';
end $_$;

COMMENT ON FUNCTION public.fold_events(batch_rows integer) IS 'Folds a batch of activity events into "UserActivity" and the days; returns whether there is more to do.';

CREATE FUNCTION public.fold_users(batch_rows integer) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $$
declare
    state "ActivityFold";
    from_xid xid8;
    from_place bigint;
    from_tenancy uuid;
    from_id uuid;
    taken bigint;
    last_xid xid8;
    last_place bigint;
    last_tenancy uuid;
    last_id uuid;
begin
    state := begin_fold('ProjectUser');
    from_xid := coalesce(state."afterXid", pg_snapshot_xmin(state."seen"));
    from_place := coalesce(state."afterPlace", 0);
    from_tenancy := coalesce(state."afterTenancyId", '00000000-0000-0000-0000-000000000000');
    from_id := coalesce(state."afterId", '00000000-0000-0000-0000-000000000000');
    with batch as materialized (
        select b.* from (
            (select f."changedBy", f."id", f."tenancyId", f."projectUserId" from "UserFeed" f
             where state."phase" = 'feed' and (f."changedBy", f."id") > (from_xid, from_place)
               and f."changedBy" < pg_snapshot_xmax(state."until")
               and not pg_visible_in_snapshot(f."changedBy", state."seen")
               and pg_visible_in_snapshot(f."changedBy", state."until")
             order by f."changedBy", f."id" limit batch_rows)
            union all
            (select null::xid8, null::bigint, u."tenancyId", u."projectUserId" from "ProjectUser" u
             where state."phase" = 'older' and (u."tenancyId", u."projectUserId") >= (from_tenancy, from_id)
             order by u."tenancyId", u."projectUserId" limit batch_rows)) b),
    now_known as materialized (
        select b."tenancyId", b."projectUserId", u."projectUserId" is not null as is_user,
               coalesce(u."isAnonymous", o."isAnonymous", false) as anonymous, coalesce(u."signedUpAt", u."createdAt") as signed_up,
               case when u."projectUserId" is not null
                    then coalesce(greatest(u."lastActiveAt", o."eventAt"), u."signedUpAt", u."createdAt") end as active,
               coalesce(search_line(u."displayName"), '') || coalesce(c.lines, '') as text, m.methods
        from (select distinct b."tenancyId", b."projectUserId" from batch b) b
        left join lateral (
            select * from "ProjectUser" u where u."tenancyId" = b."tenancyId" and u."projectUserId" = b."projectUserId" limit 1) u on true
        left join lateral (
            select * from "UserActivity" o where o."tenancyId" = b."tenancyId" and o."projectUserId" = b."projectUserId" limit 1) o on true
        left join lateral (
            select string_agg(search_line(c."value"), '' order by c."id") as lines
            from (select c."value", c."id" from "ContactChannel" c
                  where c."tenancyId" = b."tenancyId" and c."projectUserId" = b."projectUserId" order by c."id" limit 200) c) c on true
        left join lateral (
            select coalesce(json_agg(json_build_array(m."type", m."provider")), '[]')::text as methods
            from (select m."type", m."provider" from "AuthMethod" m
                  where m."tenancyId" = b."tenancyId" and m."projectUserId" = b."projectUserId"
                  order by m."type", m."provider" limit 21) m) m on true
        where u."projectUserId" is not null or o."projectUserId" is not null),
    placed as (
        insert into "UserActivity" as a ("tenancyId", "projectUserId", "isAnonymous", "signedUpAt", "lastActiveAt", "signInMethods")
        select k."tenancyId", k."projectUserId", k.anonymous, k.signed_up, k.active, k.methods from now_known k
        on conflict ("tenancyId", "projectUserId") do update
        set "isAnonymous" = excluded."isAnonymous", "signedUpAt" = excluded."signedUpAt", "lastActiveAt" = excluded."lastActiveAt",
            "signInMethods" = excluded."signInMethods"
        where (a."isAnonymous", a."signedUpAt", a."lastActiveAt", a."signInMethods")
            is distinct from (excluded."isAnonymous", excluded."signedUpAt", excluded."lastActiveAt", excluded."signInMethods")),
    named as (
        insert into "UserSearch" as s ("tenancyId", "projectUserId", "text")
        select k."tenancyId", k."projectUserId", k.text from now_known k where k.is_user
        on conflict ("tenancyId", "projectUserId") do update set "text" = excluded."text"
        where s."text" is distinct from excluded."text"),
    forgotten as (
        delete from "UserSearch" s using (select k."tenancyId", k."projectUserId" from now_known k where not k.is_user offset 0) k
        where s."tenancyId" = k."tenancyId" and s."projectUserId" = k."projectUserId")
    select count(*), (array_agg(b."changedBy" order by b."changedBy" desc, b."id" desc))[1],
           (array_agg(b."id" order by b."changedBy" desc, b."id" desc))[1],
           (array_agg(b."tenancyId" order by b."tenancyId" desc, b."projectUserId" desc))[1],
           (array_agg(b."projectUserId" order by b."tenancyId" desc, b."projectUserId" desc))[1]
    into taken, last_xid, last_place, last_tenancy, last_id from batch b;
    perform end_fold(state, taken >= batch_rows, last_xid, last_tenancy, last_id, last_place);
    return taken >= batch_rows or state."phase" <> 'feed';
end $$;

COMMENT ON FUNCTION public.fold_users(batch_rows integer) IS 'Brings "UserActivity" and "UserSearch" up to date with a batch of users; returns whether there is more to do.';

CREATE FUNCTION public.heal_tracking_faults(mapping_names text[], reads text[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    newest bigint;
    watch "TrackingWatch";
    feeds text[];
    rows_there bigint;
    concerned text[];
begin
    select case when s.is_called then s.last_value else 0 end into newest from tracking_fault_seq s;
    select * into watch from "TrackingWatch" for no key update skip locked;
    if watch is null or newest = watch."handledFault" then
        return 0;
    elsif watch."noticedFault" is null then
        update "TrackingWatch" set "noticedFault" = newest, "settlesAt" = pg_snapshot_xmax(pg_current_snapshot());
        return 0;
    elsif watch."settlesAt" > pg_snapshot_xmin(pg_current_snapshot()) then
        return 0;
    end if;
    select array_agg(distinct f."name"), count(*) into feeds, rows_there from "TrackingFault" f
    where f."id" > watch."handledFault" and f."id" <= watch."noticedFault";
    select array_agg(distinct u.mapping) into concerned from unnest(mapping_names, reads) as u (mapping, feed)
    where u.feed = any (feeds) or rows_there < watch."noticedFault" - watch."handledFault";
    update "TrackingWatch" set "handledFault" = watch."noticedFault", "noticedFault" = null, "settlesAt" = null;
    return request_fills(coalesce(concerned, '{}'));
end $$;

COMMENT ON FUNCTION public.heal_tracking_faults(mapping_names text[], reads text[]) IS 'Lets targets be compared with tables of which a write could not be recorded; returns how many targets.';

CREATE FUNCTION public.http_activate(trigger_id uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    this "HttpTrigger";
    on_table "HttpTable";
    compiled record;
begin
    select * into this from "HttpTrigger" where "id" = trigger_id;
    if this."tableId" is null then
        update "HttpTrigger" set "state" = 'active', "stateReason" = null, "stateSince" = now(), "updatedAt" = now() where "id" = trigger_id;
    else
        select * into on_table from "HttpTable" h where h."id" = this."tableId";
        select * into compiled from http_compile_condition(on_table."relation", this."condition", this."columns");
        update "HttpTrigger" set "ruleId" = http_rule(on_table, compiled.on_update, compiled.on_other), "arguments" = compiled.arguments,
            "state" = 'active', "stateReason" = null, "stateSince" = now(), "updatedAt" = now()
        where "id" = trigger_id;
        perform http_try(on_table);
        perform http_refresh(this."tableId");
        perform http_attach(on_table);
    end if;
    -- What waited since it was paused.
    insert into "OutgoingRequest" ("kind", "destinationId", "askedBy")
    select 'deliveryAsk', trigger_id, pg_current_xact_id()
    where exists (select from "OutgoingRequest" r where r."kind" = 'http' and r."state" = 'pending' and r."destinationId" = trigger_id);
end $$;

COMMENT ON FUNCTION public.http_activate(trigger_id uuid) IS 'Lets a trigger make events, or says why it cannot.';

CREATE FUNCTION public.http_add_trigger(spec jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    on_table "HttpTable";
    problem text := coalesce(http_url_problem(spec ->> 'url'), http_headers_problem(spec -> 'headers'));
begin
    if problem is not null then
        raise exception using errcode = 'invalid_parameter_value', message = problem;
    end if;
    if spec ->> 'relation' is not null then
        on_table := http_table((spec ->> 'relation')::oid, spec ->> 'event', spec ->> 'mappingName', spec ->> 'data');
    end if;
    insert into "HttpTrigger" ("id", "tenancyId", "tableId", "operations", "events", "columns", "condition", "url", "headers",
                               "secrets", "keyId", "secretsSince", "timeoutMillis", "eventLimit", "ordered")
    values ((spec ->> 'id')::uuid, (spec ->> 'tenancyId')::uuid, on_table."id",
            array(select jsonb_array_elements_text(spec -> 'operations')), array(select jsonb_array_elements_text(spec -> 'events')),
            case when jsonb_typeof(spec -> 'columns') = 'array' then array(select jsonb_array_elements_text(spec -> 'columns')) end,
            nullif(spec -> 'condition', 'null'), spec ->> 'url', spec -> 'headers', decode(spec ->> 'secrets', 'hex'), spec ->> 'keyId',
            case when spec ? 'secretCount' then array_fill(now(), array[(spec ->> 'secretCount')::integer]) end,
            (spec ->> 'timeoutMillis')::integer, (spec ->> 'eventLimit')::integer, (spec ->> 'ordered')::boolean);
    insert into "HttpDestination" ("id", "triggerId", "parallelism", "ratePerSecond", "batchEvents", "batchWaitMillis")
    values ((spec ->> 'id')::uuid, (spec ->> 'id')::uuid, (spec ->> 'parallelism')::integer, (spec ->> 'ratePerSecond')::float8,
            (spec ->> 'batchEvents')::integer, (spec ->> 'batchWaitMillis')::integer);
    perform http_activate((spec ->> 'id')::uuid);
end $$;

COMMENT ON FUNCTION public.http_add_trigger(spec jsonb) IS 'Registers a trigger whose secrets are sealed already.';

CREATE TABLE public."HttpTable" (
    id bigint NOT NULL,
    name text NOT NULL,
    relation oid NOT NULL,
    "tenantColumn" text NOT NULL,
    "keyColumns" text[] NOT NULL,
    event text NOT NULL,
    "mappingName" text,
    data text,
    "lowestLimit" integer DEFAULT 10000 NOT NULL,
    "writtenFrom" text,
    partitions oid[]
);

COMMENT ON TABLE public."HttpTable" IS 'Tables for which a trigger is registered; each has trigger functions of its own, and no other table has any.';

COMMENT ON COLUMN public."HttpTable".name IS 'As the operator calls it: schema, dot, table, or the name of one of the shipped tables.';

COMMENT ON COLUMN public."HttpTable".event IS 'First part of its events'' names: user gives user.created.';

COMMENT ON COLUMN public."HttpTable".data IS 'Query of the mapping''s columns over the row {row}; null: the table''s own columns.';

COMMENT ON COLUMN public."HttpTable"."lowestLimit" IS 'Lowest eventLimit of its triggers: a statement with fewer rows need not count them.';

COMMENT ON COLUMN public."HttpTable"."writtenFrom" IS 'Digest of all that its functions were written from.';

CREATE FUNCTION public.http_arm(on_table public."HttpTable", event text, source text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $_$
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
end $_$;

COMMENT ON FUNCTION public.http_arm(on_table public."HttpTable", event text, source text) IS 'The part of a trigger function that makes events of some rows.';

CREATE FUNCTION public.http_attach(on_table public."HttpTable") RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET client_min_messages TO 'warning'
    AS $$
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

COMMENT ON FUNCTION public.http_attach(on_table public."HttpTable") IS 'Creates the triggers of a table, and of its partitions, that are missing.';

CREATE FUNCTION public.http_change_trigger(trigger_id uuid, change jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
declare
    this "HttpTrigger";
    on_table "HttpTable";
    compiled record;
    problem text := case when change ? 'url' then http_url_problem(change ->> 'url') end;
    is_another constant boolean := change ?| array['operations', 'columns', 'condition'];
begin
    if problem is not null then
        raise exception using errcode = 'invalid_parameter_value', message = problem;
    end if;
    -- As a registration: the table's turn first, the trigger's row after it.
    perform pg_advisory_xact_lock(hashtext(current_schema()), hashtext('http ' || h."name"))
    from "HttpTrigger" t join "HttpTable" h on h."id" = t."tableId" where t."id" = trigger_id;
    select * into this from "HttpTrigger" t where t."id" = trigger_id for no key update;
    if not found then
        raise exception using errcode = 'invalid_parameter_value', message = format('there is no trigger %s any more', trigger_id);
    elsif encode(this."secrets", 'hex') <> change ->> 'secretsBefore' then
        raise exception using errcode = 'serialization_failure', message = 'its secrets were changed meanwhile';
    end if;
    update "HttpTrigger" t set
        "url" = coalesce(change ->> 'url', t."url"),
        "headers" = http_changed_headers(case when change ? 'dropHeaders' then '{}' else t."headers" end, coalesce(change -> 'headers', '{}')),
        "secrets" = coalesce(decode(change ->> 'secrets', 'hex'), t."secrets"),
        "keyId" = coalesce(change ->> 'keyId', t."keyId"),
        -- Places of secrets among those that there were, from 1; 0: it is new.
        "secretsSince" = case when not change ? 'secretPlaces' then t."secretsSince"
            else array(select case when p.place::integer > 0 then t."secretsSince"[p.place::integer] else now() end
                       from jsonb_array_elements_text(change -> 'secretPlaces') with ordinality p (place, n) order by p.n) end,
        "timeoutMillis" = case when change ? 'timeoutMillis' then (change ->> 'timeoutMillis')::integer else t."timeoutMillis" end,
        "eventLimit" = coalesce((change ->> 'eventLimit')::integer, t."eventLimit"),
        "ordered" = coalesce((change ->> 'ordered')::boolean, t."ordered"),
        "operations" = case when change ? 'operations' then array(select jsonb_array_elements_text(change -> 'operations')) else t."operations" end,
        "events" = case when change ? 'events' then array(select jsonb_array_elements_text(change -> 'events')) else t."events" end,
        "columns" = case when not change ? 'columns' then t."columns"
            when jsonb_typeof(change -> 'columns') = 'array' then array(select jsonb_array_elements_text(change -> 'columns')) end,
        "condition" = case when change ? 'condition' then nullif(change -> 'condition', 'null') else t."condition" end,
        "updatedAt" = now()
    where t."id" = trigger_id returning * into this;
    update "HttpDestination" d set
        "parallelism" = case when change ? 'parallelism' then (change ->> 'parallelism')::integer else d."parallelism" end,
        "ratePerSecond" = case when change ? 'ratePerSecond' then (change ->> 'ratePerSecond')::float8 else d."ratePerSecond" end,
        "batchEvents" = coalesce((change ->> 'batchEvents')::integer, d."batchEvents"),
        "batchWaitMillis" = coalesce((change ->> 'batchWaitMillis')::integer, d."batchWaitMillis")
    where d."id" = trigger_id;
    if change ? 'url' then
        -- Whatever was wrong with the old one says nothing of this one.
        update "HttpDestination" d set "state" = 'ok', "consecutiveFailures" = 0, "failingSince" = null, "nextAttemptAt" = null
        where d."id" = trigger_id;
    end if;
    if this."tableId" is not null then
        select * into on_table from "HttpTable" h where h."id" = this."tableId";
        if is_another then
            select * into compiled from http_compile_condition(on_table."relation", this."condition", this."columns");
            -- One that was broken is compiled against the table as it is, and so it is mended; a pause goes on.
            update "HttpTrigger" t set "ruleId" = http_rule(on_table, compiled.on_update, compiled.on_other), "arguments" = compiled.arguments,
                "state" = case t."state" when 'broken' then 'active' else t."state" end,
                "stateReason" = case t."state" when 'broken' then null else t."stateReason" end,
                "stateSince" = case t."state" when 'broken' then now() else t."stateSince" end
            where t."id" = trigger_id;
            perform http_try(on_table);
            perform http_attach(on_table);
        end if;
        if is_another or change ? 'eventLimit' then
            perform http_refresh(this."tableId");
        end if;
    end if;
    -- What waits goes on as it is now.
    insert into "OutgoingRequest" ("kind", "destinationId", "askedBy")
    select 'deliveryAsk', trigger_id, pg_current_xact_id()
    where exists (select from "OutgoingRequest" r where r."kind" = 'http' and r."state" = 'pending' and r."destinationId" = trigger_id);
end $$;

COMMENT ON FUNCTION public.http_change_trigger(trigger_id uuid, change jsonb) IS 'Changes a trigger, checked as http_add_trigger does; what is not named stays. Another URL closes the breaker.';

CREATE FUNCTION public.http_changed_headers(headers jsonb, changed jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    stranger text;
    merged jsonb;
    problem text;
begin
    select k into stranger from jsonb_object_keys(changed) k
    where jsonb_typeof(changed -> k) = 'null' and not exists (select from jsonb_object_keys(headers) h where lower(h) = lower(k)) limit 1;
    if stranger is not null then
        raise exception using errcode = 'invalid_parameter_value', message = format('it sends no header %s along; %s', left(stranger, 100),
            coalesce('it sends ' || (select string_agg(h, ', ' order by h) from jsonb_object_keys(headers) h), 'it sends none'));
    end if;
    merged := coalesce((select jsonb_object_agg(h.key, h.value) from jsonb_each(headers) h
                        where not exists (select from jsonb_object_keys(changed) k where lower(k) = lower(h.key))), '{}')
              || coalesce((select jsonb_object_agg(c.key, c.value) from jsonb_each(changed) c where jsonb_typeof(c.value) <> 'null'), '{}');
    problem := http_headers_problem(merged);
    if problem is not null then
        raise exception using errcode = 'invalid_parameter_value', message = problem;
    end if;
    return merged;
end $$;

COMMENT ON FUNCTION public.http_changed_headers(headers jsonb, changed jsonb) IS 'Headers with some of them changed, or says what is wrong with them.';

CREATE FUNCTION public.http_column_type(relation oid, column_name text) RETURNS text
    LANGUAGE sql STABLE
    AS $$
    select format('%I.%I', n.nspname, t.typname)
    from pg_attribute a join pg_type t on t.oid = a.atttypid join pg_namespace n on n.oid = t.typnamespace
    where a.attrelid = relation and a.attname = column_name and a.attnum > 0 and not a.attisdropped
$$;

COMMENT ON FUNCTION public.http_column_type(relation oid, column_name text) IS 'Type of a column in SQL; null if there is no such column.';

CREATE FUNCTION public.http_compile_condition(relation oid, condition jsonb, columns text[], OUT on_update text, OUT on_other text, OUT arguments text[]) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO, YMD'
    SET "IntervalStyle" TO 'postgres'
    SET extra_float_digits TO '1'
    SET bytea_output TO 'hex'
    AS $_$
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
end $_$;

COMMENT ON FUNCTION public.http_compile_condition(relation oid, condition jsonb, columns text[], OUT on_update text, OUT on_other text, OUT arguments text[]) IS 'Compiles a condition and the columns that count in an update, or says what is wrong with them.';

CREATE FUNCTION public.http_fault(table_id bigint, trigger_id uuid, state text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    insert into "HttpFault" ("tableId", "triggerId", "sqlState")
    select table_id, trigger_id, state
    where (select count(*) from (select from "HttpFault" limit 1000) kept) < 1000;
exception when others then
    null;
end $$;

COMMENT ON FUNCTION public.http_fault(table_id bigint, trigger_id uuid, state text) IS 'Notes that a statement made no events.';

CREATE FUNCTION public.http_follow_mapping(table_id bigint, event text, mapping_name text, data text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $_$
#variable_conflict use_column
declare
    on_table "HttpTable";
    problem text;
begin
    perform pg_advisory_xact_lock(hashtext(current_schema()), hashtext('http ' || h."name"))
    from "HttpTable" h where h."id" = table_id;
    update "HttpTable" h set "event" = $2, "mappingName" = $3, "data" = $4 where h."id" = table_id returning * into on_table;
    if not found then
        return null;
    end if;
    begin
        perform http_try(on_table);
    exception when invalid_parameter_value then
        problem := sqlerrm;
    end;
    if problem is null then
        perform http_refresh(table_id);
    else
        -- The functions stay as they are: without an active trigger they make nothing.
        update "HttpTrigger" t set "state" = 'broken', "stateReason" = problem, "stateSince" = now(), "updatedAt" = now()
        where t."tableId" = table_id and t."state" = 'active';
    end if;
    return problem;
end $_$;

COMMENT ON FUNCTION public.http_follow_mapping(table_id bigint, event text, mapping_name text, data text) IS 'Makes a table''s events of what its mapping says now. If they cannot be made, its triggers are parked, and the reason is returned.';

CREATE FUNCTION public.http_forget(table_id bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET client_min_messages TO 'warning'
    AS $$
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

COMMENT ON FUNCTION public.http_forget(table_id bigint) IS 'Takes back what was made for a table that has no trigger any more.';

CREATE FUNCTION public.http_function(on_table public."HttpTable", event text) RETURNS name
    LANGUAGE sql IMMUTABLE
    AS $$ select format('http_%s_%s', on_table."id", event)::name $$;

COMMENT ON FUNCTION public.http_function(on_table public."HttpTable", event text) IS 'Name of a trigger function.';

CREATE FUNCTION public.http_functions(on_table public."HttpTable") RETURNS SETOF regprocedure
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
    select p.oid::regprocedure from pg_proc p
    where p.pronamespace = quote_ident(current_schema())::regnamespace and p.prorettype = 'trigger'::regtype
      and p.proname in (select http_function(on_table, e) from unnest(array['insert', 'update', 'delete', 'truncate']) e)
$$;

COMMENT ON FUNCTION public.http_functions(on_table public."HttpTable") IS 'The trigger functions of a table.';

CREATE FUNCTION public.http_headers_problem(headers jsonb) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $_$
declare
    one record;
    total integer := 0;
    seen text[] := '{}';
begin
    if headers is null then
        return null;
    elsif jsonb_typeof(headers) <> 'object' then
        return 'the headers are no JSON object of names and values';
    elsif (select count(*) from jsonb_object_keys(headers)) > 50 then
        return 'there are more than 50 headers';
    end if;
    for one in select e.key, e.value, e.value #>> '{}' as text from jsonb_each(headers) e order by 1 loop
        if one.key !~ '^[-!#$%&''*+.^_`|~0-9A-Za-z]{1,100}$' then
            return format('the header name %s is none: letters, digits and hyphens, at most 100', to_json(left(one.key, 120)));
        elsif jsonb_typeof(one.value) <> 'string' then
            return format('the value of the header %s is no string', one.key);
        elsif one.text !~ '^[\t -~]*$' then
            return format('the value of the header %s contains a line break or another character that headers cannot have', one.key);
        elsif lower(one.key) in ('host', 'content-length', 'transfer-encoding', 'connection', 'keep-alive', 'te', 'trailer',
                                 'upgrade', 'expect', 'proxy-authorization', 'proxy-connection',
                                 'webhook-id', 'webhook-timestamp', 'webhook-signature') then
            return format('the header %s is set by tenant-sync itself', one.key);
        elsif lower(one.key) = any (seen) then
            return format('the header %s is there twice', one.key);
        end if;
        seen := seen || lower(one.key);
        total := total + octet_length(one.key) + octet_length(one.text);
    end loop;
    if total > 8192 then
        return format('the headers have %s bytes together, and may have 8192', total);
    end if;
    return null;
end $_$;

COMMENT ON FUNCTION public.http_headers_problem(headers jsonb) IS 'What is wrong with headers, as a sentence; null if they can be sent.';

CREATE FUNCTION public.http_heard(on_table public."HttpTable") RETURNS text[]
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
    select coalesce(array_agg(distinct o order by o), '{}') from "HttpTrigger" t cross join unnest(t."operations") o
    where t."tableId" = on_table."id" and t."state" <> 'broken'
$$;

COMMENT ON FUNCTION public.http_heard(on_table public."HttpTable") IS 'Operations of a table that somebody listens to.';

CREATE FUNCTION public.http_origin(url text) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $_$
    select lower(p[1]) || '://' || lower(p[2])
           || case when p[2] ~ ':[0-9]+$' then '' when lower(p[1]) = 'http' then ':80' else ':443' end
    from regexp_match(url, '^([A-Za-z]+)://([^/?#]*)') p
$_$;

COMMENT ON FUNCTION public.http_origin(url text) IS 'Scheme, host and port of a URL that has no problem.';

CREATE FUNCTION public.http_origin_id(origin text) RETURNS uuid
    LANGUAGE sql IMMUTABLE
    AS $$ select md5('origin:' || origin)::uuid $$;

COMMENT ON FUNCTION public.http_origin_id(origin text) IS 'Id of an origin''s destination: known without looking, so that whoever asks only inserts.';

CREATE FUNCTION public.http_own_event(event text, tenancy uuid, data jsonb) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    told bigint;
begin
    with made as (
        insert into "OutgoingRequest" ("kind", "destinationId", "position", "tenancyId", "eventType", "body")
        select 'http', t."id", nextval('outgoing_request_seq'), tenancy, event,
               json_build_object('type', event, 'timestamp', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                                 'tenancyId', tenancy, 'data', data)::text
        from "HttpTrigger" t
        where t."tableId" is null and event = any (t."events") and t."state" = 'active'
          and (t."tenancyId" is null or t."tenancyId" = tenancy)
        returning "destinationId")
    insert into "OutgoingRequest" ("kind", "destinationId", "askedBy")
    select 'deliveryAsk', m."destinationId", pg_current_xact_id() from made m;
    get diagnostics told = row_count;
    return told;
end $$;

COMMENT ON FUNCTION public.http_own_event(event text, tenancy uuid, data jsonb) IS 'Tells triggers of our own events; returns how many.';

CREATE FUNCTION public.http_pause_trigger(trigger_id uuid, reason text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    this "HttpTrigger";
begin
    update "HttpTrigger" set "state" = 'paused', "stateReason" = reason, "stateSince" = now(), "updatedAt" = now()
    where "id" = trigger_id and "state" <> 'paused' returning * into this;
    if not found then
        return false;
    end if;
    perform http_own_event('trigger.paused', this."tenancyId", jsonb_build_object('triggerId', trigger_id, 'reason', reason,
        'table', (select h."name" from "HttpTable" h where h."id" = this."tableId")));
    return true;
end $$;

COMMENT ON FUNCTION public.http_pause_trigger(trigger_id uuid, reason text) IS 'Lets a trigger make no events and send none; false if it was paused, or is none.';

CREATE FUNCTION public.http_refresh(table_id bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION public.http_refresh(table_id bigint) IS 'Writes the trigger functions of a table if what they know has changed.';

CREATE FUNCTION public.http_remove_trigger(trigger_id uuid) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    table_id bigint;
begin
    delete from "HttpTrigger" where "id" = trigger_id returning "tableId" into table_id;
    if not found then
        return false;
    elsif exists (select from "HttpTrigger" where "tableId" = table_id) then
        perform http_refresh(table_id);
    elsif table_id is not null then
        perform http_forget(table_id);
    end if;
    return true;
end $$;

COMMENT ON FUNCTION public.http_remove_trigger(trigger_id uuid) IS 'Removes a trigger, and with the last one of a table all that was made for the table; false if there is none.';

CREATE FUNCTION public.http_request_options_problem(options jsonb) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $_$
declare
    unknown text;
    at timestamptz;
begin
    if jsonb_typeof(options) <> 'object' then
        return 'the options are no JSON object';
    end if;
    select string_agg(k, ', ' order by k) into unknown from jsonb_object_keys(options) k
    where k not in ('not_before', 'order_key', 'timeout_ms', 'tenancy_id');
    if unknown is not null then
        return format('there is no option %s; there are not_before, order_key, timeout_ms and tenancy_id', left(unknown, 200));
    end if;
    if options ? 'not_before' then
        begin
            at := (options ->> 'not_before')::timestamptz;
        exception when others then
            at := null;
        end;
        if at is null or not isfinite(at) then
            return 'the option not_before is no time: write it like 2030-01-31T12:00:00Z';
        elsif at > now() + interval '366 days' then
            return 'the option not_before is more than 366 days ahead';
        end if;
    end if;
    if options ? 'order_key' and (jsonb_typeof(options -> 'order_key') <> 'string'
                                  or char_length(options ->> 'order_key') not between 1 and 200) then
        return 'the option order_key is no string of 1 to 200 characters';
    elsif options ? 'timeout_ms' and not coalesce(options ->> 'timeout_ms' ~ '^[0-9]{1,6}$'
                                                  and (options ->> 'timeout_ms')::integer between 100 and 120000, false) then
        return 'the option timeout_ms is no number from 100 to 120000';
    elsif options ? 'tenancy_id' and not exists (select from "Tenancy" t where t."id"::text = lower(options ->> 'tenancy_id')) then
        return 'the option tenancy_id is no tenancy''s';
    end if;
    return null;
end $_$;

COMMENT ON FUNCTION public.http_request_options_problem(options jsonb) IS 'What is wrong with the options of a request, as a sentence; null if nothing is.';

CREATE FUNCTION public.http_resume_trigger(trigger_id uuid, event text, mapping_name text, data text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $_$
begin
    perform http_table(h."relation", $2, $3, $4)
    from "HttpTrigger" t join "HttpTable" h on h."id" = t."tableId" where t."id" = trigger_id;
    perform http_activate(trigger_id);
end $_$;

COMMENT ON FUNCTION public.http_resume_trigger(trigger_id uuid, event text, mapping_name text, data text) IS 'Lets a paused or broken trigger be active again, or says why it cannot.';

CREATE FUNCTION public.http_rule(on_table public."HttpTable", on_update text, on_other text) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    rule bigint;
begin
    if on_update = 'true' then
        return null;
    end if;
    insert into "HttpRule" ("tableId", "onUpdate", "onOther") values (on_table."id", on_update, on_other) on conflict do nothing;
    select r."id" into rule from "HttpRule" r where r."tableId" = on_table."id" and r."onUpdate" = on_update;
    delete from "HttpRule" r where r."tableId" = on_table."id" and r."id" <> rule
      and not exists (select from "HttpTrigger" t where t."ruleId" = r."id");
    if (select count(*) from "HttpRule" r where r."tableId" = on_table."id") > 200 then
        raise exception using errcode = 'program_limit_exceeded', message = format(
            'the triggers of %s have 200 different conditions already (other values of the same columns count as one)', on_table."name");
    end if;
    return rule;
end $$;

COMMENT ON FUNCTION public.http_rule(on_table public."HttpTable", on_update text, on_other text) IS 'Number of a rule of a table, made if it is a new one.';

CREATE FUNCTION public.http_rules(on_table public."HttpTable", event text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
    select coalesce('case t."ruleId" ' || string_agg(format('when %s then %s', r."id",
               case event when 'update' then r."onUpdate" else r."onOther" end), ' ' order by r."id")
           || ' else t."ruleId" is null end', 't."ruleId" is null')
    from "HttpRule" r where r."tableId" = on_table."id"
      and exists (select from "HttpTrigger" t where t."ruleId" = r."id" and t."state" <> 'broken')
$$;

COMMENT ON FUNCTION public.http_rules(on_table public."HttpTable", event text) IS 'Condition that a row meets the rule of a trigger.';

CREATE FUNCTION public.http_settle_faults(at_most bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    noted bigint;
    table_id bigint;
    concerned bigint[];
begin
    with gone as (
        delete from "HttpFault" f where f."id" in (
            select g."id" from "HttpFault" g order by g."id" limit at_most for update skip locked)
        returning *
    ), counted as (
        select t."id", count(*) as number, max(g."at") as at, (array_agg(g."sqlState" order by g."id" desc))[1] as state,
               bool_or(left(g."sqlState", 2) in ('22', '42')) and t."state" = 'active' as breaks
        from gone g join "HttpTrigger" t on t."id" = g."triggerId" or g."triggerId" is null and t."tableId" = g."tableId"
        group by t."id"
    ), told as (
        update "HttpTrigger" t set "missedStatements" = t."missedStatements" + c.number, "lastFault" = c.state, "lastFaultAt" = c.at,
            "state" = case when c.breaks then 'broken' else t."state" end,
            "stateReason" = case when c.breaks then format('its definition does not fit the table any more (SQLSTATE %s)', c.state)
                            else t."stateReason" end,
            "stateSince" = case when c.breaks then now() else t."stateSince" end,
            "updatedAt" = case when c.breaks then now() else t."updatedAt" end
        from counted c where t."id" = c."id"
        returning t."tableId", c.breaks
    )
    select (select count(*) from gone), (select array_agg(distinct d."tableId") from told d where d.breaks) into noted, concerned;
    foreach table_id in array coalesce(concerned, '{}') loop
        perform http_refresh(table_id);
    end loop;
    return noted;
end $$;

COMMENT ON FUNCTION public.http_settle_faults(at_most bigint) IS 'Counts statements that made no events at their triggers, and parks those whose definition is broken.';

CREATE FUNCTION public.http_statement(on_table public."HttpTable", event text, source text, what text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $_$
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
end $_$;

COMMENT ON FUNCTION public.http_statement(on_table public."HttpTable", event text, source text, what text) IS 'A statement of the trigger functions.';

CREATE FUNCTION public.http_table(relation oid, event text, mapping_name text, data text) RETURNS public."HttpTable"
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $_$
#variable_conflict use_column
declare
    found_name text;
    tenant_column text;
    key_columns text[];
    on_table "HttpTable";
begin
    perform tracking_locate();
    select k."name", k."tenantColumn", k."keyColumns" into found_name, tenant_column, key_columns
    from "TrackedTable" k where k."relation" = $1;
    if found_name is null then
        select s."relation", 'tenancyId', s."keyColumns" into found_name, tenant_column, key_columns
        from "SequencedRelation" s
        where cardinality(s."columns") > 0 and to_regclass(quote_ident(s."relation"))::oid = $1;
    end if;
    if found_name is null then
        raise exception using errcode = 'undefined_table', message = format(
            '%s is not tracked: `table track` it first, so that it is known whose its rows are', $1::regclass);
    end if;
    -- One registration at a time for a table.
    perform pg_advisory_xact_lock(hashtext(current_schema()), hashtext('http ' || found_name));
    insert into "HttpTable" as h ("name", "relation", "tenantColumn", "keyColumns", "event", "mappingName", "data", "partitions")
    values (found_name, $1, tenant_column, key_columns, $2, $3, $4, tracking_partitions($1))
    on conflict ("name") do update set "relation" = excluded."relation", "tenantColumn" = excluded."tenantColumn",
        "keyColumns" = excluded."keyColumns", "event" = excluded."event", "mappingName" = excluded."mappingName",
        "data" = excluded."data", "partitions" = excluded."partitions"
    returning * into on_table;
    return on_table;
end $_$;

COMMENT ON FUNCTION public.http_table(relation oid, event text, mapping_name text, data text) IS 'The row of a table that can have triggers, made if it has none yet.';

CREATE FUNCTION public.http_try(on_table public."HttpTable") RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
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
exception
    when lock_not_available or deadlock_detected then
        raise;
    when others then
        raise exception using errcode = 'invalid_parameter_value', message = format(
            'events of %s cannot be made (%s): %s', on_table."name", sqlstate, sqlerrm);
end $$;

COMMENT ON FUNCTION public.http_try(on_table public."HttpTable") IS 'Fails if events of a table cannot be made.';

CREATE FUNCTION public.http_update_trigger(trigger_id uuid, url text, secrets bytea, key_id text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $_$
#variable_conflict use_column
declare
    problem text := case when $2 is not null then http_url_problem($2) end;
begin
    if problem is not null then
        raise exception using errcode = 'invalid_parameter_value', message = problem;
    end if;
    update "HttpTrigger" t set "url" = coalesce($2, t."url"), "secrets" = coalesce($3, t."secrets"), "keyId" = coalesce($4, t."keyId"),
        "secretsSince" = case when $3 is null then t."secretsSince" end, "updatedAt" = now()
    where t."id" = trigger_id;
    if $2 is null then
        return;
    end if;
    -- Whatever was wrong with the old one says nothing of this one.
    update "HttpDestination" d set "state" = 'ok', "consecutiveFailures" = 0, "failingSince" = null, "nextAttemptAt" = null
    where d."id" = trigger_id;
    insert into "OutgoingRequest" ("kind", "destinationId", "askedBy")
    select 'deliveryAsk', trigger_id, pg_current_xact_id()
    where exists (select from "OutgoingRequest" r where r."kind" = 'http' and r."state" = 'pending' and r."destinationId" = trigger_id);
end $_$;

COMMENT ON FUNCTION public.http_update_trigger(trigger_id uuid, url text, secrets bytea, key_id text) IS 'What http_change_trigger does, for the version before it.';

CREATE FUNCTION public.http_url_problem(url text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $_$
declare
    parts text[];
    host text;
    port text;
begin
    if coalesce(url, '') = '' then
        return 'there is no URL';
    elsif octet_length(url) > 2048 then
        return format('the URL has %s bytes, and may have 2048', octet_length(url));
    elsif url !~ '^[!-~]+$' or url ~ '["<>\\^`{|}]' then
        return 'the URL contains a character that has to be percent-encoded: a space, a line break, one beyond ASCII, or one of "<>\^`{|}';
    end if;
    parts := regexp_match(url, '^([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^#]*)(#?)');
    if parts is null or parts[2] = '' then
        return 'the URL is none: write it like https://example.org/path';
    elsif lower(parts[1]) not in ('http', 'https') then
        return format('the URL''s scheme is %s: only https is spoken', lower(parts[1]));
    elsif lower(parts[1]) = 'http' and not (select s."allowHttp" from "HttpSettings" s) then
        return 'the URL is not https: an operator can allow http with requests.allow_http';
    elsif position('@' in parts[2]) > 0 then
        return 'the URL contains a user or a password: send them in a header';
    elsif parts[4] <> '' then
        return 'the URL has a fragment (#), which no server ever sees: leave it out';
    end if;
    host := lower(substring(parts[2] from '^(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)'));
    port := substring(parts[2] from char_length(host) + 1);
    if host is null or port !~ '^(:[0-9]{1,5})?$' then
        return 'the URL''s host cannot be read: it is a name or an address, with a port after a colon if need be';
    elsif port <> '' and ltrim(port, ':')::integer not between 1 and 65535 then
        return 'the URL''s port is not between 1 and 65535';
    elsif host ~ '^\[' then
        begin
            perform trim(both '[]' from host)::inet;
        exception when others then
            return 'the URL''s host is no IPv6 address';
        end;
    elsif host !~ '^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?$' or char_length(host) > 253 then
        return 'the URL''s host is no name: letters, digits and hyphens between dots (other letters as punycode)';
    elsif rtrim(host, '.') ~ '(^|\.)(0x[0-9a-f]*|[0-9]+)$' then
        -- A name whose last part is a number is an address, in whatever spelling: only the usual one is taken.
        begin
            if rtrim(host, '.') !~ '^([0-9]{1,3}\.){3}[0-9]{1,3}$' then
                return 'the URL''s host is no IPv4 address: write it as four numbers';
            end if;
            perform rtrim(host, '.')::inet;
        exception when others then
            return 'the URL''s host is no IPv4 address: write it as four numbers';
        end;
    end if;
    return null;
end $_$;

COMMENT ON FUNCTION public.http_url_problem(url text) IS 'What is wrong with a URL, as a sentence; null if it can be called.';

CREATE FUNCTION public.http_write(on_table public."HttpTable", event text, body text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $_$
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
end $_$;

COMMENT ON FUNCTION public.http_write(on_table public."HttpTable", event text, body text) IS 'Writes a trigger function.';

CREATE FUNCTION public.http_write_all(on_table public."HttpTable") RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $_$
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
end $_$;

COMMENT ON FUNCTION public.http_write_all(on_table public."HttpTable") IS 'Writes the trigger functions of a table.';

CREATE FUNCTION public.keep_sequence_columns() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if coalesce(current_setting('tenant_sync.sequencing', true), '') <> 'on' then
        new."sequenceId" := old."sequenceId";
        new."shouldUpdateSequenceId" := old."shouldUpdateSequenceId";
        new."changedBy" := old."changedBy";
    end if;
    return new;
end $$;

COMMENT ON FUNCTION public.keep_sequence_columns() IS 'Lets only the sequencer write the sequence columns of a row that did not change otherwise.';

CREATE FUNCTION public.log_deleted_row() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO, YMD'
    SET "IntervalStyle" TO 'postgres'
    SET extra_float_digits TO '1'
    SET bytea_output TO 'hex'
    AS $$
begin
    -- The trigger's arguments are the key columns.
    insert into "DeletedRow" ("tenancyId", "tableName", "primaryKey")
    select (j.r ->> 'tenancyId')::uuid, tg_table_name,
           (select jsonb_object_agg(k.k, j.r -> k.k) from unnest(tg_argv) k (k))
    from (select to_jsonb(g) as r from gone g) j
    where j.r ->> 'tenancyId' is not null;
    return null;
end $$;

COMMENT ON FUNCTION public.log_deleted_row() IS 'Leaves a tombstone for each deleted row; AFTER DELETE by statement, OLD TABLE AS gone.';

CREATE FUNCTION public.log_moved_row() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO, YMD'
    SET "IntervalStyle" TO 'postgres'
    SET extra_float_digits TO '1'
    SET bytea_output TO 'hex'
    AS $$
declare
    row_before jsonb := to_jsonb(old);
begin
    insert into "DeletedRow" ("tenancyId", "tableName", "primaryKey")
    select (row_before ->> 'tenancyId')::uuid, tg_table_name,
           (select jsonb_object_agg(k.k, row_before -> k.k) from unnest(tg_argv) k (k))
    where row_before ->> 'tenancyId' is not null;
    return null;
end $$;

COMMENT ON FUNCTION public.log_moved_row() IS 'Leaves a tombstone for the old key of a row whose key or tenant changed.';

CREATE FUNCTION public.log_truncated_rows() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO, YMD'
    SET "IntervalStyle" TO 'postgres'
    SET extra_float_digits TO '1'
    SET bytea_output TO 'hex'
    AS $_$
begin
    execute format(
        'insert into "DeletedRow" ("tenancyId", "tableName", "primaryKey")
         select r."tenancyId", %L, (select jsonb_object_agg(k.k, to_jsonb(r) -> k.k) from unnest($1) k (k))
         from %I.%I r where r."tenancyId" is not null',
        tg_table_name, tg_table_schema, tg_table_name) using tg_argv;
    return null;
end $_$;

COMMENT ON FUNCTION public.log_truncated_rows() IS 'Leaves a tombstone for each row that TRUNCATE is about to remove.';

CREATE FUNCTION public.note_source_rewound(watermark bigint) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION public.note_source_rewound(watermark bigint) IS 'Begins a new epoch and lets the sequence jump past a watermark from a lost future; false if there is nothing to note.';

CREATE FUNCTION public.note_tracked_partitions(feed text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET client_min_messages TO 'warning'
    AS $$
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
    perform http_attach(h) from "HttpTable" h where h."relation" = tracked."relation";
    return true;
end $$;

COMMENT ON FUNCTION public.note_tracked_partitions(feed text) IS 'Takes the partitions that are there now for known, and gives the new ones triggers of their own; false if nothing changed.';

CREATE FUNCTION public.note_user() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    if new."projectUserId" is not null then
        insert into "UserFeed" ("tenancyId", "projectUserId") values (new."tenancyId", new."projectUserId");
    end if;
    if old."projectUserId" is not null and (old."tenancyId", old."projectUserId") is distinct from (new."tenancyId", new."projectUserId") then
        insert into "UserFeed" ("tenancyId", "projectUserId") values (old."tenancyId", old."projectUserId");
    end if;
    return null;
end $$;

COMMENT ON FUNCTION public.note_user() IS 'Notes whose row was changed, under both keys if it moved.';

CREATE FUNCTION public.note_users() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    if tg_op = 'TRUNCATE' then
        execute format('insert into "UserFeed" ("tenancyId", "projectUserId") select distinct r."tenancyId", r."projectUserId" from %I.%I r where r."projectUserId" is not null',
            tg_table_schema, tg_table_name);
    else
        insert into "UserFeed" ("tenancyId", "projectUserId")
        select r."tenancyId", r."projectUserId" from touched r where r."projectUserId" is not null;
    end if;
    return null;
end $$;

COMMENT ON FUNCTION public.note_users() IS 'Notes whose rows a statement inserts, deletes or truncates.';

CREATE FUNCTION public.outbox_due(live_from timestamp with time zone, bulk_from timestamp with time zone, deliveries_from timestamp with time zone, asks_from xid8, asks_of xid8[], OUT as_of timestamp with time zone, OUT syncs boolean, OUT deliveries boolean, OUT asks boolean, OUT next_asks_from xid8, OUT running xid8[]) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
    select now(),
        (select r."dueAt" from "OutgoingRequest" r
         where r."kind" = 'sync' and r."lane" = 'live' and r."dueAt" >= live_from and r."dueAt" <= now()
         order by r."dueAt" limit 1) is not null
        or (select r."dueAt" from "OutgoingRequest" r
            where r."kind" = 'sync' and r."lane" = 'bulk' and r."dueAt" >= bulk_from and r."dueAt" <= now()
            order by r."dueAt" limit 1) is not null,
        (select r."dueAt" from "OutgoingRequest" r
         where r."kind" = 'delivery' and r."dueAt" >= deliveries_from and r."dueAt" <= now()
         order by r."dueAt" limit 1) is not null,
        (select r."askedBy" from "OutgoingRequest" r
         where r."kind" = 'deliveryAsk' and r."askedBy" >= asks_from order by r."askedBy" limit 1) is not null
        or exists (select from "OutgoingRequest" r where r."kind" = 'deliveryAsk' and r."askedBy" = any (asks_of)),
        pg_snapshot_xmax(pg_current_snapshot()), array(select pg_snapshot_xip(pg_current_snapshot()))
    into as_of, syncs, deliveries, asks, next_asks_from, running;
end $$;

COMMENT ON FUNCTION public.outbox_due(live_from timestamp with time zone, bulk_from timestamp with time zone, deliveries_from timestamp with time zone, asks_from xid8, asks_of xid8[], OUT as_of timestamp with time zone, OUT syncs boolean, OUT deliveries boolean, OUT asks boolean, OUT next_asks_from xid8, OUT running xid8[]) IS 'Whether syncs of either lane, deliveries or asks for them are due, from these due times and transactions on; and from which transactions on to look next.';

CREATE FUNCTION public.purge_activity(batch_rows integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $$
declare
    state "ActivityFold";
    first_day date := (now() at time zone 'UTC')::date - 32;
    nobody uuid := '00000000-0000-0000-0000-000000000000';
    days bigint;
    counts bigint;
    looked bigint;
    gone bigint;
    last_tenancy uuid;
    last_id uuid;
begin
    state := begin_fold('UserActivity');
    delete from "UserActivityDay" d where d.ctid = any (array(
        select u.ctid from (select o."tenancyId", o."day" from "ActivityDay" o where o."day" < first_day order by o."day" limit batch_rows) o
        join "UserActivityDay" u on u."tenancyId" = o."tenancyId" and u."day" = o."day" limit batch_rows));
    get diagnostics days = row_count;
    -- The count goes when nothing is left of its day.
    delete from "ActivityDay" d where d.ctid = any (array(
        select o.ctid from "ActivityDay" o where o."day" < first_day and not exists (
            select from "UserActivityDay" u where u."tenancyId" = o."tenancyId" and u."day" = o."day")
        order by o."day" limit batch_rows));
    get diagnostics counts = row_count;
    -- An event may be visible before its user is; a day is more than any transaction should take.
    with batch as materialized (
        select a."tenancyId", a."projectUserId", a."lastActiveAt", a."eventAt", a."signInMethods" from "UserActivity" a
        where (a."tenancyId", a."projectUserId") > (coalesce(state."afterTenancyId", nobody), coalesce(state."afterId", nobody))
        order by a."tenancyId", a."projectUserId" limit batch_rows),
    removed as (
        delete from "UserActivity" a using batch b
        where a."tenancyId" = b."tenancyId" and a."projectUserId" = b."projectUserId"
          and (b."lastActiveAt" is not null or b."eventAt" is null or b."eventAt" < now() - interval '1 day')
          and not exists (select from "ProjectUser" u where u."tenancyId" = b."tenancyId" and u."projectUserId" = b."projectUserId")
        returning a."tenancyId", a."projectUserId"),
    filled as (
        update "UserActivity" a set "signInMethods" = m.methods
        from batch b cross join lateral (
            select coalesce(json_agg(json_build_array(m."type", m."provider")), '[]')::text as methods
            from (select m."type", m."provider" from "AuthMethod" m
                  where m."tenancyId" = b."tenancyId" and m."projectUserId" = b."projectUserId"
                  order by m."type", m."provider" limit 21) m) m
        where a."tenancyId" = b."tenancyId" and a."projectUserId" = b."projectUserId" and b."signInMethods" is null
          and exists (select from "ProjectUser" u where u."tenancyId" = b."tenancyId" and u."projectUserId" = b."projectUserId")),
    forgotten as (
        delete from "UserSearch" s using removed r
        where s."tenancyId" = r."tenancyId" and s."projectUserId" = r."projectUserId" returning s."projectUserId")
    select count(*), (select count(*) from removed) + (select count(*) from forgotten),
           (array_agg(b."tenancyId" order by b."tenancyId" desc, b."projectUserId" desc))[1],
           (array_agg(b."projectUserId" order by b."tenancyId" desc, b."projectUserId" desc))[1]
    into looked, gone, last_tenancy, last_id from batch b;
    update "ActivityFold" f
    set "afterTenancyId" = case when looked >= batch_rows then last_tenancy end,
        "afterId" = case when looked >= batch_rows then last_id end, "at" = now()
    where f."source" = state."source";
    return days + counts + gone;
end $$;

COMMENT ON FUNCTION public.purge_activity(batch_rows integer) IS 'Removes old days and rows of users that are gone, and looks up methods that were never folded, a batch at a time.';

CREATE FUNCTION public.record_touches(feeds text[], needed text[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION public.record_touches(feeds text[], needed text[]) IS 'Lets tracked tables record old and new values of the columns by which they touch rows; returns in how many that is new.';

CREATE FUNCTION public.request_fills(mapping_names text[], tenancies uuid[] DEFAULT NULL::uuid[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    asked bigint;
begin
    with wanted as (
        update "SyncState" s set "fillRequested" = true
        where s."mappingName" = any (mapping_names) and (tenancies is null or s."tenancyId" = any (tenancies))
        returning s."tenancyId", s."databaseId"),
    targets as (
        update "ExternalDatabase" d set "nextVisitAt" = now()
        where (d."tenancyId", d."id") in (select w."tenancyId", w."databaseId" from wanted w)
        returning d."id")
    select count(*) into asked from targets;
    if asked > 0 then
        perform pg_notify('tenant_sync_due', current_schema());
    end if;
    return asked;
end $$;

COMMENT ON FUNCTION public.request_fills(mapping_names text[], tenancies uuid[]) IS 'Lets these mappings be compared and mended in every target concerned; returns how many targets.';

CREATE FUNCTION public.reset_sequence_id_on_update() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    -- Whatever the application wrote into these columns (an ORM that saves a row it read earlier, a copied
    -- row) is replaced: else it could hide a change.
    new."sequenceId" := case when tg_op = 'UPDATE' then old."sequenceId" end;
    new."shouldUpdateSequenceId" := true;
    new."changedBy" := pg_current_xact_id();
    return new;
end $$;

COMMENT ON FUNCTION public.reset_sequence_id_on_update() IS 'Flags a new or changed row for the sequencer.';

CREATE FUNCTION public.search_beginnings(tenancy uuid, lines text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN array_to_tsvector(ARRAY(SELECT DISTINCT (((search_beginnings.tenancy)::text || ':'::text) || "left"(l.l, 100)) FROM string_to_table(search_beginnings.lines, '
'::text) l(l) WHERE (l.l <> ''::text)));

COMMENT ON FUNCTION public.search_beginnings(tenancy uuid, lines text) IS 'What an index needs that finds lines by how they begin, within a tenancy: prefixes of lexemes need no extension.';

CREATE FUNCTION public.search_line(value text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ('
'::text || translate("left"(lower(value), 1000), '
'::text, ' '::text));

COMMENT ON FUNCTION public.search_line(value text) IS 'A name or an address as "UserSearch" has it.';

CREATE FUNCTION public.sequencer_find(from_xid xid8, revisit xid8[], scan_limit integer, OUT tenancies uuid[], OUT xids xid8[]) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
    hit record;
    at_x xid8;
    at_t uuid;
    seen bigint := 0;
begin
    tenancies := '{}'; xids := '{}';
    
    -- DeletedRow
    for hit in
        with fresh as materialized (
            (select r."changedBy" as x, r."tenancyId" as t from "DeletedRow" r
             where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '0'
               and r."changedBy" = any (revisit))
            union all
            (select r."changedBy", r."tenancyId" from "DeletedRow" r
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
        select r."tenancyId" into at_t from "DeletedRow" r
        where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '2' order by r."tenancyId" limit 1;
        while at_t is not null loop
            select r."changedBy" into at_x from "DeletedRow" r
            where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '2'
              and r."tenancyId" = at_t and r."changedBy" >= from_xid
            order by r."changedBy" limit 1;
            if found then
                tenancies := tenancies || at_t;
                xids := xids || at_x;
            end if;
            select r."tenancyId" into at_t from "DeletedRow" r
            where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '2'
              and r."tenancyId" > at_t order by r."tenancyId" limit 1;
        end loop;
    end if;
    seen := 0;
    -- ChangedRow
    for hit in
        with fresh as materialized (
            (select r."changedBy" as x, r."tenancyId" as t from "ChangedRow" r
             where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '0'
               and r."changedBy" = any (revisit))
            union all
            (select r."changedBy", r."tenancyId" from "ChangedRow" r
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
        select r."tenancyId" into at_t from "ChangedRow" r
        where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '2' order by r."tenancyId" limit 1;
        while at_t is not null loop
            select r."changedBy" into at_x from "ChangedRow" r
            where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '2'
              and r."tenancyId" = at_t and r."changedBy" >= from_xid
            order by r."changedBy" limit 1;
            if found then
                tenancies := tenancies || at_t;
                xids := xids || at_x;
            end if;
            select r."tenancyId" into at_t from "ChangedRow" r
            where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '2'
              and r."tenancyId" > at_t order by r."tenancyId" limit 1;
        end loop;
    end if;
    seen := 0;
    -- ProjectUser
    for hit in
        with fresh as materialized (
            (select r."changedBy" as x, r."tenancyId" as t from "ProjectUser" r
             where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '0'
               and r."changedBy" = any (revisit))
            union all
            (select r."changedBy", r."tenancyId" from "ProjectUser" r
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
        select r."tenancyId" into at_t from "ProjectUser" r
        where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '2' order by r."tenancyId" limit 1;
        while at_t is not null loop
            select r."changedBy" into at_x from "ProjectUser" r
            where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '2'
              and r."tenancyId" = at_t and r."changedBy" >= from_xid
            order by r."changedBy" limit 1;
            if found then
                tenancies := tenancies || at_t;
                xids := xids || at_x;
            end if;
            select r."tenancyId" into at_t from "ProjectUser" r
            where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '2'
              and r."tenancyId" > at_t order by r."tenancyId" limit 1;
        end loop;
    end if;
    seen := 0;
    -- ContactChannel
    for hit in
        with fresh as materialized (
            (select r."changedBy" as x, r."tenancyId" as t from "ContactChannel" r
             where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '0'
               and r."changedBy" = any (revisit))
            union all
            (select r."changedBy", r."tenancyId" from "ContactChannel" r
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
        select r."tenancyId" into at_t from "ContactChannel" r
        where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '2' order by r."tenancyId" limit 1;
        while at_t is not null loop
            select r."changedBy" into at_x from "ContactChannel" r
            where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '2'
              and r."tenancyId" = at_t and r."changedBy" >= from_xid
            order by r."changedBy" limit 1;
            if found then
                tenancies := tenancies || at_t;
                xids := xids || at_x;
            end if;
            select r."tenancyId" into at_t from "ContactChannel" r
            where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '2'
              and r."tenancyId" > at_t order by r."tenancyId" limit 1;
        end loop;
    end if;
    seen := 0;
end $$;

CREATE FUNCTION public.sequencer_give(tenancies uuid[], from_xids xid8[], share integer, OUT rows_given bigint, OUT last_id bigint, OUT targets_asked bigint) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
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
    
    picked_1 as materialized (
        select p.* from served t cross join lateral (
            select r.ctid as at, r."changedBy", r."tenancyId", r."id", r."tableName", r."primaryKey" from "DeletedRow" r
            where r."tenancyId" = t.tenancy and r."shouldUpdateSequenceId" and r."changedBy" is distinct from '2'
              and r."changedBy" >= t.from_xid
              and not exists (select from "ParkedRow" k where k."relation" = 'DeletedRow' and k."tenancyId" = r."tenancyId"
                              and k."retryAt" > now() and k."primaryKey" = jsonb_build_object('id', r.id))
            order by r."changedBy" limit share for no key update of r skip locked) p
        cross join lateral (select from "DeletedRow" v where v.ctid = p.at offset 0) seen),
    picked_2 as materialized (
        select p.* from served t cross join lateral (
            select r.ctid as at, r."changedBy", r."tenancyId", r."id", r."tableName", r."primaryKey" from "ChangedRow" r
            where r."tenancyId" = t.tenancy and r."shouldUpdateSequenceId" and r."changedBy" is distinct from '2'
              and r."changedBy" >= t.from_xid
              and not exists (select from "ParkedRow" k where k."relation" = 'ChangedRow' and k."tenancyId" = r."tenancyId"
                              and k."retryAt" > now() and k."primaryKey" = jsonb_build_object('id', r.id))
            order by r."changedBy" limit share for no key update of r skip locked) p
        cross join lateral (select from "ChangedRow" v where v.ctid = p.at offset 0) seen),
    picked_3 as materialized (
        select p.* from served t cross join lateral (
            select r.ctid as at, r."changedBy", r."tenancyId", r."projectUserId" from "ProjectUser" r
            where r."tenancyId" = t.tenancy and r."shouldUpdateSequenceId" and r."changedBy" is distinct from '2'
              and r."changedBy" >= t.from_xid
              and not exists (select from "ParkedRow" k where k."relation" = 'ProjectUser' and k."tenancyId" = r."tenancyId"
                              and k."retryAt" > now() and k."primaryKey" = jsonb_build_object('tenancyId', r."tenancyId", 'projectUserId', r."projectUserId"))
            order by r."changedBy" limit share for no key update of r skip locked) p
        cross join lateral (select from "ProjectUser" v where v.ctid = p.at offset 0) seen),
    picked_4 as materialized (
        select p.* from served t cross join lateral (
            select r.ctid as at, r."changedBy", r."tenancyId", r."projectUserId", r.id from "ContactChannel" r
            where r."tenancyId" = t.tenancy and r."shouldUpdateSequenceId" and r."changedBy" is distinct from '2'
              and r."changedBy" >= t.from_xid
              and not exists (select from "ParkedRow" k where k."relation" = 'ContactChannel' and k."tenancyId" = r."tenancyId"
                              and k."retryAt" > now() and k."primaryKey" = jsonb_build_object('tenancyId', r."tenancyId", 'projectUserId', r."projectUserId", 'id', r.id))
            order by r."changedBy" limit share for no key update of r skip locked) p
        cross join lateral (select from "ContactChannel" v where v.ctid = p.at offset 0) seen),
    ranked as materialized (
        select p.rel, p.at, row_number() over (partition by p."tenancyId" order by p."changedBy") as place
        from (select 1 as rel, at, "changedBy", "tenancyId" from picked_1 union all select 2 as rel, at, "changedBy", "tenancyId" from picked_2 union all select 3 as rel, at, "changedBy", "tenancyId" from picked_3 union all select 4 as rel, at, "changedBy", "tenancyId" from picked_4) p),
    
    taken_1 as materialized (
        select p.* from picked_1 p
        where (p.at in (select q.at from ranked q where q.rel = 1 and q.place <= share)) is true),
    taken_2 as materialized (
        select p.* from picked_2 p
        where (p.at in (select q.at from ranked q where q.rel = 2 and q.place <= share)) is true),
    taken_3 as materialized (
        select p.* from picked_3 p
        where (p.at in (select q.at from ranked q where q.rel = 3 and q.place <= share)) is true),
    taken_4 as materialized (
        select p.* from picked_4 p
        where (p.at in (select q.at from ranked q where q.rel = 4 and q.place <= share)) is true), 
    touched_4_3 as materialized (
        select c.at as by_at, d.at from taken_4 c cross join lateral (
            select d.ctid as at from "ProjectUser" d where d."tenancyId" = c."tenancyId" and d."projectUserId" = c."projectUserId" and d."tenancyId" = c."tenancyId" offset 0) d),
    touched_1_4_3 as materialized (
        select c.at as by_at, d.at from taken_1 c cross join lateral (
            select d.ctid as at from "ProjectUser" d where d."tenancyId" = (c."primaryKey" ->> 'tenancyId')::uuid and d."projectUserId" = (c."primaryKey" ->> 'projectUserId')::uuid and d."tenancyId" = c."tenancyId" offset 0) d
        where c."tableName" = 'ContactChannel'),
    touched_2_4_3 as materialized (
        select c.at as by_at, d.at from taken_2 c cross join lateral (
            select d.ctid as at from "ProjectUser" d where d."tenancyId" = (c."primaryKey" ->> 'tenancyId')::uuid and d."projectUserId" = (c."primaryKey" ->> 'projectUserId')::uuid and d."tenancyId" = c."tenancyId" offset 0) d
        where c."tableName" = 'ContactChannel'), 
    ready_3 as materialized (
        select at from picked_3
        union all
        select h.at from (select at from touched_4_3 union select at from touched_1_4_3 union select at from touched_2_4_3 except select at from picked_3) w cross join lateral (
            select r.ctid as at from "ProjectUser" r
            where r.ctid = w.at
              and not exists (select from "ParkedRow" k where k."relation" = 'ProjectUser' and k."tenancyId" = r."tenancyId"
                              and k."retryAt" > now() and k."primaryKey" = jsonb_build_object('tenancyId', r."tenancyId", 'projectUserId', r."projectUserId"))
            for no key update of r skip locked) h
        where h.at = w.at), 
    given_1 as (
        update "DeletedRow" r set "sequenceId" = nextval('global_seq_id'), "shouldUpdateSequenceId" = false
        where r.ctid = any (array(select at from taken_1 where at not in (select x.by_at from touched_1_4_3 x where x.at not in (select at from ready_3)))) returning r."tenancyId", r."sequenceId"),
    given_2 as (
        update "ChangedRow" r set "sequenceId" = nextval('global_seq_id'), "shouldUpdateSequenceId" = false
        where r.ctid = any (array(select at from taken_2 where at not in (select x.by_at from touched_2_4_3 x where x.at not in (select at from ready_3)))) returning r."tenancyId", r."sequenceId"),
    given_3 as (
        update "ProjectUser" r set "sequenceId" = nextval('global_seq_id'), "shouldUpdateSequenceId" = false
        where r.ctid = any (array(select at from taken_3 union select x.at from touched_4_3 x where (x.at in (select at from ready_3)) is true union select x.at from touched_1_4_3 x where (x.at in (select at from ready_3)) is true union select x.at from touched_2_4_3 x where (x.at in (select at from ready_3)) is true)) returning r."tenancyId", r."sequenceId"),
    given_4 as (
        update "ContactChannel" r set "sequenceId" = nextval('global_seq_id'), "shouldUpdateSequenceId" = false
        where r.ctid = any (array(select at from taken_4 where at not in (select x.by_at from touched_4_3 x where x.at not in (select at from ready_3)))) returning r."tenancyId", r."sequenceId"),
    given as materialized (select "tenancyId", "sequenceId" from given_1 union all select "tenancyId", "sequenceId" from given_2 union all select "tenancyId", "sequenceId" from given_3 union all select "tenancyId", "sequenceId" from given_4),
    asked as (
        insert into "OutgoingRequest" ("kind", "deduplicationKey", "tenancyId", "databaseId", "dueAt")
        select 'sync', 'sync:' || d."tenancyId" || ':' || d."id", d."tenancyId", d."id", clock_timestamp()
        from (select distinct g."tenancyId" from given g) g
        cross join lateral (select e."tenancyId", e."id" from "ExternalDatabase" e
                            where e."tenancyId" = g."tenancyId" and e."state" <> 'paused' offset 0) d
        order by 2
        on conflict ("deduplicationKey") where "kind" = 'sync'
            do update set "counter" = "OutgoingRequest"."counter" + 1, "traceparent" = excluded."traceparent"
        returning 1)
    select (select count(*) from given), (select max(g."sequenceId") from given g), (select count(*) from asked)
      into rows_given, last_id, targets_asked;
end $$;

CREATE FUNCTION public.sequencer_has_pending(from_xid xid8, revisit xid8[]) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
    return exists (select from "DeletedRow" r where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '0'
                     and r."changedBy" >= from_xid)
             or exists (select from "DeletedRow" r where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '0'
                        and r."changedBy" = any (revisit)) or exists (select from "ChangedRow" r where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '0'
                     and r."changedBy" >= from_xid)
             or exists (select from "ChangedRow" r where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '0'
                        and r."changedBy" = any (revisit)) or exists (select from "ProjectUser" r where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '0'
                     and r."changedBy" >= from_xid)
             or exists (select from "ProjectUser" r where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '0'
                        and r."changedBy" = any (revisit)) or exists (select from "ContactChannel" r where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '0'
                     and r."changedBy" >= from_xid)
             or exists (select from "ContactChannel" r where r."shouldUpdateSequenceId" and r."changedBy" is distinct from '0'
                        and r."changedBy" = any (revisit));
end $$;

CREATE FUNCTION public.sequencer_leftover(tenancies uuid[], from_xids xid8[]) RETURNS TABLE(tenancy uuid, from_xid xid8)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
    return query
    select t.tenancy, l.x from unnest(tenancies, from_xids) as t (tenancy, from_xid)
    cross join lateral (select p.x from ((select r."changedBy" as x from "DeletedRow" r where r."tenancyId" = t.tenancy and r."shouldUpdateSequenceId"
              and r."changedBy" is distinct from '2' and r."changedBy" >= t.from_xid order by r."changedBy" limit 1) union all (select r."changedBy" as x from "ChangedRow" r where r."tenancyId" = t.tenancy and r."shouldUpdateSequenceId"
              and r."changedBy" is distinct from '2' and r."changedBy" >= t.from_xid order by r."changedBy" limit 1) union all (select r."changedBy" as x from "ProjectUser" r where r."tenancyId" = t.tenancy and r."shouldUpdateSequenceId"
              and r."changedBy" is distinct from '2' and r."changedBy" >= t.from_xid order by r."changedBy" limit 1) union all (select r."changedBy" as x from "ContactChannel" r where r."tenancyId" = t.tenancy and r."shouldUpdateSequenceId"
              and r."changedBy" is distinct from '2' and r."changedBy" >= t.from_xid order by r."changedBy" limit 1)) p order by p.x limit 1) l
    where l.x is not null;
end $$;

CREATE FUNCTION public.sequencer_park(tenancy uuid, tries integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $_$
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
end $_$;

COMMENT ON FUNCTION public.sequencer_park(tenancy uuid, tries integer) IS 'Parks the rows of a tenancy that refuse an id; returns how many.';

CREATE FUNCTION public.sequencer_try(relation_name text, tenancy uuid, key jsonb, at tid) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $_$
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
end $_$;

COMMENT ON FUNCTION public.sequencer_try(relation_name text, tenancy uuid, key jsonb, at tid) IS 'Whether a row takes an id; if not, it is parked.';

CREATE FUNCTION public.sequencing_waits_from() RETURNS xid8
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $_$
declare
    from_xid xid8;
    revisited xid8[];
    feed text;
    one xid8;
    oldest xid8;
begin
    select case when p."fromXid" > pg_snapshot_xmax(pg_current_snapshot()) then '0' else p."fromXid" end, p."revisit"
      into from_xid, revisited from "SequencerPass" p order by p."pass" desc limit 1;
    -- What the last pass knew of and left behind; rows that refuse their id are counted by themselves.
    select b."fromXid" into oldest from "SequencerBacklog" b
    where not exists (select from "ParkedRow" k where k."tenancyId" = b."tenancyId")
    order by b."fromXid" limit 1;
    for feed in select r."relation" from "SequencedRelation" r loop
        execute format(
            'select k.x from (
                (select r."changedBy" as x from %1$I r where r."shouldUpdateSequenceId"
                   and r."changedBy" is distinct from ''0'' and r."changedBy" >= $1
                 order by r."changedBy", r."tenancyId" limit 1)
                union all
                (select r."changedBy" from %1$I r where r."shouldUpdateSequenceId"
                   and r."changedBy" is distinct from ''0'' and r."changedBy" = any ($2)
                 order by r."changedBy", r."tenancyId" limit 1)) k order by k.x limit 1', feed)
            into one using coalesce(from_xid, '0'), coalesce(revisited, '{}');
        oldest := least(oldest, one);
    end loop;
    return oldest;
end $_$;

COMMENT ON FUNCTION public.sequencing_waits_from() IS 'The oldest transaction with a change that has no id yet; null = there is none. As cheap as an empty pass.';

CREATE FUNCTION public.settle_requests(delivery uuid, held_claim bigint, destination uuid, worker text, ids uuid[], outcomes text[], waits double precision[], counts integer[], ago double precision[], took integer[], statuses integer[], classes text[], errors text[], excerpts text[], standing text, failures_in_row integer, rests_for double precision, last_error text, last_class text, last_status integer, known_as_of timestamp with time zone, OUT ours boolean, OUT changed boolean) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
declare
    delivered uuid[] := ids;
    succeeded boolean := cardinality(ids) > 0;
begin
    ours := exists (
        select from "OutgoingRequest" r
        where r."id" = delivery and r."claim" = held_claim and r."runningSince" is not null);
    changed := (select t."updatedAt" from "HttpTrigger" t where t."id" = destination) is distinct from known_as_of;
    if not ours then
        return;
    end if;

    if cardinality(outcomes) > 0 then
        delivered := array(select t.id from unnest(ids, outcomes) as t(id, outcome) where t.outcome = 'delivered');
        succeeded := cardinality(delivered) > 0;
        with failed as (
            update "OutgoingRequest" r
            set "attempts" = r."attempts" + t.counted, "lastError" = t.error, "lastErrorClass" = t.class, "lastStatus" = t.status,
                "dueAt" = now() + t.wait * interval '1 second',
                "state" = case t.outcome when 'dead' then 'dead' else 'pending' end,
                "diedAt" = case t.outcome when 'dead' then now() end
            from unnest(ids, outcomes, waits, counts, statuses, classes, errors)
                as t(id, outcome, wait, counted, status, class, error)
            where r."id" = any (ids) and r."id" = t.id and t.outcome in ('failed', 'dead')
            returning r."id", r."attempts", r."eventType", r."tenancyId"
        )
        insert into "HttpAttempt" ("requestId", "at", "destinationId", "number", "outcome", "durationMillis", "status", "errorClass",
            "error", "responseExcerpt", "workerId", "tenancyId", "eventType")
        select t.id, now() - t.ago * interval '1 second', destination, greatest(f."attempts", 1), t.outcome, t.took, t.status,
            t.class, t.error, t.excerpt, worker, f."tenancyId", f."eventType"
        from unnest(ids, outcomes, ago, took, statuses, classes, errors, excerpts)
            as t(id, outcome, ago, took, status, class, error, excerpt)
            left join failed f on f."id" = t.id
        where t.outcome in ('failed', 'dead');
    end if;

    if succeeded then
        -- One that is gone meanwhile (an operator's command) was tried all the same.
        with gone as (
            delete from "OutgoingRequest" r where r."id" = any (delivered)
            returning r."id", r."attempts", r."tenancyId", r."eventType", r."createdAt", r."method", r."url", r."headers", r."body",
                r."orderKey", r."timeoutMillis"
        )
        insert into "HttpAttempt" ("requestId", "at", "destinationId", "number", "outcome", "durationMillis", "status",
            "responseExcerpt", "workerId", "tenancyId", "eventType", "createdAt", "method", "url", "headers", "body", "orderKey",
            "timeoutMillis")
        select t.id, now() - t.ago * interval '1 second', destination, coalesce(g."attempts", 0) + 1, 'delivered', t.took, t.status,
            t.excerpt, worker, g."tenancyId", g."eventType", g."createdAt", g."method", g."url", g."headers", g."body",
            g."orderKey", g."timeoutMillis"
        from unnest(ids, outcomes, ago, took, statuses, excerpts) as t(id, outcome, ago, took, status, excerpt)
            left join gone g on g."id" = t.id
        where t.outcome is null or t.outcome = 'delivered';
    end if;

    -- Written when something changes, and every ten seconds while all is well.
    update "HttpDestination" d
    set "state" = standing, "consecutiveFailures" = failures_in_row, "nextAttemptAt" = now() + rests_for * interval '1 second',
        "failingSince" = case when standing = 'ok' then null when succeeded then now() else coalesce(d."failingSince", now()) end,
        "lastSuccessAt" = case when succeeded then now() else d."lastSuccessAt" end,
        "lastError" = coalesce(last_error, d."lastError"), "lastErrorClass" = coalesce(last_class, d."lastErrorClass"),
        "lastStatus" = case when last_class is null then d."lastStatus" else last_status end
    where d."id" = destination
      and (d."state" <> 'ok' or standing <> 'ok' or last_class is not null or d."nextAttemptAt" is not null
           or coalesce(d."lastSuccessAt" < now() - interval '10 seconds', true));
end $$;

COMMENT ON FUNCTION public.settle_requests(delivery uuid, held_claim bigint, destination uuid, worker text, ids uuid[], outcomes text[], waits double precision[], counts integer[], ago double precision[], took integer[], statuses integer[], classes text[], errors text[], excerpts text[], standing text, failures_in_row integer, rests_for double precision, last_error text, last_class text, last_status integer, known_as_of timestamp with time zone, OUT ours boolean, OUT changed boolean) IS 'Removes what was delivered, moves on what failed, logs each attempt and says how the destination is doing; nothing of it if the delivery row is no longer its caller''s. outcomes is empty where all were delivered.';

CREATE FUNCTION public.settle_tenancies(tracked_mappings text[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    ended uuid[];
    running text[];
begin
    if not exists (select from "Tenancy" t where not t."settled") then
        return 0;
    end if;
    -- Asked for inside of the statement: whoever begins after its snapshot knows the tenancies that it shows.
    with now_running as materialized (select transactions_running() as those)
    update "Tenancy" t set "settlesAt" = pg_snapshot_xmax(pg_current_snapshot()), "settlesAfter" = r.those
    from now_running r
    where t."id" in (select u."id" from "Tenancy" u where not u."settled" and u."settlesAt" is null
                     limit 1000 for no key update skip locked);
    running := transactions_running();
    with done as (
        update "Tenancy" t set "settled" = true, "settlesAfter" = null
        where t."id" in (select u."id" from "Tenancy" u
                         where not u."settled" and u."settlesAt" <= pg_snapshot_xmin(pg_current_snapshot())
                           and not u."settlesAfter" && running
                         limit 1000 for no key update skip locked)
        returning t."id")
    select array_agg(d."id") into ended from done d;
    if ended is null or cardinality(tracked_mappings) = 0 then
        return 0;
    end if;
    return request_fills(tracked_mappings, ended);
end $$;

COMMENT ON FUNCTION public.settle_tenancies(tracked_mappings text[]) IS 'Notices when no transaction is left that may have overlooked a new tenancy; returns how many targets are compared once more.';

CREATE FUNCTION public.settle_touches(mapping_names text[], reads text[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION public.settle_touches(mapping_names text[], reads text[]) IS 'Notices when no transaction is left that may have written without recording its touches; returns how many targets are compared once more.';

CREATE FUNCTION public.tail_start(tenancy uuid) RETURNS xid8
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $_$
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
end $_$;

COMMENT ON FUNCTION public.tail_start(tenancy uuid) IS 'Lower bound for the transactions of a tenancy''s flagged rows in this snapshot.';

CREATE FUNCTION public.take_delivery(delivery uuid, held_claim bigint, worker text, lease_seconds double precision, OUT counter bigint, OUT destination uuid, OUT tenancy uuid, OUT known boolean, OUT parallelism integer, OUT rate double precision, OUT batch_events integer, OUT batch_wait_millis integer, OUT failures_in_row integer, OUT failing_seconds double precision, OUT rests_seconds double precision, OUT active boolean, OUT url text, OUT headers jsonb, OUT key_id text, OUT secrets bytea, OUT timeout_millis integer, OUT updated_at timestamp with time zone) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
    update "OutgoingRequest" r
    set "runningSince" = now(), "dueAt" = now() + lease_seconds * interval '1 second', "workerId" = worker
    where r."id" = delivery and r."claim" = held_claim and r."startedFulfillingAt" is not null and r."runningSince" is null
      and r."dueAt" > now()
    returning r."counter", r."destinationId", r."tenancyId" into counter, destination, tenancy;
    if not found then
        return;
    end if;
    select d."parallelism", d."ratePerSecond", d."batchEvents", d."batchWaitMillis", d."consecutiveFailures",
        extract(epoch from now() - d."failingSince"), extract(epoch from d."nextAttemptAt" - now())
    into parallelism, rate, batch_events, batch_wait_millis, failures_in_row, failing_seconds, rests_seconds
    from "HttpDestination" d where d."id" = destination;
    known := found;
    -- The destination of a trigger has its id; that of plain requests has no trigger.
    select t."state" = 'active', t."url", t."headers", t."keyId", t."secrets", t."timeoutMillis", t."updatedAt"
    into active, url, headers, key_id, secrets, timeout_millis, updated_at
    from "HttpTrigger" t where t."id" = destination;
end $$;

COMMENT ON FUNCTION public.take_delivery(delivery uuid, held_claim bigint, worker text, lease_seconds double precision, OUT counter bigint, OUT destination uuid, OUT tenancy uuid, OUT known boolean, OUT parallelism integer, OUT rate double precision, OUT batch_events integer, OUT batch_wait_millis integer, OUT failures_in_row integer, OUT failing_seconds double precision, OUT rests_seconds double precision, OUT active boolean, OUT url text, OUT headers jsonb, OUT key_id text, OUT secrets bytea, OUT timeout_millis integer, OUT updated_at timestamp with time zone) IS 'Takes a queued delivery row until the lease is over, and says what is known of its destination. counter is null if the row is not its caller''s to take; active is null where there is no trigger.';

CREATE FUNCTION public.tell_source_rewound() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    perform http_own_event('source.rewound', null, jsonb_build_object('epoch', new."number", 'reason', new."reason",
        'firstSequenceId', new."firstSequenceId"));
    return null;
end $$;

COMMENT ON FUNCTION public.tell_source_rewound() IS 'Tells that the internal database has stepped back.';

CREATE FUNCTION public.tell_target_state() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    perform http_own_event(case new."state" when 'ok' then 'target.recovered' else 'target.broken' end, new."tenancyId",
        jsonb_build_object('targetId', new."id", 'state', new."state", 'error', new."lastError", 'errorClass', new."lastErrorClass"));
    return null;
end $$;

COMMENT ON FUNCTION public.tell_target_state() IS 'Tells that a target is broken, or has recovered.';

CREATE FUNCTION public.tenant_value(key text, sample anyelement) RETURNS anyelement
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO, YMD'
    SET "IntervalStyle" TO 'postgres'
    SET extra_float_digits TO '1'
    SET bytea_output TO 'hex'
    AS $_$
declare
    same boolean;
begin
    execute format('select $1::%1$s, $1::%1$s::text = $1', pg_typeof(sample)) into sample, same using key;
    -- The triggers look at the column's text: '04711' is a bigint, and no row's text.
    return case when same then sample end;
exception when others then
    return null;
end $_$;

COMMENT ON FUNCTION public.tenant_value(key text, sample anyelement) IS 'A tenant''s key as a value of the tenant column''s type; null if no value of that type reads so.';

CREATE FUNCTION public.touch_feed(feed text) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$ select feed || ' (touches)' $$;

COMMENT ON FUNCTION public.touch_feed(feed text) IS 'What the values of touch columns are called in "ChangedRow".';

CREATE FUNCTION public.track_table("table" regclass, tenant_column text, columns text[] DEFAULT NULL::text[]) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET client_min_messages TO 'warning'
    AS $_$
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
end $_$;

COMMENT ON FUNCTION public.track_table("table" regclass, tenant_column text, columns text[]) IS 'Records changes of a table from now on; returns its feed''s name. Again with other arguments: replaces what was said before.';

CREATE FUNCTION public.tracked_partitions_changed() RETURNS SETOF text
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
    select k."name" from "TrackedTable" k
    where k."partitions" is not null and exists (select from pg_class c where c.oid = k."relation")
      and k."partitions" <> tracking_partitions(k."relation")
$$;

COMMENT ON FUNCTION public.tracked_partitions_changed() IS 'Feeds of partitioned tables to which partitions were attached, or from which some were detached, since note_tracked_partitions.';

CREATE TABLE public."TrackedTable" (
    name text NOT NULL,
    relation oid NOT NULL,
    "tenantColumn" text NOT NULL,
    "keyColumns" text[] NOT NULL,
    columns text[],
    "ownIndex" text,
    "trackedAt" timestamp with time zone DEFAULT now() NOT NULL,
    id bigint NOT NULL,
    firing text DEFAULT 'always'::text NOT NULL,
    partitions oid[],
    touches text[] DEFAULT '{}'::text[] NOT NULL,
    "touchesSettlesAt" xid8,
    "touchesSettleAfter" text[],
    "touchesSettled" boolean DEFAULT true NOT NULL,
    CONSTRAINT "triggers fire always, or only in ordinary sessions" CHECK ((firing = ANY (ARRAY['always'::text, 'origin'::text])))
);

COMMENT ON TABLE public."TrackedTable" IS 'Tables of the operator''s own whose changes are recorded.';

COMMENT ON COLUMN public."TrackedTable".name IS 'Schema, dot, table, as it was called when it was tracked: its feed''s name in "ChangedRow" and "DeletedRow".';

COMMENT ON COLUMN public."TrackedTable".columns IS 'A change of these counts, and of the key and the tenant; null: of any column.';

COMMENT ON COLUMN public."TrackedTable"."ownIndex" IS 'Index on the table that we made for first copies; dropped with the tracking.';

COMMENT ON COLUMN public."TrackedTable".id IS 'Part of the names of the trigger functions.';

COMMENT ON COLUMN public."TrackedTable".firing IS 'origin: the triggers sleep under session_replication_role = replica, because only the table''s owner may enable them always.';

COMMENT ON COLUMN public."TrackedTable".partitions IS 'All below a partitioned table when it was last looked at; null: it is not partitioned.';

COMMENT ON COLUMN public."TrackedTable".touches IS 'Columns beyond the key of which old and new values are recorded, because rows of mappings are found by them.';

COMMENT ON COLUMN public."TrackedTable"."touchesSettleAfter" IS 'Virtual numbers of the transactions that ran when recording began.';

COMMENT ON COLUMN public."TrackedTable"."touchesSettled" IS 'Every transaction that may have written without recording these has ended.';

CREATE FUNCTION public.tracking_attach(tracked public."TrackedTable") RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET client_min_messages TO 'warning'
    AS $$
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

COMMENT ON FUNCTION public.tracking_attach(tracked public."TrackedTable") IS 'Creates the triggers of a tracked table, or creates them anew.';

CREATE FUNCTION public.tracking_base_type(type oid) RETURNS oid
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
    with recursive down (t, base) as (
        select oid, typbasetype from pg_type where oid = type
        union all
        select p.oid, p.typbasetype from down d join pg_type p on p.oid = d.base)
    select t from down where base = 0
$$;

COMMENT ON FUNCTION public.tracking_base_type(type oid) IS 'The type below a domain; else the type itself.';

CREATE FUNCTION public.tracking_each_once(query text) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$ select '(select distinct * from (' || query || ') touched)' $$;

COMMENT ON FUNCTION public.tracking_each_once(query text) IS 'A thousand line items of one invoice touch it once.';

CREATE FUNCTION public.tracking_fault(feed text, state text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    number bigint := nextval('tracking_fault_seq');
begin
    insert into "TrackingFault" ("id", "name", "sqlState")
    select number, feed, state
    where (select count(*) from (select from "TrackingFault" limit 1000) kept) < 1000;
exception when others then
    null;
end $$;

COMMENT ON FUNCTION public.tracking_fault(feed text, state text) IS 'Notes that a statement was not recorded.';

CREATE FUNCTION public.tracking_forget(tracked public."TrackedTable") RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET client_min_messages TO 'warning'
    AS $$
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

COMMENT ON FUNCTION public.tracking_forget(tracked public."TrackedTable") IS 'Takes back all that tracking a table has made.';

CREATE FUNCTION public.tracking_function(tracked public."TrackedTable", event text) RETURNS name
    LANGUAGE sql IMMUTABLE
    AS $$
    select format('track_%s_%s', tracked."id", event)::name
$$;

COMMENT ON FUNCTION public.tracking_function(tracked public."TrackedTable", event text) IS 'Name of a trigger function.';

CREATE FUNCTION public.tracking_functions(tracked public."TrackedTable") RETURNS SETOF regprocedure
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
    select p.oid::regprocedure from pg_proc p
    where p.pronamespace = quote_ident(current_schema())::regnamespace and p.prorettype = 'trigger'::regtype
      and p.proname in (select tracking_function(tracked, e)
                        from unnest(array['insert', 'update', 'delete', 'truncate', 'row']) e)
$$;

COMMENT ON FUNCTION public.tracking_functions(tracked public."TrackedTable") IS 'The trigger functions of a tracked table.';

CREATE FUNCTION public.tracking_has_image(type oid) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION public.tracking_has_image(type oid) IS 'Whether values of a type have a binary form.';

CREATE FUNCTION public.tracking_has_index(tracked public."TrackedTable", relation oid) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION public.tracking_has_index(tracked public."TrackedTable", relation oid) IS 'Whether a table or partition has an index by which a first copy can walk.';

CREATE FUNCTION public.tracking_image(relation oid, image_columns text[], alias text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION public.tracking_image(relation oid, image_columns text[], alias text) IS 'Expression for the binary image of what counts in a row.';

CREATE FUNCTION public.tracking_index_columns(tracked public."TrackedTable") RETURNS TABLE(place bigint, attnum smallint, "collation" oid, definition text)
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION public.tracking_index_columns(tracked public."TrackedTable") IS 'Columns of the index that first copies need.';

CREATE FUNCTION public.tracking_is_whole(tracked public."TrackedTable") RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
    select count(distinct t.tgname) = case when tracked."partitions" is null then 4 else 6 end
           and bool_and(t.tgenabled in ('O', 'A'))
    from pg_trigger t where t.tgrelid = tracked."relation" and t.tgfoid in (select tracking_functions(tracked))
$$;

COMMENT ON FUNCTION public.tracking_is_whole(tracked public."TrackedTable") IS 'Whether all triggers of a tracked table are there and enabled.';

CREATE FUNCTION public.tracking_key(relation oid, key_columns text[], alias text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
    select 'jsonb_build_object(' || string_agg(format('%L, %s.%I%s', c, alias, c,
        case when tracking_base_type(a.atttypid) in ('bool'::regtype, 'int2'::regtype, 'int4'::regtype, 'int8'::regtype,
                                                     'numeric'::regtype) then '' else '::text' end), ', ' order by ord) || ')'
    from unnest(key_columns) with ordinality k (c, ord)
    join pg_attribute a on a.attrelid = relation and a.attname = c
$$;

COMMENT ON FUNCTION public.tracking_key(relation oid, key_columns text[], alias text) IS 'Expression for the key of a row as an object of column and value.';

CREATE FUNCTION public.tracking_key_columns(relation oid) RETURNS text[]
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION public.tracking_key_columns(relation oid) IS 'Columns by which a row is known; null if there are none.';

CREATE FUNCTION public.tracking_lacks(tracked public."TrackedTable", names text) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
    select bool_or(c <> all (tracked."keyColumns"))
           and bool_or(c <> all (tracked."touches") and exists (
               select from pg_attribute a where a.attrelid = tracked."relation" and a.attname = c and a.attnum > 0 and not a.attisdropped))
    from jsonb_array_elements_text(names::jsonb) c
$$;

COMMENT ON FUNCTION public.tracking_lacks(tracked public."TrackedTable", names text) IS 'Whether these columns, a JSON array, are not in the key and not all recorded.';

CREATE FUNCTION public.tracking_locate() RETURNS void
    LANGUAGE sql
    SET search_path TO 'public', 'pg_temp'
    AS $$
    update "TrackedTable" k set "relation" = l.relation
    from "TrackedTable" o cross join lateral (
        select max(coalesce(pg_partition_root(t.tgrelid), t.tgrelid)) as relation from pg_trigger t
        join tracking_functions(o) f on f = t.tgfoid) l
    where k."name" = o."name" and l.relation <> k."relation" and not exists (
        select from pg_trigger t join tracking_functions(k) f on f = t.tgfoid where t.tgrelid = k."relation")
$$;

COMMENT ON FUNCTION public.tracking_locate() IS 'Corrects the numbers of tracked tables.';

CREATE FUNCTION public.tracking_partitions(relation oid) RETURNS oid[]
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
    select array(select t.relid::oid from pg_partition_tree(relation) t where t.relid <> relation order by 1)
$$;

COMMENT ON FUNCTION public.tracking_partitions(relation oid) IS 'All partitions below a table, at any depth.';

CREATE FUNCTION public.tracking_privileges(relation oid) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION public.tracking_privileges(relation oid) IS 'Fails with the GRANT that is missing to track a table.';

CREATE FUNCTION public.tracking_refusal(relation oid) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
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
            'TrackingFault', 'TrackingWatch', 'HttpTable', 'HttpRule', 'HttpTrigger', 'HttpDestination',
            'HttpAttempt', 'HttpFault', 'HttpSettings', 'AuditEntry', 'SchemaMigration', 'ProjectUser', 'ContactChannel', 'Event',
            'EventIpInfo', 'AuthMethod', 'UserFeed', 'UserActivity', 'UserSearch', 'UserActivityDay', 'ActivityDay', 'ActivityFold',
            'RefusedRow')
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

COMMENT ON FUNCTION public.tracking_refusal(relation oid) IS 'Why a table cannot be tracked, and what to do.';

CREATE FUNCTION public.tracking_row_touches(tracked public."TrackedTable", into_feed text, counting text[]) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $_$
    select format($body$
    if tg_op <> 'UPDATE' or (select %1$s from (select old.*) o) <> (select %2$s from (select new.*) n) then
        %3$s %4$s;
    end if;$body$, tracking_image(tracked."relation", counting, 'o'), tracking_image(tracked."relation", counting, 'n'), into_feed,
        tracking_each_once(tracking_touched(tracked, '(select new.*)', 'n', 'true') || ' union all '
                           || tracking_touched(tracked, '(select old.*)', 'o', 'true')))
    where cardinality(tracking_touches(tracked)) > 0
$_$;

COMMENT ON FUNCTION public.tracking_row_touches(tracked public."TrackedTable", into_feed text, counting text[]) IS 'What the row trigger of a partitioned table does for touch columns.';

CREATE FUNCTION public.tracking_tenancy(tracked public."TrackedTable", alias text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
    select format('cross join lateral (select t."id" from %I."Tenancy" t where t."tenantKey" = %s.%I::text collate "default" offset 0) t',
                  current_schema(), alias, tracked."tenantColumn")
$$;

COMMENT ON FUNCTION public.tracking_tenancy(tracked public."TrackedTable", alias text) IS 'The join that finds whose a row is.';

CREATE FUNCTION public.tracking_touched(tracked public."TrackedTable", rows_of text, alias text, condition text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
    select format('select t."id", %L, %s from %s %s %s where num_nonnulls(%s) > 0 and %s', touch_feed(tracked."name"),
                  tracking_key(tracked."relation", tracking_touches(tracked), alias), rows_of, alias,
                  tracking_tenancy(tracked, alias),
                  (select string_agg(format('%s.%I', alias, c), ', ') from unnest(tracking_touches(tracked)) c), condition)
    where cardinality(tracking_touches(tracked)) > 0
$$;

COMMENT ON FUNCTION public.tracking_touched(tracked public."TrackedTable", rows_of text, alias text, condition text) IS 'A query for the values of touch columns, as "ChangedRow" takes them; null if there are none to record.';

CREATE FUNCTION public.tracking_touches(tracked public."TrackedTable") RETURNS text[]
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
    select array(select c from unnest(tracked."touches") c
                 where exists (select from pg_attribute a where a.attrelid = tracked."relation" and a.attname = c
                                 and a.attnum > 0 and not a.attisdropped) order by c)
$$;

COMMENT ON FUNCTION public.tracking_touches(tracked public."TrackedTable") IS 'Columns beyond the key whose values are recorded.';

CREATE FUNCTION public.tracking_trigger(event text) RETURNS name
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
    select format('~tenant_sync_%s_%s', case when octet_length(current_schema()) > 40 then md5(current_schema())
                                        else current_schema() end, event)::name
$$;

COMMENT ON FUNCTION public.tracking_trigger(event text) IS 'Name of a trigger: sorts last, so that the application''s own have run; other installations in this database have others.';

CREATE FUNCTION public.tracking_write(tracked public."TrackedTable", event text, body text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $_$
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
end $_$;

CREATE FUNCTION public.tracking_write_all(tracked public."TrackedTable") RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $_$
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
end $_$;

COMMENT ON FUNCTION public.tracking_write_all(tracked public."TrackedTable") IS 'Writes the trigger functions of a tracked table.';

CREATE FUNCTION public.transactions_running() RETURNS text[]
    LANGUAGE sql
    SET search_path TO 'public', 'pg_temp'
    AS $$
    select coalesce(array_agg(l.virtualtransaction), '{}') from pg_locks l join pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'virtualxid' and l.mode = 'ExclusiveLock' and a.pid <> pg_backend_pid()
      and a.datid = (select d.oid from pg_database d where d.datname = current_database())
$$;

COMMENT ON FUNCTION public.transactions_running() IS 'Virtual numbers of the other transactions of this database.';

CREATE FUNCTION public.trim_user_feed(batch_rows integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET lock_timeout TO '2s'
    SET enable_seqscan TO 'off'
    AS $$
declare
    removed bigint;
begin
    perform pg_advisory_xact_lock(1952805749, hashtext(current_schema()));
    update "ActivityFold" f
    set "phase" = 'older', "seen" = pg_current_snapshot(), "until" = null, "afterXid" = null, "afterTenancyId" = null,
        "afterId" = null, "afterPlace" = null
    from "ActivityFold" k
    where f."source" = 'ProjectUser' and k."source" = 'UserActivity' and k."at" < now() - interval '1 day';
    delete from "UserFeed" d where d.ctid = any (array(
        select f.ctid from "UserFeed" f
        where f."changedBy" < (select pg_snapshot_xmin(s."seen") from "ActivityFold" s where s."source" = 'ProjectUser')
        order by f."changedBy", f."id" limit batch_rows));
    get diagnostics removed = row_count;
    return removed;
end $$;

COMMENT ON FUNCTION public.trim_user_feed(batch_rows integer) IS 'Removes rows of "UserFeed" that no fold will read; returns how many.';

CREATE FUNCTION public.untrack_table("table" regclass) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $_$
declare
    listeners bigint := (select count(*) from "HttpTrigger" t join "HttpTable" h on h."id" = t."tableId" where h."relation" = $1::oid);
begin
    if listeners > 0 then
        raise exception using errcode = 'object_in_use', message = format(
            '%s has %s of tenant-sync''s HTTP triggers: `trigger remove` them first', $1, listeners);
    end if;
    perform tracking_locate();
    perform tracking_forget(k) from "TrackedTable" k where k."relation" = $1::oid;
end $_$;

COMMENT ON FUNCTION public.untrack_table("table" regclass) IS 'Ends the tracking of a table and leaves the table as it was; does nothing if it is not tracked.';

CREATE FUNCTION public.watch_relation(relation_name text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION public.watch_relation(relation_name text) IS 'Creates the triggers of a sequenced relation.';

CREATE TABLE public."ActivityDay" (
    "tenancyId" uuid NOT NULL,
    day date NOT NULL,
    users bigint DEFAULT 0 NOT NULL,
    "anonymousUsers" bigint DEFAULT 0 NOT NULL,
    CONSTRAINT "anonymous users are users" CHECK ((("anonymousUsers" >= 0) AND ("anonymousUsers" <= users)))
);

COMMENT ON TABLE public."ActivityDay" IS 'How many rows "UserActivityDay" has of a day.';

CREATE TABLE public."AuditEntry" (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    operator text NOT NULL,
    address text,
    action text NOT NULL,
    "tenancyId" uuid,
    subject text,
    details jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT "details are an object" CHECK ((jsonb_typeof(details) = 'object'::text))
);

COMMENT ON TABLE public."AuditEntry" IS 'Every change that was made through the console, written with it; kept for console.audit_retention.';

COMMENT ON COLUMN public."AuditEntry".operator IS 'Name of the admin key that was used.';

COMMENT ON COLUMN public."AuditEntry".address IS 'Where the request came from.';

COMMENT ON COLUMN public."AuditEntry".action IS 'What was done, such as target.pause.';

COMMENT ON COLUMN public."AuditEntry".subject IS 'What it was done to, within the tenancy: the id of a target.';

COMMENT ON COLUMN public."AuditEntry".details IS 'What was asked for; never a secret.';

ALTER TABLE public."AuditEntry" ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public."AuditEntry_id_seq"
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public."AuthMethod" (
    "tenancyId" uuid NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    "projectUserId" uuid,
    type text,
    provider text,
    CONSTRAINT "the method is a known one" CHECK ((type = ANY (ARRAY['password'::text, 'otp'::text, 'passkey'::text, 'oauth'::text])))
);

CREATE TABLE public."CacheEntry" (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    namespace text NOT NULL,
    "cacheKey" text NOT NULL,
    payload jsonb,
    "expiresAt" timestamp with time zone DEFAULT now() NOT NULL,
    "createdAt" timestamp with time zone DEFAULT now() NOT NULL,
    "loadedAt" timestamp with time zone,
    "loadingBy" uuid,
    "loadingUntil" timestamp with time zone
);

COMMENT ON TABLE public."CacheEntry" IS 'What is expensive to work out, for a while. Without a payload: it is being loaded for the first time.';

COMMENT ON COLUMN public."CacheEntry"."expiresAt" IS 'Until then it is served as it is; for a while longer it is served while one renews it; then it is purged.';

COMMENT ON COLUMN public."CacheEntry"."loadingUntil" IS 'Lease of the one who loads it; who dies meanwhile is followed by another when it ends.';

CREATE SEQUENCE public.changed_row_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

COMMENT ON SEQUENCE public.changed_row_seq IS 'Where the ids of "ChangedRow" come from.';

CREATE TABLE public."ChangedRow" (
    id uuid DEFAULT (lpad(to_hex(nextval('public.changed_row_seq'::regclass)), 32, '0'::text))::uuid NOT NULL,
    "tenancyId" uuid NOT NULL,
    "tableName" text NOT NULL,
    "primaryKey" jsonb NOT NULL,
    "changedAt" timestamp with time zone DEFAULT now() NOT NULL,
    "sequenceId" bigint,
    "shouldUpdateSequenceId" boolean DEFAULT true NOT NULL,
    "changedBy" xid8 DEFAULT pg_current_xact_id() NOT NULL
);

COMMENT ON TABLE public."ChangedRow" IS 'Pointers to changed rows of the operator''s own tables, which carry no columns of ours.';

CREATE TABLE public."ContactChannel" (
    "tenancyId" uuid NOT NULL,
    "projectUserId" uuid NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    type text DEFAULT 'EMAIL'::text NOT NULL,
    value text DEFAULT ''::text NOT NULL,
    "isPrimary" boolean DEFAULT false NOT NULL,
    "isVerified" boolean DEFAULT false NOT NULL,
    "usedForAuth" boolean DEFAULT false NOT NULL,
    "createdAt" timestamp with time zone DEFAULT now() NOT NULL,
    "updatedAt" timestamp with time zone DEFAULT now() NOT NULL,
    "sequenceId" bigint,
    "shouldUpdateSequenceId" boolean DEFAULT true NOT NULL,
    "changedBy" xid8 DEFAULT pg_current_xact_id() NOT NULL
);

CREATE TABLE public."DeletedRow" (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    "tenancyId" uuid NOT NULL,
    "tableName" text NOT NULL,
    "primaryKey" jsonb NOT NULL,
    "deletedAt" timestamp with time zone DEFAULT now() NOT NULL,
    "sequenceId" bigint,
    "shouldUpdateSequenceId" boolean DEFAULT true NOT NULL,
    "changedBy" xid8 DEFAULT pg_current_xact_id() NOT NULL,
    CONSTRAINT "the key is an object of column and value" CHECK ((jsonb_typeof("primaryKey") = 'object'::text))
);

COMMENT ON TABLE public."DeletedRow" IS 'Tombstones: key columns of what was deleted, nothing else. Purged once every target of the tenant is past them.';

CREATE TABLE public."Event" (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    "createdAt" timestamp with time zone DEFAULT now() NOT NULL,
    "eventStartedAt" timestamp with time zone DEFAULT now() NOT NULL,
    "systemEventTypeIds" text[] DEFAULT '{}'::text[] NOT NULL,
    data jsonb DEFAULT '{}'::jsonb NOT NULL,
    "endUserIpInfoGuessId" uuid,
    "changedBy" xid8 DEFAULT pg_current_xact_id()
);

COMMENT ON COLUMN public."Event"."changedBy" IS 'The transaction that wrote it; null: written before this column was there.';

CREATE TABLE public."EventIpInfo" (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    ip text,
    "countryCode" text,
    "regionCode" text,
    "cityName" text
);

CREATE TABLE public."ExternalDatabase" (
    "tenancyId" uuid NOT NULL,
    id text NOT NULL,
    type text DEFAULT 'postgres'::text NOT NULL,
    "connectionString" bytea,
    "keyId" text,
    "displayUrl" text,
    schema text,
    mappings text[],
    "readRoles" text[] DEFAULT '{}'::text[] NOT NULL,
    "caCertificates" text,
    state text DEFAULT 'ok'::text NOT NULL,
    "lastError" text,
    "lastErrorClass" text,
    "consecutiveFailures" integer DEFAULT 0 NOT NULL,
    "nextAttemptAt" timestamp with time zone,
    "nextVisitAt" timestamp with time zone DEFAULT now() NOT NULL,
    "lastSuccessAt" timestamp with time zone,
    "createdAt" timestamp with time zone DEFAULT now() NOT NULL,
    "updatedAt" timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT "a connection string has its key id" CHECK ((("connectionString" IS NULL) = ("keyId" IS NULL))),
    CONSTRAINT "failures are counted upwards" CHECK (("consecutiveFailures" >= 0)),
    CONSTRAINT "only postgres targets are known" CHECK ((type = 'postgres'::text)),
    CONSTRAINT "the id is 1 to 63 plain characters" CHECK ((id ~ '^[A-Za-z0-9_-]{1,63}$'::text)),
    CONSTRAINT "the state is a known one" CHECK ((state = ANY (ARRAY['ok'::text, 'retrying'::text, 'broken'::text, 'paused'::text, 'refused'::text])))
);

COMMENT ON TABLE public."ExternalDatabase" IS 'A target: one external database (and schema) of a tenant.';

COMMENT ON COLUMN public."ExternalDatabase"."connectionString" IS 'Encrypted with the key "keyId"; never readable from here alone.';

COMMENT ON COLUMN public."ExternalDatabase"."displayUrl" IS 'The connection string without its password, to recognise it by.';

COMMENT ON COLUMN public."ExternalDatabase".schema IS 'Schema in the target; null = sync.schema of the configuration.';

COMMENT ON COLUMN public."ExternalDatabase".mappings IS 'Names of the mappings that go there; null = all.';

COMMENT ON COLUMN public."ExternalDatabase"."lastError" IS 'Our sentence for what went wrong; never the server''s own text, which carries values.';

COMMENT ON COLUMN public."ExternalDatabase"."nextVisitAt" IS 'When an idle target is looked at again (sweep and heartbeat in one).';

CREATE TABLE public."Fusebox" (
    id boolean DEFAULT true NOT NULL,
    "sequencerEnabled" boolean DEFAULT true NOT NULL,
    "pollerEnabled" boolean DEFAULT true NOT NULL,
    "syncEngineEnabled" boolean DEFAULT true NOT NULL,
    "requestsEnabled" boolean DEFAULT true NOT NULL,
    "updatedAt" timestamp with time zone DEFAULT now() NOT NULL,
    "updatedBy" text,
    CONSTRAINT "there is one fusebox" CHECK (id)
);

COMMENT ON TABLE public."Fusebox" IS 'One row of switches; a worker honours them within a second.';

CREATE TABLE public."HttpAttempt" (
    "requestId" uuid NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    "destinationId" uuid NOT NULL,
    number integer NOT NULL,
    outcome text NOT NULL,
    "durationMillis" integer NOT NULL,
    status integer,
    "errorClass" text,
    error text,
    "responseExcerpt" text,
    "workerId" text,
    "tenancyId" uuid,
    "eventType" text,
    "createdAt" timestamp with time zone,
    method text,
    url text,
    headers jsonb,
    body text,
    "orderKey" text,
    "timeoutMillis" integer,
    CONSTRAINT "an attempt delivers, fails or is the last" CHECK ((outcome = ANY (ARRAY['delivered'::text, 'failed'::text, 'dead'::text])))
);

COMMENT ON TABLE public."HttpAttempt" IS 'What was tried, and what came of it; kept for a retention.';

COMMENT ON COLUMN public."HttpAttempt".number IS 'Which attempt of its request it was, from 1.';

COMMENT ON COLUMN public."HttpAttempt".outcome IS 'delivered: the request''s row is gone. dead: it was the last attempt.';

COMMENT ON COLUMN public."HttpAttempt".error IS 'Our sentence for what went wrong.';

COMMENT ON COLUMN public."HttpAttempt"."responseExcerpt" IS 'The first KiB of the answer.';

COMMENT ON COLUMN public."HttpAttempt".body IS 'Of a delivered request, like the columns around it: so that it can be sent again.';

CREATE TABLE public."HttpDestination" (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    "triggerId" uuid,
    origin text,
    parallelism integer,
    "ratePerSecond" double precision,
    "batchEvents" integer DEFAULT 1 NOT NULL,
    "batchWaitMillis" integer DEFAULT 0 NOT NULL,
    state text DEFAULT 'ok'::text NOT NULL,
    "consecutiveFailures" integer DEFAULT 0 NOT NULL,
    "failingSince" timestamp with time zone,
    "nextAttemptAt" timestamp with time zone,
    "lastError" text,
    "lastErrorClass" text,
    "lastStatus" integer,
    "lastSuccessAt" timestamp with time zone,
    "createdAt" timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT "a destination is a trigger or an origin" CHECK ((("triggerId" IS NULL) <> (origin IS NULL))),
    CONSTRAINT "a destination is ok, retrying or broken" CHECK ((state = ANY (ARRAY['ok'::text, 'retrying'::text, 'broken'::text]))),
    CONSTRAINT "failures of a destination are counted upwards" CHECK (("consecutiveFailures" >= 0)),
    CONSTRAINT "limits are positive" CHECK (((parallelism > 0) AND ("ratePerSecond" > (0)::double precision) AND ("batchEvents" > 0) AND ("batchWaitMillis" >= 0))),
    CONSTRAINT "the destination of a trigger has its id" CHECK (("triggerId" = id))
);

COMMENT ON TABLE public."HttpDestination" IS 'What flow control belongs to: a registered trigger, or for plain requests the origin of their URL.';

COMMENT ON COLUMN public."HttpDestination".id IS 'The trigger''s id, or the MD5 of the origin: whoever writes a request knows it without looking.';

COMMENT ON COLUMN public."HttpDestination".origin IS 'Scheme, host and port, in lower case and always with the port: https://example.org:443.';

COMMENT ON COLUMN public."HttpDestination".parallelism IS 'Requests at once; null: requests.parallelism of the configuration.';

COMMENT ON COLUMN public."HttpDestination"."failingSince" IS 'Since when there were only failures; null after a success.';

COMMENT ON COLUMN public."HttpDestination"."nextAttemptAt" IS 'The breaker is open: nothing is tried before this instant, and then a single probe.';

CREATE SEQUENCE public.http_fault_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

COMMENT ON SEQUENCE public.http_fault_seq IS 'Where the ids of "HttpFault" come from.';

CREATE TABLE public."HttpFault" (
    id bigint DEFAULT nextval('public.http_fault_seq'::regclass) NOT NULL,
    "tableId" bigint,
    "triggerId" uuid,
    "sqlState" text NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE public."HttpFault" IS 'Statements of the application that went through although their events could not be made; the poller counts them at the trigger. At most 1,000 rows.';

CREATE TABLE public."HttpRule" (
    id bigint NOT NULL,
    "tableId" bigint NOT NULL,
    "onUpdate" text NOT NULL,
    "onOther" text NOT NULL
);

COMMENT ON TABLE public."HttpRule" IS 'Conditions of triggers without their values: what thousands of triggers have in common is compiled once.';

COMMENT ON COLUMN public."HttpRule"."onUpdate" IS 'SQL over the row "r", the row "o" as it was before, and the trigger "t", whose arguments are the values.';

COMMENT ON COLUMN public."HttpRule"."onOther" IS 'The same for a row that is inserted or deleted: there is no row before it, and whatever is asked about changes holds.';

ALTER TABLE public."HttpRule" ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public."HttpRule_id_seq"
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public."HttpSettings" (
    id boolean DEFAULT true NOT NULL,
    "allowHttp" boolean DEFAULT false NOT NULL,
    "maxBodyBytes" integer DEFAULT 1048576 NOT NULL,
    CONSTRAINT "there is one row of settings" CHECK (id)
);

COMMENT ON TABLE public."HttpSettings" IS 'What enqueue_http_request accepts: a copy of the configuration, written by pollers when they start.';

ALTER TABLE public."HttpTable" ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public."HttpTable_id_seq"
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public."HttpTrigger" (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    "tenancyId" uuid,
    "tableId" bigint,
    operations text[] DEFAULT '{}'::text[] NOT NULL,
    events text[] DEFAULT '{}'::text[] NOT NULL,
    columns text[],
    condition jsonb,
    "ruleId" bigint,
    arguments text[] DEFAULT '{}'::text[] NOT NULL,
    url text NOT NULL,
    headers jsonb DEFAULT '{}'::jsonb NOT NULL,
    secrets bytea NOT NULL,
    "keyId" text NOT NULL,
    "timeoutMillis" integer,
    "eventLimit" integer DEFAULT 10000 NOT NULL,
    ordered boolean DEFAULT false NOT NULL,
    state text DEFAULT 'active'::text NOT NULL,
    "stateReason" text,
    "stateSince" timestamp with time zone DEFAULT now() NOT NULL,
    "missedStatements" bigint DEFAULT 0 NOT NULL,
    "lastFault" text,
    "lastFaultAt" timestamp with time zone,
    "createdAt" timestamp with time zone DEFAULT now() NOT NULL,
    "updatedAt" timestamp with time zone DEFAULT now() NOT NULL,
    "secretsSince" timestamp with time zone[],
    CONSTRAINT "a condition is a list" CHECK ((jsonb_typeof(condition) = 'array'::text)),
    CONSTRAINT "a limit of events is positive" CHECK (("eventLimit" > 0)),
    CONSTRAINT "a time limit is positive" CHECK (("timeoutMillis" > 0)),
    CONSTRAINT "a trigger is active, paused or broken" CHECK ((state = ANY (ARRAY['active'::text, 'paused'::text, 'broken'::text]))),
    CONSTRAINT "a trigger listens to a table or to our own events" CHECK ((("tableId" IS NULL) = (cardinality(events) > 0))),
    CONSTRAINT "a trigger of a table names operations" CHECK ((("tableId" IS NULL) = (cardinality(operations) = 0))),
    CONSTRAINT "headers are an object" CHECK ((jsonb_typeof(headers) = 'object'::text)),
    CONSTRAINT "operations are insert, update and delete" CHECK ((operations <@ ARRAY['insert'::text, 'update'::text, 'delete'::text]))
);

COMMENT ON TABLE public."HttpTrigger" IS 'Whom a committed change, or an event of our own, is told by an HTTP request.';

COMMENT ON COLUMN public."HttpTrigger"."tenancyId" IS 'Changes of this tenancy only; null: of all.';

COMMENT ON COLUMN public."HttpTrigger".columns IS 'An update counts if one of these changed; null: if the event''s data changed.';

COMMENT ON COLUMN public."HttpTrigger".condition IS 'As the operator wrote it; "ruleId" and "arguments" are what it was compiled to.';

COMMENT ON COLUMN public."HttpTrigger".secrets IS 'The signing secrets, one a line, the newest first, encrypted with the key "keyId".';

COMMENT ON COLUMN public."HttpTrigger"."eventLimit" IS 'A statement that makes more events than this makes a single one with the count.';

COMMENT ON COLUMN public."HttpTrigger".ordered IS 'The events of a row go one after the other, in the order of its changes.';

COMMENT ON COLUMN public."HttpTrigger".state IS 'Only an active trigger makes events. broken: its definition does not fit its table any more.';

COMMENT ON COLUMN public."HttpTrigger"."missedStatements" IS 'Statements of the application that went through although their events could not be made.';

COMMENT ON COLUMN public."HttpTrigger"."secretsSince" IS 'Since when each of its secrets signs, the newest first; null: since before this was noted.';

CREATE TABLE public."OutgoingRequest" (
    id uuid DEFAULT (encode(OVERLAY(int8send((((EXTRACT(epoch FROM clock_timestamp()) * (1000)::numeric))::bigint << 16)) PLACING SUBSTRING(uuid_send(gen_random_uuid()) FROM 7) FROM 7), 'hex'::text))::uuid NOT NULL,
    kind text DEFAULT 'sync'::text NOT NULL,
    "createdAt" timestamp with time zone DEFAULT now() NOT NULL,
    "deduplicationKey" text,
    "tenancyId" uuid,
    "databaseId" text,
    lane text DEFAULT 'live'::text NOT NULL,
    "dueAt" timestamp with time zone DEFAULT now() NOT NULL,
    "startedFulfillingAt" timestamp with time zone,
    "runningSince" timestamp with time zone,
    "workerId" text,
    claim bigint DEFAULT 0 NOT NULL,
    counter bigint DEFAULT 0 NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    "destinationId" uuid,
    "position" bigint,
    state text DEFAULT 'pending'::text NOT NULL,
    "eventType" text,
    method text,
    url text,
    headers jsonb,
    body text,
    "orderKey" text,
    "timeoutMillis" integer,
    "lastError" text,
    "lastErrorClass" text,
    "lastStatus" integer,
    "diedAt" timestamp with time zone,
    "askedBy" xid8,
    traceparent text DEFAULT NULLIF(current_setting('tenant_sync.traceparent'::text, true), ''::text),
    CONSTRAINT "a request waits or is dead" CHECK ((state = ANY (ARRAY['pending'::text, 'dead'::text]))),
    CONSTRAINT "a sync names its target" CHECK (((kind <> 'sync'::text) OR ("deduplicationKey" IS NOT NULL))),
    CONSTRAINT "only what was claimed runs" CHECK ((("runningSince" IS NULL) OR ("startedFulfillingAt" IS NOT NULL))),
    CONSTRAINT "the dead know since when" CHECK (((state = 'dead'::text) = ("diedAt" IS NOT NULL))),
    CONSTRAINT "the lane is live or bulk" CHECK ((lane = ANY (ARRAY['live'::text, 'bulk'::text]))),
    CONSTRAINT "what goes by HTTP names its destination" CHECK (((kind = ANY (ARRAY['sync'::text, 'ask'::text])) OR ("destinationId" IS NOT NULL)))
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.02');

COMMENT ON TABLE public."OutgoingRequest" IS 'Outbox. One row of kind sync for each target with something to do, one of kind delivery for each destination: pending, queued, running, gone. Rows of kind http are the requests themselves. Rows of kind ask and deliveryAsk are an application''s wish, folded by the poller.';

COMMENT ON COLUMN public."OutgoingRequest".id IS 'Begins with the time at which it was made, so that ids come in order. Of kind http: also the webhook-id.';

COMMENT ON COLUMN public."OutgoingRequest"."dueAt" IS 'When the row may be taken up. Claiming and running move it on by a lease, so a lapsed lease is due by itself.';

COMMENT ON COLUMN public."OutgoingRequest"."startedFulfillingAt" IS 'When a poller claimed the row; null = pending.';

COMMENT ON COLUMN public."OutgoingRequest"."runningSince" IS 'When a worker took the job up.';

COMMENT ON COLUMN public."OutgoingRequest".claim IS 'Raised by each claim; a message that carries another number is stale.';

COMMENT ON COLUMN public."OutgoingRequest".counter IS 'Raised each time it is asked for again; a worker removes the row only if it is the one it saw when it started.';

COMMENT ON COLUMN public."OutgoingRequest"."destinationId" IS 'Kinds http, delivery and deliveryAsk: "HttpDestination"."id".';

COMMENT ON COLUMN public."OutgoingRequest"."position" IS 'Kind http: in the order of writing.';

COMMENT ON COLUMN public."OutgoingRequest".state IS 'Kind http: pending until it is delivered (then the row is gone), dead when all attempts are used up.';

COMMENT ON COLUMN public."OutgoingRequest"."eventType" IS 'Kind http: name of the event; null for a plain request.';

COMMENT ON COLUMN public."OutgoingRequest".url IS 'Kind http, plain requests: where it goes. The URL and headers of an event are the trigger''s. Kind deliveryAsk: the origin, if it may be a new one.';

COMMENT ON COLUMN public."OutgoingRequest".body IS 'Kind http: what is sent, byte for byte.';

COMMENT ON COLUMN public."OutgoingRequest"."orderKey" IS 'Kind http: requests of a destination with the same key go strictly one after the other.';

COMMENT ON COLUMN public."OutgoingRequest"."askedBy" IS 'Kind deliveryAsk: the transaction that asked, so that a fold looks only at what can be new.';

COMMENT ON COLUMN public."OutgoingRequest".traceparent IS 'W3C trace context of the pass that asked for this last, if it is traced.';

CREATE TABLE public."ParkedRow" (
    relation text NOT NULL,
    "tenancyId" uuid NOT NULL,
    "primaryKey" jsonb NOT NULL,
    "sqlState" text NOT NULL,
    attempts integer DEFAULT 1 NOT NULL,
    "parkedAt" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    "retryAt" timestamp with time zone NOT NULL
);

COMMENT ON TABLE public."ParkedRow" IS 'Rows that refused their sequence id (a trigger of the application''s, for example) and stop nobody else meanwhile.';

CREATE TABLE public."Project" (
    id text NOT NULL,
    "displayName" text DEFAULT ''::text NOT NULL,
    "createdAt" timestamp with time zone DEFAULT now() NOT NULL,
    "updatedAt" timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE public."Project" IS 'A product of the SaaS company; owns tenancies.';

CREATE TABLE public."ProjectUser" (
    "tenancyId" uuid NOT NULL,
    "projectUserId" uuid DEFAULT gen_random_uuid() NOT NULL,
    "createdAt" timestamp with time zone DEFAULT now() NOT NULL,
    "updatedAt" timestamp with time zone DEFAULT now() NOT NULL,
    "lastActiveAt" timestamp with time zone,
    "signedUpAt" timestamp with time zone,
    "displayName" text,
    "profileImageUrl" text,
    "clientMetadata" jsonb,
    "clientReadOnlyMetadata" jsonb,
    "serverMetadata" jsonb,
    "isAnonymous" boolean DEFAULT false NOT NULL,
    "sequenceId" bigint,
    "shouldUpdateSequenceId" boolean DEFAULT true NOT NULL,
    "changedBy" xid8 DEFAULT pg_current_xact_id() NOT NULL
);

CREATE TABLE public."RefusedRow" (
    "tenancyId" uuid NOT NULL,
    "databaseId" text NOT NULL,
    "mappingName" text NOT NULL,
    place integer NOT NULL,
    key jsonb NOT NULL,
    "sqlState" text NOT NULL,
    reason text NOT NULL,
    "refusedAt" timestamp with time zone NOT NULL,
    attempts integer NOT NULL,
    "retryAt" timestamp with time zone NOT NULL,
    CONSTRAINT "the key is an object" CHECK ((jsonb_typeof(key) = 'object'::text))
);

COMMENT ON TABLE public."RefusedRow" IS 'Rows that a target refuses: a copy of its _sync_refused, which is the truth, written by the worker whose turn finds that it differs.';

COMMENT ON COLUMN public."RefusedRow".place IS 'Number within the mapping; the set is written as a whole.';

COMMENT ON COLUMN public."RefusedRow".key IS 'The row''s key, by columns of the target. Nothing else of the row is kept.';

COMMENT ON COLUMN public."RefusedRow".reason IS 'Our words, with the names of table, column and constraint; never the server''s text, which carries values.';

COMMENT ON COLUMN public."RefusedRow"."retryAt" IS 'When it is tried again.';

CREATE TABLE public."SchemaMigration" (
    "migrationName" text NOT NULL,
    checksum text NOT NULL,
    breaking boolean DEFAULT false NOT NULL,
    "startedAt" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    "finishedAt" timestamp with time zone,
    progress jsonb DEFAULT '{}'::jsonb NOT NULL
);

COMMENT ON TABLE public."SchemaMigration" IS 'tenant-sync: the migrations of this schema';

COMMENT ON COLUMN public."SchemaMigration".checksum IS 'SHA-256 of the file';

COMMENT ON COLUMN public."SchemaMigration".breaking IS 'an older version must not run on this schema';

COMMENT ON COLUMN public."SchemaMigration"."finishedAt" IS 'null while it runs and after it failed half-way';

COMMENT ON COLUMN public."SchemaMigration".progress IS 'how far one got that runs outside a transaction';

CREATE TABLE public."SequencedDependency" (
    changed text NOT NULL,
    dependent text NOT NULL,
    "changedColumns" text[] NOT NULL,
    "dependentColumns" text[] NOT NULL,
    CONSTRAINT "columns come in pairs" CHECK ((cardinality("changedColumns") = cardinality("dependentColumns")))
);

COMMENT ON TABLE public."SequencedDependency" IS 'A change of a row there gives the matching rows here a new id, too (a channel and its user).';

CREATE TABLE public."SequencedRelation" (
    relation text NOT NULL,
    "keyColumns" text[] NOT NULL,
    columns text[] DEFAULT '{}'::text[] NOT NULL,
    ordinal integer NOT NULL
);

COMMENT ON TABLE public."SequencedRelation" IS 'Relations whose changes get ids. Each has "tenancyId", "sequenceId", "shouldUpdateSequenceId" and "changedBy".';

COMMENT ON COLUMN public."SequencedRelation".columns IS 'Columns that count as a change: those that a mapping reads, and the key. Empty: the relation is only ever appended to.';

ALTER TABLE public."SequencedRelation" ALTER COLUMN ordinal ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public."SequencedRelation_ordinal_seq"
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public."SequencerBacklog" (
    "tenancyId" uuid NOT NULL,
    "fromXid" xid8 NOT NULL,
    "servedPass" bigint DEFAULT 0 NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    "notBefore" timestamp with time zone,
    "lastError" text
);

COMMENT ON TABLE public."SequencerBacklog" IS 'Tenants that a pass could not finish: more rows than their share, locked rows, refused rows.';

CREATE TABLE public."SequencerPass" (
    pass bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    "lastSequenceId" bigint NOT NULL,
    "fromXid" xid8 NOT NULL,
    revisit xid8[] DEFAULT '{}'::xid8[] NOT NULL,
    "scannedFullyAt" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    rows bigint DEFAULT 0 NOT NULL,
    backlog boolean DEFAULT false NOT NULL
);

COMMENT ON TABLE public."SequencerPass" IS 'Ledger of passes, newest last; appended, never updated, so that the newest is found at once under any old snapshot.';

COMMENT ON COLUMN public."SequencerPass"."lastSequenceId" IS 'The horizon: every id up to here is visible wherever this row is.';

COMMENT ON COLUMN public."SequencerPass"."fromXid" IS 'Pending changes of transactions before this one are all known (backlog), but for those in "revisit".';

COMMENT ON COLUMN public."SequencerPass".revisit IS 'Transactions before "fromXid" that were still running.';

COMMENT ON COLUMN public."SequencerPass".backlog IS 'Whether the pass left a row in "SequencerBacklog"; if not, nobody looks there (its dead rows stay while an old snapshot is held).';

CREATE TABLE public."SourceEpoch" (
    number bigint NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    "startedAt" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    "postmasterStartedAt" timestamp with time zone DEFAULT pg_postmaster_start_time() NOT NULL,
    "firstSequenceId" bigint NOT NULL,
    reason text NOT NULL
);

COMMENT ON TABLE public."SourceEpoch" IS 'Lives of this database: a restart, failover, restore or clone begins one. Ids are comparable only as far as the epochs in between show no step back.';

COMMENT ON COLUMN public."SourceEpoch"."firstSequenceId" IS 'Lowest id that this epoch may have given. A target of an earlier epoch with a watermark at or above it has seen changes that were lost.';

ALTER TABLE public."SourceEpoch" ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public."SourceEpoch_number_seq"
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public."SyncSample" (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    "tenancyId" uuid,
    "databaseId" text,
    name text DEFAULT ''::text NOT NULL,
    value double precision
);

COMMENT ON TABLE public."SyncSample" IS 'History for charts, kept 7 days.';

ALTER TABLE public."SyncSample" ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public."SyncSample_id_seq"
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public."SyncState" (
    "tenancyId" uuid NOT NULL,
    "databaseId" text NOT NULL,
    "mappingName" text NOT NULL,
    "lastSyncedSequenceId" bigint DEFAULT 0 NOT NULL,
    "completeAsOf" timestamp with time zone,
    "mappingVersion" integer,
    filling boolean DEFAULT false NOT NULL,
    "fillRequested" boolean DEFAULT false NOT NULL,
    "fillStartedAt" timestamp with time zone,
    "fillPosition" jsonb,
    "comparedAt" timestamp with time zone DEFAULT now() NOT NULL,
    "comparePosition" jsonb,
    "rowsWritten" bigint DEFAULT 0 NOT NULL,
    "refusedRows" integer DEFAULT 0 NOT NULL,
    "updatedAt" timestamp with time zone DEFAULT now() NOT NULL,
    "refusedDigest" text
);

COMMENT ON TABLE public."SyncState" IS 'Progress of each mapping in each target: a copy for status and sweep; the watermark in the target is the truth.';

COMMENT ON COLUMN public."SyncState".filling IS 'The target is being filled (first copy, new column, resync, repair).';

COMMENT ON COLUMN public."SyncState"."fillRequested" IS 'An operator asked for a resync; taken back by the worker that begins it.';

COMMENT ON COLUMN public."SyncState"."fillStartedAt" IS 'When the fill began, or was asked for; null = when the target was added.';

COMMENT ON COLUMN public."SyncState"."fillPosition" IS 'Key up to which the fill has come, its columns as text; null = the first. A copy for status.';

COMMENT ON COLUMN public."SyncState"."comparedAt" IS 'When a range of keys was last compared although the target follows, or it was filled.';

COMMENT ON COLUMN public."SyncState"."comparePosition" IS 'Key after which that comparison goes on; null = it is through, or has not begun.';

COMMENT ON COLUMN public."SyncState"."refusedDigest" IS 'Of what "RefusedRow" is a copy of; null: the target refused nothing. Where the target says something else, the copy is written anew.';

CREATE TABLE public."TargetSession" (
    "tenancyId" uuid NOT NULL,
    "databaseId" text NOT NULL,
    slot integer NOT NULL,
    "workerId" text NOT NULL,
    "takenAt" timestamp with time zone DEFAULT now() NOT NULL,
    "wantedBy" text
);

COMMENT ON TABLE public."TargetSession" IS 'Bounds the sessions in one target over all workers (sync.target_connections): one row a session, held by a worker with a heartbeat.';

COMMENT ON COLUMN public."TargetSession"."wantedBy" IS 'Another worker waits for this slot; its holder closes the session as soon as it is idle.';

CREATE TABLE public."Tenancy" (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    "projectId" text NOT NULL,
    "branchId" text DEFAULT 'main'::text NOT NULL,
    "tenantKey" text NOT NULL,
    "createdAt" timestamp with time zone DEFAULT now() NOT NULL,
    "updatedAt" timestamp with time zone DEFAULT now() NOT NULL,
    "settlesAt" xid8,
    "settlesAfter" text[],
    settled boolean DEFAULT false NOT NULL
);

COMMENT ON TABLE public."Tenancy" IS 'One tenant. Its rows carry its id, or its key in tables of the operator''s own.';

COMMENT ON COLUMN public."Tenancy"."tenantKey" IS 'Value of the tenant column in the operator''s own tables, as text; the id unless given.';

COMMENT ON COLUMN public."Tenancy"."settlesAfter" IS 'Virtual numbers of the transactions that ran when it was first seen: their snapshots may be older, though they may write only later.';

COMMENT ON COLUMN public."Tenancy".settled IS 'Every transaction that may have written rows of this tenant before it was known has ended.';

CREATE TABLE public."TombstonePurge" (
    "tenancyId" uuid NOT NULL,
    "purgedThrough" bigint DEFAULT 0 NOT NULL,
    "changesPurgedThrough" bigint DEFAULT 0 NOT NULL
);

COMMENT ON TABLE public."TombstonePurge" IS 'Tombstones of the tenant, or pointers to changed rows, up to these ids are gone; a target below is filled again.';

ALTER TABLE public."TrackedTable" ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public."TrackedTable_id_seq"
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE SEQUENCE public.tracking_fault_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

COMMENT ON SEQUENCE public.tracking_fault_seq IS 'Counts writes that could not be recorded, also those that were rolled back later.';

CREATE TABLE public."TrackingFault" (
    id bigint DEFAULT nextval('public.tracking_fault_seq'::regclass) NOT NULL,
    name text NOT NULL,
    "sqlState" text NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE public."TrackingFault" IS 'Statements of the application that went through although their changes could not be recorded: that feed is incomplete. At most 1,000 rows.';

CREATE TABLE public."TrackingWatch" (
    id boolean DEFAULT true NOT NULL,
    "handledFault" bigint DEFAULT 0 NOT NULL,
    "noticedFault" bigint,
    "settlesAt" xid8,
    CONSTRAINT "there is one watch" CHECK (id)
);

COMMENT ON TABLE public."TrackingWatch" IS 'Up to which fault of the tracking the targets were compared. A fault is noticed first, and handled when every transaction that may have had it has ended.';

CREATE TABLE public."UserActivity" (
    "tenancyId" uuid NOT NULL,
    "projectUserId" uuid NOT NULL,
    "isAnonymous" boolean DEFAULT false NOT NULL,
    "signedUpAt" timestamp with time zone,
    "lastActiveAt" timestamp with time zone,
    "eventAt" timestamp with time zone,
    "ipInfoAt" timestamp with time zone,
    "ipInfoId" uuid,
    "countryAt" timestamp with time zone,
    "countryCode" text,
    "signInMethods" text
);

COMMENT ON TABLE public."UserActivity" IS 'One row a user, kept by the folds. No foreign key: its check would make the application''s deletes and our folds wait for each other.';

COMMENT ON COLUMN public."UserActivity"."signedUpAt" IS 'The user''s own, else "createdAt"; null while there is no such user.';

COMMENT ON COLUMN public."UserActivity"."lastActiveAt" IS 'The greater of the user''s own "lastActiveAt" and "eventAt", else "signedUpAt", else "createdAt"; null while there is no such user.';

COMMENT ON COLUMN public."UserActivity"."eventAt" IS 'Latest activity event ever seen; it stays when events are purged.';

COMMENT ON COLUMN public."UserActivity"."ipInfoId" IS 'Of the latest event that has one: its country may become known later.';

COMMENT ON COLUMN public."UserActivity"."countryCode" IS 'Of the latest event whose country was known when it was folded.';

COMMENT ON COLUMN public."UserActivity"."signInMethods" IS 'JSON: pairs of type and provider, the first 21. Null: not looked up yet.';

CREATE TABLE public."UserActivityDay" (
    "tenancyId" uuid NOT NULL,
    day date NOT NULL,
    "projectUserId" uuid NOT NULL,
    "isAnonymous" boolean NOT NULL
);

COMMENT ON TABLE public."UserActivityDay" IS 'Who was active on a day (UTC); kept as long as a day may be shown, so that late events count once.';

COMMENT ON COLUMN public."UserActivityDay"."isAnonymous" IS 'Whether all events of the day say so.';

CREATE TABLE public."UserFeed" (
    "changedBy" xid8 DEFAULT pg_current_xact_id() NOT NULL,
    id bigint NOT NULL,
    "tenancyId" uuid NOT NULL,
    "projectUserId" uuid NOT NULL
);

COMMENT ON TABLE public."UserFeed" IS 'Users whose place in the console''s list, or whose name or address, may be another now. Rows go when they are folded.';

ALTER TABLE public."UserFeed" ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public."UserFeed_id_seq"
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public."UserSearch" (
    "tenancyId" uuid NOT NULL,
    "projectUserId" uuid NOT NULL,
    text text NOT NULL
);

COMMENT ON TABLE public."UserSearch" IS 'What a user is found by, kept by the folds. A table of its own: activity, which changes often, would write its large index anew.';

COMMENT ON COLUMN public."UserSearch".text IS 'Name and addresses in small letters, each behind the end of a line: the first 1,000 characters, of 200 channels at most.';

CREATE TABLE public."WorkerHeartbeat" (
    id text NOT NULL,
    kind text DEFAULT ''::text NOT NULL,
    version text DEFAULT ''::text NOT NULL,
    "startedAt" timestamp with time zone DEFAULT now() NOT NULL,
    "lastSeenAt" timestamp with time zone DEFAULT now() NOT NULL,
    details jsonb DEFAULT '{}'::jsonb NOT NULL
);

COMMENT ON TABLE public."WorkerHeartbeat" IS 'One row a running worker; not seen for 30 s = gone.';

CREATE SEQUENCE public.global_seq_id
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

COMMENT ON SEQUENCE public.global_seq_id IS 'Ids of changes, given only inside backfill_null_sequence_ids, under its lock.';

CREATE SEQUENCE public.outgoing_request_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

COMMENT ON SEQUENCE public.outgoing_request_seq IS 'Where "OutgoingRequest"."position" comes from.';

ALTER TABLE ONLY public."ActivityDay"
    ADD CONSTRAINT "ActivityDay_pkey" PRIMARY KEY ("tenancyId", day);

ALTER TABLE ONLY public."ActivityFold"
    ADD CONSTRAINT "ActivityFold_pkey" PRIMARY KEY (source);

ALTER TABLE ONLY public."AuditEntry"
    ADD CONSTRAINT "AuditEntry_pkey" PRIMARY KEY (id);

ALTER TABLE ONLY public."AuthMethod"
    ADD CONSTRAINT "AuthMethod_pkey" PRIMARY KEY ("tenancyId", id);

ALTER TABLE ONLY public."CacheEntry"
    ADD CONSTRAINT "CacheEntry_pkey" PRIMARY KEY (id);

ALTER TABLE ONLY public."ChangedRow"
    ADD CONSTRAINT "ChangedRow_pkey" PRIMARY KEY (id);

ALTER TABLE ONLY public."ContactChannel"
    ADD CONSTRAINT "ContactChannel_pkey" PRIMARY KEY ("tenancyId", "projectUserId", id);

ALTER TABLE ONLY public."DeletedRow"
    ADD CONSTRAINT "DeletedRow_pkey" PRIMARY KEY (id);

ALTER TABLE ONLY public."EventIpInfo"
    ADD CONSTRAINT "EventIpInfo_pkey" PRIMARY KEY (id);

ALTER TABLE ONLY public."Event"
    ADD CONSTRAINT "Event_pkey" PRIMARY KEY (id);

ALTER TABLE ONLY public."ExternalDatabase"
    ADD CONSTRAINT "ExternalDatabase_pkey" PRIMARY KEY ("tenancyId", id);

ALTER TABLE ONLY public."Fusebox"
    ADD CONSTRAINT "Fusebox_pkey" PRIMARY KEY (id);

ALTER TABLE ONLY public."HttpAttempt"
    ADD CONSTRAINT "HttpAttempt_pkey" PRIMARY KEY ("requestId", at);

ALTER TABLE ONLY public."HttpDestination"
    ADD CONSTRAINT "HttpDestination_origin_key" UNIQUE (origin);

ALTER TABLE ONLY public."HttpDestination"
    ADD CONSTRAINT "HttpDestination_pkey" PRIMARY KEY (id);

ALTER TABLE ONLY public."HttpDestination"
    ADD CONSTRAINT "HttpDestination_triggerId_key" UNIQUE ("triggerId");

ALTER TABLE ONLY public."HttpFault"
    ADD CONSTRAINT "HttpFault_pkey" PRIMARY KEY (id);

ALTER TABLE ONLY public."HttpRule"
    ADD CONSTRAINT "HttpRule_pkey" PRIMARY KEY (id);

ALTER TABLE ONLY public."HttpSettings"
    ADD CONSTRAINT "HttpSettings_pkey" PRIMARY KEY (id);

ALTER TABLE ONLY public."HttpTable"
    ADD CONSTRAINT "HttpTable_name_key" UNIQUE (name);

ALTER TABLE ONLY public."HttpTable"
    ADD CONSTRAINT "HttpTable_pkey" PRIMARY KEY (id);

ALTER TABLE ONLY public."HttpTable"
    ADD CONSTRAINT "HttpTable_relation_key" UNIQUE (relation);

ALTER TABLE ONLY public."HttpTrigger"
    ADD CONSTRAINT "HttpTrigger_pkey" PRIMARY KEY (id);

ALTER TABLE ONLY public."OutgoingRequest"
    ADD CONSTRAINT "OutgoingRequest_pkey" PRIMARY KEY (id);

ALTER TABLE ONLY public."ParkedRow"
    ADD CONSTRAINT "ParkedRow_pkey" PRIMARY KEY (relation, "tenancyId", "primaryKey");

ALTER TABLE ONLY public."ProjectUser"
    ADD CONSTRAINT "ProjectUser_pkey" PRIMARY KEY ("tenancyId", "projectUserId");

ALTER TABLE ONLY public."Project"
    ADD CONSTRAINT "Project_pkey" PRIMARY KEY (id);

ALTER TABLE ONLY public."RefusedRow"
    ADD CONSTRAINT "RefusedRow_pkey" PRIMARY KEY ("tenancyId", "databaseId", "mappingName", place);

ALTER TABLE ONLY public."SchemaMigration"
    ADD CONSTRAINT "SchemaMigration_pkey" PRIMARY KEY ("migrationName");

ALTER TABLE ONLY public."SequencedDependency"
    ADD CONSTRAINT "SequencedDependency_pkey" PRIMARY KEY (changed, dependent, "changedColumns", "dependentColumns");

ALTER TABLE ONLY public."SequencedRelation"
    ADD CONSTRAINT "SequencedRelation_pkey" PRIMARY KEY (relation);

ALTER TABLE ONLY public."SequencerBacklog"
    ADD CONSTRAINT "SequencerBacklog_pkey" PRIMARY KEY ("tenancyId");

ALTER TABLE ONLY public."SequencerPass"
    ADD CONSTRAINT "SequencerPass_pkey" PRIMARY KEY (pass);

ALTER TABLE ONLY public."SourceEpoch"
    ADD CONSTRAINT "SourceEpoch_id_key" UNIQUE (id);

ALTER TABLE ONLY public."SourceEpoch"
    ADD CONSTRAINT "SourceEpoch_pkey" PRIMARY KEY (number);

ALTER TABLE ONLY public."SyncSample"
    ADD CONSTRAINT "SyncSample_pkey" PRIMARY KEY (id);

ALTER TABLE ONLY public."SyncState"
    ADD CONSTRAINT "SyncState_pkey" PRIMARY KEY ("tenancyId", "databaseId", "mappingName");

ALTER TABLE ONLY public."TargetSession"
    ADD CONSTRAINT "TargetSession_pkey" PRIMARY KEY ("tenancyId", "databaseId", slot);

ALTER TABLE ONLY public."Tenancy"
    ADD CONSTRAINT "Tenancy_pkey" PRIMARY KEY (id);

ALTER TABLE ONLY public."TombstonePurge"
    ADD CONSTRAINT "TombstonePurge_pkey" PRIMARY KEY ("tenancyId");

ALTER TABLE ONLY public."TrackedTable"
    ADD CONSTRAINT "TrackedTable_id_key" UNIQUE (id);

ALTER TABLE ONLY public."TrackedTable"
    ADD CONSTRAINT "TrackedTable_pkey" PRIMARY KEY (name);

ALTER TABLE ONLY public."TrackedTable"
    ADD CONSTRAINT "TrackedTable_relation_key" UNIQUE (relation);

ALTER TABLE ONLY public."TrackingFault"
    ADD CONSTRAINT "TrackingFault_pkey" PRIMARY KEY (id);

ALTER TABLE ONLY public."TrackingWatch"
    ADD CONSTRAINT "TrackingWatch_pkey" PRIMARY KEY (id);

ALTER TABLE ONLY public."UserActivityDay"
    ADD CONSTRAINT "UserActivityDay_pkey" PRIMARY KEY ("tenancyId", day, "projectUserId");

ALTER TABLE ONLY public."UserActivity"
    ADD CONSTRAINT "UserActivity_pkey" PRIMARY KEY ("tenancyId", "projectUserId");

ALTER TABLE ONLY public."UserSearch"
    ADD CONSTRAINT "UserSearch_pkey" PRIMARY KEY ("tenancyId", "projectUserId");

ALTER TABLE ONLY public."WorkerHeartbeat"
    ADD CONSTRAINT "WorkerHeartbeat_pkey" PRIMARY KEY (id);

ALTER TABLE ONLY public."HttpRule"
    ADD CONSTRAINT "a rule of a table is there once" UNIQUE ("tableId", "onUpdate");

ALTER TABLE ONLY public."ContactChannel"
    ADD CONSTRAINT "one channel an id" UNIQUE ("tenancyId", id);

ALTER TABLE ONLY public."CacheEntry"
    ADD CONSTRAINT "one entry a key" UNIQUE (namespace, "cacheKey");

ALTER TABLE ONLY public."Tenancy"
    ADD CONSTRAINT "one tenancy a project and branch" UNIQUE ("projectId", "branchId");

ALTER TABLE ONLY public."Tenancy"
    ADD CONSTRAINT "one tenancy a tenant key" UNIQUE ("tenantKey");

CREATE INDEX "ActivityDay_day" ON public."ActivityDay" USING btree (day);

CREATE INDEX "AuditEntry_at" ON public."AuditEntry" USING btree (at);

CREATE INDEX "AuditEntry_tenancyId" ON public."AuditEntry" USING btree ("tenancyId", id) WHERE ("tenancyId" IS NOT NULL);

CREATE INDEX "AuthMethod_user" ON public."AuthMethod" USING btree ("tenancyId", "projectUserId");

CREATE INDEX "CacheEntry_expiresAt" ON public."CacheEntry" USING btree ("expiresAt");

CREATE INDEX "ChangedRow_fetch" ON public."ChangedRow" USING btree ("tenancyId", "tableName", "sequenceId") WHERE ("sequenceId" IS NOT NULL);

CREATE INDEX "ChangedRow_pending" ON public."ChangedRow" USING btree ("changedBy", "tenancyId") WHERE ("shouldUpdateSequenceId" AND ("changedBy" IS DISTINCT FROM '0'::xid8));

CREATE INDEX "ChangedRow_pending_by_tenancy" ON public."ChangedRow" USING btree ("tenancyId", "changedBy") WHERE ("shouldUpdateSequenceId" AND ("changedBy" IS DISTINCT FROM '2'::xid8));

CREATE INDEX "ContactChannel_fetch" ON public."ContactChannel" USING btree ("tenancyId", "sequenceId");

CREATE UNIQUE INDEX "ContactChannel_one_primary_a_type" ON public."ContactChannel" USING btree ("tenancyId", "projectUserId", type) WHERE "isPrimary";

CREATE INDEX "ContactChannel_pending" ON public."ContactChannel" USING btree ("changedBy", "tenancyId") WHERE ("shouldUpdateSequenceId" AND ("changedBy" IS DISTINCT FROM '0'::xid8));

CREATE INDEX "ContactChannel_pending_by_tenancy" ON public."ContactChannel" USING btree ("tenancyId", "changedBy") WHERE ("shouldUpdateSequenceId" AND ("changedBy" IS DISTINCT FROM '2'::xid8));

CREATE INDEX "DeletedRow_age" ON public."DeletedRow" USING btree ("deletedAt");

CREATE INDEX "DeletedRow_fetch" ON public."DeletedRow" USING btree ("tenancyId", "tableName", "sequenceId");

CREATE INDEX "DeletedRow_pending" ON public."DeletedRow" USING btree ("changedBy", "tenancyId") WHERE ("shouldUpdateSequenceId" AND ("changedBy" IS DISTINCT FROM '0'::xid8));

CREATE INDEX "DeletedRow_pending_by_tenancy" ON public."DeletedRow" USING btree ("tenancyId", "changedBy") WHERE ("shouldUpdateSequenceId" AND ("changedBy" IS DISTINCT FROM '2'::xid8));

CREATE INDEX "Event_activity" ON public."Event" USING btree ("changedBy", id) WHERE ('$user-activity'::text = ANY ("systemEventTypeIds"));

CREATE INDEX "ExternalDatabase_failures" ON public."ExternalDatabase" USING btree ("consecutiveFailures", "tenancyId", id) WHERE (state <> 'ok'::text);

CREATE INDEX "ExternalDatabase_newest" ON public."ExternalDatabase" USING btree ("createdAt", "tenancyId", id);

CREATE INDEX "ExternalDatabase_nextVisitAt" ON public."ExternalDatabase" USING btree ("nextVisitAt") WHERE (state <> 'paused'::text);

CREATE INDEX "ExternalDatabase_not_ok" ON public."ExternalDatabase" USING btree (state) WHERE (state <> 'ok'::text);

CREATE INDEX "ExternalDatabase_trouble" ON public."ExternalDatabase" USING btree (state, COALESCE("lastErrorClass", ''::text), "tenancyId", id) INCLUDE ("lastErrorClass") WHERE (state <> 'ok'::text);

CREATE INDEX "HttpAttempt_at" ON public."HttpAttempt" USING btree (at);

CREATE INDEX "HttpAttempt_destination" ON public."HttpAttempt" USING btree ("destinationId", at);

CREATE INDEX "HttpDestination_failing" ON public."HttpDestination" USING btree ("createdAt", id) WHERE ((state <> 'ok'::text) AND ("triggerId" IS NOT NULL));

CREATE INDEX "HttpDestination_not_ok" ON public."HttpDestination" USING btree (state) WHERE (state <> 'ok'::text);

CREATE INDEX "HttpTrigger_active" ON public."HttpTrigger" USING btree ("tableId", "tenancyId") WHERE ((state = 'active'::text) AND ("tableId" IS NOT NULL));

CREATE INDEX "HttpTrigger_newest" ON public."HttpTrigger" USING btree ("createdAt", id);

CREATE INDEX "HttpTrigger_own_events" ON public."HttpTrigger" USING btree ("tenancyId") WHERE ("tableId" IS NULL);

CREATE INDEX "HttpTrigger_ruleId" ON public."HttpTrigger" USING btree ("ruleId");

CREATE INDEX "HttpTrigger_state" ON public."HttpTrigger" USING btree (state, "createdAt", id);

CREATE INDEX "HttpTrigger_tenancy" ON public."HttpTrigger" USING btree ("tenancyId");

CREATE INDEX "HttpTrigger_tenancy_newest" ON public."HttpTrigger" USING btree ("tenancyId", "createdAt", id);

CREATE INDEX "HttpTrigger_url" ON public."HttpTrigger" USING btree (url COLLATE "C");

CREATE INDEX "OutgoingRequest_asks" ON public."OutgoingRequest" USING btree ("createdAt") WHERE (kind = 'ask'::text);

CREATE INDEX "OutgoingRequest_delivery_asks" ON public."OutgoingRequest" USING btree ("askedBy") WHERE (kind = 'deliveryAsk'::text);

CREATE INDEX "OutgoingRequest_delivery_due" ON public."OutgoingRequest" USING btree ("dueAt") WHERE (kind = 'delivery'::text);

CREATE INDEX "OutgoingRequest_delivery_queued" ON public."OutgoingRequest" USING btree ("dueAt") WHERE ((kind = 'delivery'::text) AND ("startedFulfillingAt" IS NOT NULL) AND ("runningSince" IS NULL));

CREATE INDEX "OutgoingRequest_http_dead" ON public."OutgoingRequest" USING btree ("destinationId", "diedAt") WHERE ((kind = 'http'::text) AND (state = 'dead'::text));

CREATE INDEX "OutgoingRequest_http_due" ON public."OutgoingRequest" USING btree ("destinationId", "dueAt", "position") WHERE ((kind = 'http'::text) AND (state = 'pending'::text));

CREATE UNIQUE INDEX "OutgoingRequest_http_once" ON public."OutgoingRequest" USING btree ("destinationId", "deduplicationKey") WHERE ((kind = 'http'::text) AND (state = 'pending'::text) AND ("deduplicationKey" IS NOT NULL));

CREATE INDEX "OutgoingRequest_http_order" ON public."OutgoingRequest" USING btree ("destinationId", "orderKey", "position") WHERE ((kind = 'http'::text) AND (state = 'pending'::text) AND ("orderKey" IS NOT NULL));

CREATE INDEX "OutgoingRequest_list_given_up" ON public."OutgoingRequest" USING btree ("diedAt", "position") WHERE ((kind = 'http'::text) AND (state = 'dead'::text) AND ("position" > 0));

CREATE INDEX "OutgoingRequest_list_waiting" ON public."OutgoingRequest" USING btree ("dueAt", "position") WHERE ((kind = 'http'::text) AND (state = 'pending'::text) AND ("position" > 0));

CREATE UNIQUE INDEX "OutgoingRequest_one_delivery_a_destination" ON public."OutgoingRequest" USING btree ("destinationId") WHERE (kind = 'delivery'::text);

CREATE UNIQUE INDEX "OutgoingRequest_one_sync_a_target" ON public."OutgoingRequest" USING btree ("deduplicationKey") WHERE (kind = 'sync'::text);

CREATE INDEX "OutgoingRequest_sync_due" ON public."OutgoingRequest" USING btree (lane, "dueAt") WHERE (kind = 'sync'::text);

CREATE INDEX "OutgoingRequest_sync_queued" ON public."OutgoingRequest" USING btree ("dueAt", lane) WHERE ((kind = 'sync'::text) AND ("startedFulfillingAt" IS NOT NULL) AND ("runningSince" IS NULL));

CREATE INDEX "OutgoingRequest_tenancy" ON public."OutgoingRequest" USING btree ("tenancyId") WHERE (kind = 'sync'::text);

CREATE INDEX "ProjectUser_fetch" ON public."ProjectUser" USING btree ("tenancyId", "sequenceId");

CREATE INDEX "ProjectUser_pending" ON public."ProjectUser" USING btree ("changedBy", "tenancyId") WHERE ("shouldUpdateSequenceId" AND ("changedBy" IS DISTINCT FROM '0'::xid8));

CREATE INDEX "ProjectUser_pending_by_tenancy" ON public."ProjectUser" USING btree ("tenancyId", "changedBy") WHERE ("shouldUpdateSequenceId" AND ("changedBy" IS DISTINCT FROM '2'::xid8));

CREATE INDEX "SyncSample_at" ON public."SyncSample" USING btree (at);

CREATE INDEX "SyncSample_name" ON public."SyncSample" USING btree (name, at) WHERE ("tenancyId" IS NULL);

CREATE INDEX "SyncSample_target" ON public."SyncSample" USING btree ("tenancyId", "databaseId", at) WHERE ("tenancyId" IS NOT NULL);

CREATE INDEX "TargetSession_workerId" ON public."TargetSession" USING btree ("workerId");

CREATE INDEX "Tenancy_projectId" ON public."Tenancy" USING btree ("projectId" COLLATE "C", id);

CREATE INDEX "Tenancy_tenantKey" ON public."Tenancy" USING btree ("tenantKey" COLLATE "C", id);

CREATE INDEX "Tenancy_unsettled" ON public."Tenancy" USING btree (id) WHERE (NOT settled);

CREATE INDEX "UserActivity_order" ON public."UserActivity" USING btree ("tenancyId", "isAnonymous", "lastActiveAt", "projectUserId");

CREATE INDEX "UserActivity_signed_up" ON public."UserActivity" USING btree ("tenancyId", "isAnonymous", "signedUpAt", "projectUserId") WHERE ("signedUpAt" IS NOT NULL);

CREATE INDEX "UserFeed_order" ON public."UserFeed" USING btree ("changedBy", id);

CREATE INDEX "WorkerHeartbeat_lastSeenAt" ON public."WorkerHeartbeat" USING btree ("lastSeenAt");

CREATE TRIGGER default_tenant_key BEFORE INSERT OR UPDATE ON public."Tenancy" FOR EACH ROW WHEN ((new."tenantKey" IS NULL)) EXECUTE FUNCTION public.default_tenant_key();

CREATE TRIGGER note_user_on_update AFTER UPDATE ON public."AuthMethod" FOR EACH ROW WHEN (((old.type IS DISTINCT FROM new.type) OR (old.provider IS DISTINCT FROM new.provider) OR (old."projectUserId" IS DISTINCT FROM new."projectUserId") OR (old."tenancyId" IS DISTINCT FROM new."tenancyId"))) EXECUTE FUNCTION public.note_user();

ALTER TABLE public."AuthMethod" ENABLE ALWAYS TRIGGER note_user_on_update;

CREATE TRIGGER note_user_on_update AFTER UPDATE ON public."ContactChannel" FOR EACH ROW WHEN (((old.value IS DISTINCT FROM new.value) OR (old."projectUserId" IS DISTINCT FROM new."projectUserId") OR (old."tenancyId" IS DISTINCT FROM new."tenancyId"))) EXECUTE FUNCTION public.note_user();

ALTER TABLE public."ContactChannel" ENABLE ALWAYS TRIGGER note_user_on_update;

CREATE TRIGGER note_user_on_update AFTER UPDATE ON public."ProjectUser" FOR EACH ROW WHEN (((old."lastActiveAt" IS DISTINCT FROM new."lastActiveAt") OR (old."signedUpAt" IS DISTINCT FROM new."signedUpAt") OR (old."createdAt" IS DISTINCT FROM new."createdAt") OR (old."isAnonymous" IS DISTINCT FROM new."isAnonymous") OR (old."displayName" IS DISTINCT FROM new."displayName") OR (old."projectUserId" IS DISTINCT FROM new."projectUserId") OR (old."tenancyId" IS DISTINCT FROM new."tenancyId"))) EXECUTE FUNCTION public.note_user();

ALTER TABLE public."ProjectUser" ENABLE ALWAYS TRIGGER note_user_on_update;

CREATE TRIGGER note_users_on_delete AFTER DELETE ON public."AuthMethod" REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION public.note_users();

ALTER TABLE public."AuthMethod" ENABLE ALWAYS TRIGGER note_users_on_delete;

CREATE TRIGGER note_users_on_delete AFTER DELETE ON public."ContactChannel" REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION public.note_users();

ALTER TABLE public."ContactChannel" ENABLE ALWAYS TRIGGER note_users_on_delete;

CREATE TRIGGER note_users_on_delete AFTER DELETE ON public."ProjectUser" REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION public.note_users();

ALTER TABLE public."ProjectUser" ENABLE ALWAYS TRIGGER note_users_on_delete;

CREATE TRIGGER note_users_on_insert AFTER INSERT ON public."AuthMethod" REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION public.note_users();

ALTER TABLE public."AuthMethod" ENABLE ALWAYS TRIGGER note_users_on_insert;

CREATE TRIGGER note_users_on_insert AFTER INSERT ON public."ContactChannel" REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION public.note_users();

ALTER TABLE public."ContactChannel" ENABLE ALWAYS TRIGGER note_users_on_insert;

CREATE TRIGGER note_users_on_insert AFTER INSERT ON public."ProjectUser" REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION public.note_users();

ALTER TABLE public."ProjectUser" ENABLE ALWAYS TRIGGER note_users_on_insert;

CREATE TRIGGER note_users_on_truncate BEFORE TRUNCATE ON public."AuthMethod" FOR EACH STATEMENT EXECUTE FUNCTION public.note_users();

ALTER TABLE public."AuthMethod" ENABLE ALWAYS TRIGGER note_users_on_truncate;

CREATE TRIGGER note_users_on_truncate BEFORE TRUNCATE ON public."ContactChannel" FOR EACH STATEMENT EXECUTE FUNCTION public.note_users();

ALTER TABLE public."ContactChannel" ENABLE ALWAYS TRIGGER note_users_on_truncate;

CREATE TRIGGER note_users_on_truncate BEFORE TRUNCATE ON public."ProjectUser" FOR EACH STATEMENT EXECUTE FUNCTION public.note_users();

ALTER TABLE public."ProjectUser" ENABLE ALWAYS TRIGGER note_users_on_truncate;

CREATE TRIGGER tell_source_rewound AFTER INSERT ON public."SourceEpoch" FOR EACH ROW WHEN ((new.reason = 'a target was ahead of this database'::text)) EXECUTE FUNCTION public.tell_source_rewound();

CREATE TRIGGER tell_target_state AFTER UPDATE ON public."ExternalDatabase" FOR EACH ROW WHEN ((((new.state = ANY (ARRAY['broken'::text, 'refused'::text])) AND (old.state <> ALL (ARRAY['broken'::text, 'refused'::text]))) OR ((new.state = 'ok'::text) AND (old.state = ANY (ARRAY['broken'::text, 'refused'::text]))))) EXECUTE FUNCTION public.tell_target_state();

CREATE TRIGGER "~tenant_sync_delete" AFTER DELETE ON public."ContactChannel" REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION public.log_deleted_row('tenancyId', 'projectUserId', 'id');

ALTER TABLE public."ContactChannel" ENABLE ALWAYS TRIGGER "~tenant_sync_delete";

CREATE TRIGGER "~tenant_sync_delete" AFTER DELETE ON public."ProjectUser" REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION public.log_deleted_row('tenancyId', 'projectUserId');

ALTER TABLE public."ProjectUser" ENABLE ALWAYS TRIGGER "~tenant_sync_delete";

CREATE TRIGGER "~tenant_sync_insert" BEFORE INSERT ON public."ContactChannel" FOR EACH ROW EXECUTE FUNCTION public.reset_sequence_id_on_update();

ALTER TABLE public."ContactChannel" ENABLE ALWAYS TRIGGER "~tenant_sync_insert";

CREATE TRIGGER "~tenant_sync_insert" BEFORE INSERT ON public."ProjectUser" FOR EACH ROW EXECUTE FUNCTION public.reset_sequence_id_on_update();

ALTER TABLE public."ProjectUser" ENABLE ALWAYS TRIGGER "~tenant_sync_insert";

CREATE TRIGGER "~tenant_sync_keep" BEFORE UPDATE ON public."ContactChannel" FOR EACH ROW WHEN (((NOT record_image_ne(ROW(old."tenancyId", old."projectUserId", old.id, old.type, old.value, old."isPrimary", old."isVerified", old."usedForAuth", old."createdAt"), ROW(new."tenancyId", new."projectUserId", new.id, new.type, new.value, new."isPrimary", new."isVerified", new."usedForAuth", new."createdAt"))) AND record_image_ne(ROW(old."sequenceId", old."shouldUpdateSequenceId", old."changedBy"), ROW(new."sequenceId", new."shouldUpdateSequenceId", new."changedBy")))) EXECUTE FUNCTION public.keep_sequence_columns();

ALTER TABLE public."ContactChannel" ENABLE ALWAYS TRIGGER "~tenant_sync_keep";

CREATE TRIGGER "~tenant_sync_keep" BEFORE UPDATE ON public."ProjectUser" FOR EACH ROW WHEN (((NOT record_image_ne(ROW(old."tenancyId", old."projectUserId", old."createdAt", old."signedUpAt", old."displayName", old."profileImageUrl", old."clientMetadata", old."clientReadOnlyMetadata", old."serverMetadata", old."isAnonymous"), ROW(new."tenancyId", new."projectUserId", new."createdAt", new."signedUpAt", new."displayName", new."profileImageUrl", new."clientMetadata", new."clientReadOnlyMetadata", new."serverMetadata", new."isAnonymous"))) AND record_image_ne(ROW(old."sequenceId", old."shouldUpdateSequenceId", old."changedBy"), ROW(new."sequenceId", new."shouldUpdateSequenceId", new."changedBy")))) EXECUTE FUNCTION public.keep_sequence_columns();

ALTER TABLE public."ProjectUser" ENABLE ALWAYS TRIGGER "~tenant_sync_keep";

CREATE TRIGGER "~tenant_sync_moved" AFTER UPDATE ON public."ContactChannel" FOR EACH ROW WHEN (record_image_ne(ROW(old."tenancyId", old."projectUserId", old.id), ROW(new."tenancyId", new."projectUserId", new.id))) EXECUTE FUNCTION public.log_moved_row('tenancyId', 'projectUserId', 'id');

ALTER TABLE public."ContactChannel" ENABLE ALWAYS TRIGGER "~tenant_sync_moved";

CREATE TRIGGER "~tenant_sync_moved" AFTER UPDATE ON public."ProjectUser" FOR EACH ROW WHEN (record_image_ne(ROW(old."tenancyId", old."projectUserId"), ROW(new."tenancyId", new."projectUserId"))) EXECUTE FUNCTION public.log_moved_row('tenancyId', 'projectUserId');

ALTER TABLE public."ProjectUser" ENABLE ALWAYS TRIGGER "~tenant_sync_moved";

CREATE TRIGGER "~tenant_sync_truncate" BEFORE TRUNCATE ON public."ContactChannel" FOR EACH STATEMENT EXECUTE FUNCTION public.log_truncated_rows('tenancyId', 'projectUserId', 'id');

ALTER TABLE public."ContactChannel" ENABLE ALWAYS TRIGGER "~tenant_sync_truncate";

CREATE TRIGGER "~tenant_sync_truncate" BEFORE TRUNCATE ON public."ProjectUser" FOR EACH STATEMENT EXECUTE FUNCTION public.log_truncated_rows('tenancyId', 'projectUserId');

ALTER TABLE public."ProjectUser" ENABLE ALWAYS TRIGGER "~tenant_sync_truncate";

CREATE TRIGGER "~tenant_sync_update" BEFORE UPDATE ON public."ContactChannel" FOR EACH ROW WHEN (record_image_ne(ROW(old."tenancyId", old."projectUserId", old.id, old.type, old.value, old."isPrimary", old."isVerified", old."usedForAuth", old."createdAt"), ROW(new."tenancyId", new."projectUserId", new.id, new.type, new.value, new."isPrimary", new."isVerified", new."usedForAuth", new."createdAt"))) EXECUTE FUNCTION public.reset_sequence_id_on_update();

ALTER TABLE public."ContactChannel" ENABLE ALWAYS TRIGGER "~tenant_sync_update";

CREATE TRIGGER "~tenant_sync_update" BEFORE UPDATE ON public."ProjectUser" FOR EACH ROW WHEN (record_image_ne(ROW(old."tenancyId", old."projectUserId", old."createdAt", old."signedUpAt", old."displayName", old."profileImageUrl", old."clientMetadata", old."clientReadOnlyMetadata", old."serverMetadata", old."isAnonymous"), ROW(new."tenancyId", new."projectUserId", new."createdAt", new."signedUpAt", new."displayName", new."profileImageUrl", new."clientMetadata", new."clientReadOnlyMetadata", new."serverMetadata", new."isAnonymous"))) EXECUTE FUNCTION public.reset_sequence_id_on_update();

ALTER TABLE public."ProjectUser" ENABLE ALWAYS TRIGGER "~tenant_sync_update";

ALTER TABLE ONLY public."AuthMethod"
    ADD CONSTRAINT "AuthMethod_tenancyId_projectUserId_fkey" FOREIGN KEY ("tenancyId", "projectUserId") REFERENCES public."ProjectUser"("tenancyId", "projectUserId") ON UPDATE CASCADE ON DELETE CASCADE;

ALTER TABLE ONLY public."ContactChannel"
    ADD CONSTRAINT "ContactChannel_tenancyId_projectUserId_fkey" FOREIGN KEY ("tenancyId", "projectUserId") REFERENCES public."ProjectUser"("tenancyId", "projectUserId") ON UPDATE CASCADE ON DELETE CASCADE;

ALTER TABLE ONLY public."ExternalDatabase"
    ADD CONSTRAINT "ExternalDatabase_tenancyId_fkey" FOREIGN KEY ("tenancyId") REFERENCES public."Tenancy"(id) ON DELETE CASCADE;

ALTER TABLE ONLY public."HttpDestination"
    ADD CONSTRAINT "HttpDestination_triggerId_fkey" FOREIGN KEY ("triggerId") REFERENCES public."HttpTrigger"(id) ON DELETE CASCADE;

ALTER TABLE ONLY public."HttpRule"
    ADD CONSTRAINT "HttpRule_tableId_fkey" FOREIGN KEY ("tableId") REFERENCES public."HttpTable"(id) ON DELETE CASCADE;

ALTER TABLE ONLY public."HttpTrigger"
    ADD CONSTRAINT "HttpTrigger_ruleId_fkey" FOREIGN KEY ("ruleId") REFERENCES public."HttpRule"(id);

ALTER TABLE ONLY public."HttpTrigger"
    ADD CONSTRAINT "HttpTrigger_tableId_fkey" FOREIGN KEY ("tableId") REFERENCES public."HttpTable"(id);

ALTER TABLE ONLY public."HttpTrigger"
    ADD CONSTRAINT "HttpTrigger_tenancyId_fkey" FOREIGN KEY ("tenancyId") REFERENCES public."Tenancy"(id) ON DELETE CASCADE;

ALTER TABLE ONLY public."ProjectUser"
    ADD CONSTRAINT "ProjectUser_tenancyId_fkey" FOREIGN KEY ("tenancyId") REFERENCES public."Tenancy"(id) ON DELETE CASCADE;

ALTER TABLE ONLY public."RefusedRow"
    ADD CONSTRAINT "RefusedRow_tenancyId_databaseId_mappingName_fkey" FOREIGN KEY ("tenancyId", "databaseId", "mappingName") REFERENCES public."SyncState"("tenancyId", "databaseId", "mappingName") ON DELETE CASCADE;

ALTER TABLE ONLY public."SequencedDependency"
    ADD CONSTRAINT "SequencedDependency_changed_fkey" FOREIGN KEY (changed) REFERENCES public."SequencedRelation"(relation) ON DELETE CASCADE;

ALTER TABLE ONLY public."SequencedDependency"
    ADD CONSTRAINT "SequencedDependency_dependent_fkey" FOREIGN KEY (dependent) REFERENCES public."SequencedRelation"(relation) ON DELETE CASCADE;

ALTER TABLE ONLY public."SyncState"
    ADD CONSTRAINT "SyncState_tenancyId_databaseId_fkey" FOREIGN KEY ("tenancyId", "databaseId") REFERENCES public."ExternalDatabase"("tenancyId", id) ON DELETE CASCADE;

ALTER TABLE ONLY public."Tenancy"
    ADD CONSTRAINT "Tenancy_projectId_fkey" FOREIGN KEY ("projectId") REFERENCES public."Project"(id) ON DELETE CASCADE;

