-- What became of requests, written in one call whose plans each session keeps. Planned each time, a settlement of one request spends
-- four fifths of its time on the plan.

-- Requests are found by their ids alone: no index but the primary key has entries for them all, and with scans of tables switched off
-- there is no other way to them. Joins are by hash, so that none can look for requests in another order. So a plan that was made while
-- the outbox was empty is right when it is full.
create function settle_requests(delivery uuid, held_claim bigint, destination uuid, worker text, ids uuid[], outcomes text[],
    waits float8[], counts integer[], ago float8[], took integer[], statuses integer[], classes text[], errors text[],
    excerpts text[], standing text, failures_in_row integer, rests_for float8, last_error text, last_class text,
    last_status integer, known_as_of timestamptz, out ours boolean, out changed boolean)
    language plpgsql set search_path from current
    set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_nestloop = off set enable_mergejoin = off
    set jit = off as $$
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
comment on function settle_requests(uuid, bigint, uuid, text, uuid[], text[], float8[], integer[], float8[], integer[], integer[], text[], text[], text[], text, integer, float8, text, text, integer, timestamptz) is 'Removes what was delivered, moves on what failed, logs each attempt and says how the destination is doing; nothing of it if the delivery row is no longer its caller''s. outcomes is empty where all were delivered.';
