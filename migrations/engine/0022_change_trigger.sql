-- Changing whatever can be said of a trigger, while it is in use.

alter table "HttpTrigger" add column "secretsSince" timestamptz[];
comment on column "HttpTrigger"."secretsSince" is 'Since when each of its secrets signs, the newest first; null: since before this was noted.';

create or replace function http_add_trigger(spec jsonb) returns void
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

-- The version before this one calls it, and knows of no times.
create or replace function http_update_trigger(trigger_id uuid, url text, secrets bytea, key_id text) returns void
    language plpgsql set search_path from current as $$
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
end $$;
comment on function http_update_trigger(uuid, text, bytea, text) is 'What http_change_trigger does, for the version before it.';

-- Headers that are changed, by name in whatever case: null takes one away. The others stay.
create function http_changed_headers(headers jsonb, changed jsonb) returns jsonb
    language plpgsql stable set search_path from current as $$
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
comment on function http_changed_headers(jsonb, jsonb) is 'Headers with some of them changed, or says what is wrong with them.';

create function http_change_trigger(trigger_id uuid, change jsonb) returns void
    language plpgsql set search_path from current as $$
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
comment on function http_change_trigger(uuid, jsonb) is 'Changes a trigger, checked as http_add_trigger does; what is not named stays. Another URL closes the breaker.';
