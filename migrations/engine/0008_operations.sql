-- Switches, who runs, caches and history.

create table "Fusebox" (
    "id" boolean primary key default true,
    "sequencerEnabled" boolean not null default true,
    "pollerEnabled" boolean not null default true,
    "syncEngineEnabled" boolean not null default true,
    "requestsEnabled" boolean not null default true,
    "updatedAt" timestamptz not null default now(),
    "updatedBy" text,
    constraint "there is one fusebox" check ("id")
);
insert into "Fusebox" default values;
comment on table "Fusebox" is 'One row of switches; a worker honours them within a second.';

create table "WorkerHeartbeat" (
    "id" text primary key,
    "kind" text not null default '',
    "version" text not null default '',
    "startedAt" timestamptz not null default now(),
    "lastSeenAt" timestamptz not null default now(),
    "details" jsonb not null default '{}'
);
create index "WorkerHeartbeat_lastSeenAt" on "WorkerHeartbeat" ("lastSeenAt");
comment on table "WorkerHeartbeat" is 'One row a running worker; not seen for 30 s = gone.';

create table "CacheEntry" (
    "id" uuid primary key default gen_random_uuid(),
    "namespace" text not null,
    "cacheKey" text not null,
    "payload" jsonb,
    "expiresAt" timestamptz not null default now(),
    "createdAt" timestamptz not null default now(),
    constraint "one entry a key" unique ("namespace", "cacheKey")
);
create index "CacheEntry_expiresAt" on "CacheEntry" ("expiresAt");

create table "SyncSample" (
    "id" bigint generated always as identity primary key,
    "at" timestamptz not null default now(),
    "tenancyId" uuid,
    "databaseId" text,
    "name" text not null default '',
    "value" double precision
);
create index "SyncSample_at" on "SyncSample" ("at");
comment on table "SyncSample" is 'History for charts, kept 7 days.';
