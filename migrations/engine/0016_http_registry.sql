-- Registering triggers, ending them, and events of our own.

-- The table of a trigger: a tracked one, or one of the shipped ones.
create function http_table(relation oid, event text, mapping_name text, data text) returns "HttpTable"
    language plpgsql set search_path from current as $$
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
end $$;
comment on function http_table(oid, text, text, text) is 'The row of a table that can have triggers, made if it has none yet.';

create function http_rule(on_table "HttpTable", on_update text, on_other text) returns bigint
    language plpgsql set search_path from current as $$
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
comment on function http_rule("HttpTable", text, text) is 'Number of a rule of a table, made if it is a new one.';

-- Compiles the condition against the table as it is, and lets the trigger be active.
create function http_activate(trigger_id uuid) returns void
    language plpgsql set search_path from current as $$
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
comment on function http_activate(uuid) is 'Lets a trigger make events, or says why it cannot.';

create function http_add_trigger(spec jsonb) returns void
    language plpgsql set search_path from current as $$
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
                               "secrets", "keyId", "timeoutMillis", "eventLimit", "ordered")
    values ((spec ->> 'id')::uuid, (spec ->> 'tenancyId')::uuid, on_table."id",
            array(select jsonb_array_elements_text(spec -> 'operations')), array(select jsonb_array_elements_text(spec -> 'events')),
            case when jsonb_typeof(spec -> 'columns') = 'array' then array(select jsonb_array_elements_text(spec -> 'columns')) end,
            nullif(spec -> 'condition', 'null'), spec ->> 'url', spec -> 'headers', decode(spec ->> 'secrets', 'hex'), spec ->> 'keyId',
            (spec ->> 'timeoutMillis')::integer, (spec ->> 'eventLimit')::integer, (spec ->> 'ordered')::boolean);
    insert into "HttpDestination" ("id", "triggerId", "parallelism", "ratePerSecond", "batchEvents", "batchWaitMillis")
    values ((spec ->> 'id')::uuid, (spec ->> 'id')::uuid, (spec ->> 'parallelism')::integer, (spec ->> 'ratePerSecond')::float8,
            (spec ->> 'batchEvents')::integer, (spec ->> 'batchWaitMillis')::integer);
    perform http_activate((spec ->> 'id')::uuid);
end $$;
comment on function http_add_trigger(jsonb) is 'Registers a trigger whose secrets are sealed already.';

-- The mapping may be another one by now.
create function http_resume_trigger(trigger_id uuid, event text, mapping_name text, data text) returns void
    language plpgsql set search_path from current as $$
begin
    perform http_table(h."relation", $2, $3, $4)
    from "HttpTrigger" t join "HttpTable" h on h."id" = t."tableId" where t."id" = trigger_id;
    perform http_activate(trigger_id);
end $$;
comment on function http_resume_trigger(uuid, text, text, text) is 'Lets a paused or broken trigger be active again, or says why it cannot.';

-- Nobody asked for this: what does not fit is parked, and the next change of the mapping is followed again.
create function http_follow_mapping(table_id bigint, event text, mapping_name text, data text) returns text
    language plpgsql set search_path from current as $$
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
end $$;
comment on function http_follow_mapping(bigint, text, text, text) is 'Makes a table''s events of what its mapping says now. If they cannot be made, its triggers are parked, and the reason is returned.';

create function http_update_trigger(trigger_id uuid, url text, secrets bytea, key_id text) returns void
    language plpgsql set search_path from current as $$
#variable_conflict use_column
declare
    problem text := case when $2 is not null then http_url_problem($2) end;
begin
    if problem is not null then
        raise exception using errcode = 'invalid_parameter_value', message = problem;
    end if;
    update "HttpTrigger" t set "url" = coalesce($2, t."url"), "secrets" = coalesce($3, t."secrets"), "keyId" = coalesce($4, t."keyId"),
        "updatedAt" = now()
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
end $$;
comment on function http_update_trigger(uuid, text, bytea, text) is 'Gives a trigger another URL or other sealed secrets; what is null stays. Another URL closes the breaker.';

