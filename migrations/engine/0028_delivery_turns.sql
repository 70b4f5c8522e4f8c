-- The beginning and the end of a destination's turn, each in one call whose plans the session keeps, as settle_requests: most turns
-- are of one request, and planned each time they spend more on the plans than on all they do. Rows are found by one key each, so a
-- plan that was made while the tables were empty is right when they are full.

create function take_delivery(delivery uuid, held_claim bigint, worker text, lease_seconds float8, out counter bigint,
    out destination uuid, out tenancy uuid, out known boolean, out parallelism integer, out rate float8, out batch_events integer,
    out batch_wait_millis integer, out failures_in_row integer, out failing_seconds float8, out rests_seconds float8,
    out active boolean, out url text, out headers jsonb, out key_id text, out secrets bytea, out timeout_millis integer,
    out updated_at timestamptz)
    language plpgsql set search_path from current
    set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
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
comment on function take_delivery(uuid, bigint, text, float8) is 'Takes a queued delivery row until the lease is over, and says what is known of its destination. counter is null if the row is not its caller''s to take; active is null where there is no trigger.';

create function end_delivery(delivery uuid, held_claim bigint, known_counter bigint, destination uuid) returns boolean
    language plpgsql set search_path from current
    set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
begin
    delete from "OutgoingRequest" r
    where r."id" = delivery and r."claim" = held_claim and r."runningSince" is not null and r."counter" = known_counter
      and not exists (select from "OutgoingRequest" w
                      where w."kind" = 'http' and w."state" = 'pending' and w."destinationId" = destination);
    return found;
end $$;
comment on function end_delivery(uuid, bigint, bigint, uuid) is 'Ends a turn if nothing of the destination waits and nobody asked meanwhile: its delivery row is gone.';
