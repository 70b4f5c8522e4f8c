-- The tenants' external databases, what is known of each, and who is connected to it.

create table "ExternalDatabase" (
    "tenancyId" uuid not null references "Tenancy" ("id") on delete cascade,
    "id" text not null,
    "type" text not null default 'postgres',
    "connectionString" bytea,
    "keyId" text,
    "displayUrl" text,
    "schema" text,
    "mappings" text[],
    "readRoles" text[] not null default '{}',
    "caCertificates" text,
    "state" text not null default 'ok',
    "lastError" text,
    "lastErrorClass" text,
    "consecutiveFailures" integer not null default 0,
    "nextAttemptAt" timestamptz,
    "nextVisitAt" timestamptz not null default now(),
    "lastSuccessAt" timestamptz,
    "createdAt" timestamptz not null default now(),
    "updatedAt" timestamptz not null default now(),
    primary key ("tenancyId", "id"),
    constraint "the id is 1 to 63 plain characters" check ("id" ~ '^[A-Za-z0-9_-]{1,63}$'),
    constraint "only postgres targets are known" check ("type" = 'postgres'),
    constraint "a connection string has its key id" check (("connectionString" is null) = ("keyId" is null)),
    constraint "the state is a known one" check ("state" in ('ok', 'retrying', 'broken', 'paused', 'refused')),
    constraint "failures are counted upwards" check ("consecutiveFailures" >= 0)
);
create index "ExternalDatabase_nextVisitAt" on "ExternalDatabase" ("nextVisitAt") where "state" <> 'paused';
create index "ExternalDatabase_not_ok" on "ExternalDatabase" ("state") where "state" <> 'ok';
comment on table "ExternalDatabase" is 'A target: one external database (and schema) of a tenant.';
comment on column "ExternalDatabase"."connectionString" is 'Encrypted with the key "keyId"; never readable from here alone.';
comment on column "ExternalDatabase"."displayUrl" is 'The connection string without its password, to recognise it by.';
comment on column "ExternalDatabase"."schema" is 'Schema in the target; null = sync.schema of the configuration.';
comment on column "ExternalDatabase"."mappings" is 'Names of the mappings that go there; null = all.';
comment on column "ExternalDatabase"."lastError" is 'Our sentence for what went wrong; never the server''s own text, which carries values.';
comment on column "ExternalDatabase"."nextVisitAt" is 'When an idle target is looked at again (sweep and heartbeat in one).';

create table "SyncState" (
    "tenancyId" uuid not null,
    "databaseId" text not null,
    "mappingName" text not null,
    "lastSyncedSequenceId" bigint not null default 0,
    "completeAsOf" timestamptz,
    "mappingVersion" integer,
    "filling" boolean not null default false,
    "fillRequested" boolean not null default false,
    "fillStartedAt" timestamptz,
    "fillPosition" jsonb,
    "comparedAt" timestamptz not null default now(),
    "comparePosition" jsonb,
    "rowsWritten" bigint not null default 0,
    "refusedRows" integer not null default 0,
    "updatedAt" timestamptz not null default now(),
    primary key ("tenancyId", "databaseId", "mappingName"),
    foreign key ("tenancyId", "databaseId") references "ExternalDatabase" ("tenancyId", "id") on delete cascade
);
comment on table "SyncState" is 'Progress of each mapping in each target: a copy for status and sweep; the watermark in the target is the truth.';
comment on column "SyncState"."filling" is 'The target is being filled (first copy, new column, resync, repair).';
comment on column "SyncState"."fillRequested" is 'An operator asked for a resync; taken back by the worker that begins it.';

comment on column "SyncState"."fillStartedAt" is 'When the fill began, or was asked for; null = when the target was added.';
comment on column "SyncState"."comparedAt" is 'When a range of keys was last compared although the target follows, or it was filled.';
comment on column "SyncState"."comparePosition" is 'Key after which that comparison goes on; null = it is through, or has not begun.';
comment on column "SyncState"."fillPosition" is 'Key up to which the fill has come, its columns as text; null = the first. A copy for status.';

create table "TargetSession" (
    "tenancyId" uuid not null,
    "databaseId" text not null,
    "slot" integer not null,
    "workerId" text not null,
    "takenAt" timestamptz not null default now(),
    "wantedBy" text,
    primary key ("tenancyId", "databaseId", "slot")
);
create index "TargetSession_workerId" on "TargetSession" ("workerId");
comment on table "TargetSession" is 'Bounds the sessions in one target over all workers (sync.target_connections): one row a session, held by a worker with a heartbeat.';
comment on column "TargetSession"."wantedBy" is 'Another worker waits for this slot; its holder closes the session as soon as it is idle.';