create function http_remove_trigger(trigger_id uuid) returns boolean
    language plpgsql set search_path from current as $$
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
comment on function http_remove_trigger(uuid) is 'Removes a trigger, and with the last one of a table all that was made for the table; false if there is none.';

-- Events of our own: the same rows, written by our own processes.
create function http_own_event(event text, tenancy uuid, data jsonb) returns bigint
    language plpgsql set search_path from current as $$
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
comment on function http_own_event(text, uuid, jsonb) is 'Tells triggers of our own events; returns how many.';

create function http_pause_trigger(trigger_id uuid, reason text) returns boolean
    language plpgsql set search_path from current as $$
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
comment on function http_pause_trigger(uuid, text) is 'Lets a trigger make no events and send none; false if it was paused, or is none.';

-- Statements that made no events: they are counted, and what cannot work is parked, for it would fail with every write.
-- As the owner of our schema, because functions are written anew.
create function http_settle_faults(at_most bigint) returns bigint
    language plpgsql security definer set search_path from current as $$
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
comment on function http_settle_faults(bigint) is 'Counts statements that made no events at their triggers, and parks those whose definition is broken.';

-- What tracking knows of this.

create or replace function note_tracked_partitions(feed text) returns boolean
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
    perform http_attach(h) from "HttpTable" h where h."relation" = tracked."relation";
    return true;
end $$;

create or replace function untrack_table("table" regclass) returns void
    language plpgsql security definer set search_path from current as $$
declare
    listeners bigint := (select count(*) from "HttpTrigger" t join "HttpTable" h on h."id" = t."tableId" where h."relation" = $1::oid);
begin
    if listeners > 0 then
        raise exception using errcode = 'object_in_use', message = format(
            '%s has %s of tenant-sync''s HTTP triggers: `trigger remove` them first', $1, listeners);
    end if;
    perform tracking_locate();
    perform tracking_forget(k) from "TrackedTable" k where k."relation" = $1::oid;
end $$;

create or replace function tracking_refusal(relation oid) returns text
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
            'TrackingFault', 'TrackingWatch', 'HttpTable', 'HttpRule', 'HttpTrigger', 'HttpDestination',
            'HttpAttempt', 'HttpFault', 'HttpSettings', 'AuditEntry', 'SchemaMigration', 'ProjectUser', 'ContactChannel', 'Event',
            'EventIpInfo', 'AuthMethod', 'UserFeed', 'UserActivity', 'UserSearch', 'UserActivityDay', 'ActivityDay', 'ActivityFold')
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

-- Events of our own, told where they happen: in the transaction that changes the state.

create function tell_target_state() returns trigger
    language plpgsql security definer set search_path from current as $$
begin
    perform http_own_event(case new."state" when 'ok' then 'target.recovered' else 'target.broken' end, new."tenancyId",
        jsonb_build_object('targetId', new."id", 'state', new."state", 'error', new."lastError", 'errorClass', new."lastErrorClass"));
    return null;
end $$;
comment on function tell_target_state() is 'Tells that a target is broken, or has recovered.';
create trigger "tell_target_state" after update on "ExternalDatabase" for each row
    when (new."state" in ('broken', 'refused') and old."state" not in ('broken', 'refused')
          or new."state" = 'ok' and old."state" in ('broken', 'refused'))
    execute function tell_target_state();

create function tell_source_rewound() returns trigger
    language plpgsql security definer set search_path from current as $$
begin
    perform http_own_event('source.rewound', null, jsonb_build_object('epoch', new."number", 'reason', new."reason",
        'firstSequenceId', new."firstSequenceId"));
    return null;
end $$;
comment on function tell_source_rewound() is 'Tells that the internal database has stepped back.';
create trigger "tell_source_rewound" after insert on "SourceEpoch" for each row
    when (new."reason" = 'a target was ahead of this database')
    execute function tell_source_rewound();
