-- The outbox of everything that leaves the house.

create table "OutgoingRequest" (
    "id" uuid primary key default gen_random_uuid(),
    "kind" text not null default 'sync',
    "createdAt" timestamptz not null default now(),
    "deduplicationKey" text,
    "tenancyId" uuid,
    "databaseId" text,
    "lane" text not null default 'live',
    "dueAt" timestamptz not null default now(),
    "startedFulfillingAt" timestamptz,
    "runningSince" timestamptz,
    "workerId" text,
    "claim" bigint not null default 0,
    "counter" bigint not null default 0,
    "attempts" integer not null default 0,
    constraint "the lane is live or bulk" check ("lane" in ('live', 'bulk')),
    constraint "only what was claimed runs" check ("runningSince" is null or "startedFulfillingAt" is not null),
    constraint "a sync names its target" check ("kind" <> 'sync' or "deduplicationKey" is not null)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
create unique index "OutgoingRequest_one_sync_a_target" on "OutgoingRequest" ("deduplicationKey") where "kind" = 'sync';
create index "OutgoingRequest_sync_due" on "OutgoingRequest" ("lane", "dueAt") where "kind" = 'sync';
create index "OutgoingRequest_sync_queued" on "OutgoingRequest" ("dueAt", "lane")
    where "kind" = 'sync' and "startedFulfillingAt" is not null and "runningSince" is null;
create index "OutgoingRequest_asks" on "OutgoingRequest" ("createdAt") where "kind" = 'ask';
create index "OutgoingRequest_tenancy" on "OutgoingRequest" ("tenancyId") where "kind" = 'sync';
comment on table "OutgoingRequest" is 'Outbox. One row of kind sync for each target with something to do: pending, queued, running, gone. A row of kind ask is an application''s wish, folded into sync rows by the poller.';
comment on column "OutgoingRequest"."dueAt" is 'When the row may be taken up. Claiming and running move it on by a lease, so a lapsed lease is due by itself.';
comment on column "OutgoingRequest"."startedFulfillingAt" is 'When a poller claimed the row; null = pending.';
comment on column "OutgoingRequest"."runningSince" is 'When a worker took the job up.';
comment on column "OutgoingRequest"."claim" is 'Raised by each claim; a message that carries another number is stale.';
comment on column "OutgoingRequest"."counter" is 'Raised each time it is asked for again; a worker removes the row only if it is the one it saw when it started.';

create function enqueue_tenant_sync(tenancy uuid) returns bigint
    language plpgsql set search_path from current as $$
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
comment on function enqueue_tenant_sync(uuid) is 'Asks for a sync of all targets of a tenancy; returns how many were asked for. A tenancy without a target is never enqueued.';
