-- One sequence of ids for all tables and tenants, and the ledger of the passes that give them.

create sequence global_seq_id as bigint cache 1;
comment on sequence global_seq_id is 'Ids of changes, given only inside backfill_null_sequence_ids, under its lock.';

create table "SourceEpoch" (
    "number" bigint generated always as identity primary key,
    "id" uuid not null unique default gen_random_uuid(),
    "startedAt" timestamptz not null default clock_timestamp(),
    "postmasterStartedAt" timestamptz not null default pg_postmaster_start_time(),
    "firstSequenceId" bigint not null,
    "reason" text not null
);
comment on table "SourceEpoch" is 'Lives of this database: a restart, failover, restore or clone begins one. Ids are comparable only as far as the epochs in between show no step back.';
comment on column "SourceEpoch"."firstSequenceId" is 'Lowest id that this epoch may have given. A target of an earlier epoch with a watermark at or above it has seen changes that were lost.';

create table "SequencerPass" (
    "pass" bigint primary key,
    "at" timestamptz not null default clock_timestamp(),
    "lastSequenceId" bigint not null,
    "fromXid" xid8 not null,
    "revisit" xid8[] not null default '{}',
    "scannedFullyAt" timestamptz not null default clock_timestamp(),
    "rows" bigint not null default 0,
    "backlog" boolean not null default false
);
comment on table "SequencerPass" is 'Ledger of passes, newest last; appended, never updated, so that the newest is found at once under any old snapshot.';
comment on column "SequencerPass"."lastSequenceId" is 'The horizon: every id up to here is visible wherever this row is.';
comment on column "SequencerPass"."fromXid" is 'Pending changes of transactions before this one are all known (backlog), but for those in "revisit".';
comment on column "SequencerPass"."revisit" is 'Transactions before "fromXid" that were still running.';
comment on column "SequencerPass"."backlog" is 'Whether the pass left a row in "SequencerBacklog"; if not, nobody looks there (its dead rows stay while an old snapshot is held).';

create table "SequencerBacklog" (
    "tenancyId" uuid primary key,
    "fromXid" xid8 not null,
    "servedPass" bigint not null default 0,
    "failures" integer not null default 0,
    "notBefore" timestamptz,
    "lastError" text
);
comment on table "SequencerBacklog" is 'Tenants that a pass could not finish: more rows than their share, locked rows, refused rows.';

create table "ParkedRow" (
    "relation" text not null,
    "tenancyId" uuid not null,
    "primaryKey" jsonb not null,
    "sqlState" text not null,
    "attempts" integer not null default 1,
    "parkedAt" timestamptz not null default clock_timestamp(),
    "retryAt" timestamptz not null,
    primary key ("relation", "tenancyId", "primaryKey")
);
comment on table "ParkedRow" is 'Rows that refused their sequence id (a trigger of the application''s, for example) and stop nobody else meanwhile.';

create table "SequencedRelation" (
    "relation" text primary key,
    "keyColumns" text[] not null,
    "columns" text[] not null default '{}',
    "ordinal" integer generated always as identity
);
comment on table "SequencedRelation" is 'Relations whose changes get ids. Each has "tenancyId", "sequenceId", "shouldUpdateSequenceId" and "changedBy".';
comment on column "SequencedRelation"."columns" is 'Columns that count as a change: those that a mapping reads, and the key. Empty: the relation is only ever appended to.';

create table "SequencedDependency" (
    "changed" text not null references "SequencedRelation" ("relation") on delete cascade,
    "dependent" text not null references "SequencedRelation" ("relation") on delete cascade,
    "changedColumns" text[] not null,
    "dependentColumns" text[] not null,
    primary key ("changed", "dependent", "changedColumns", "dependentColumns"),
    constraint "columns come in pairs" check (cardinality("changedColumns") = cardinality("dependentColumns"))
);
comment on table "SequencedDependency" is 'A change of a row there gives the matching rows here a new id, too (a channel and its user).';

create table "TombstonePurge" (
    "tenancyId" uuid primary key,
    "purgedThrough" bigint not null default 0,
    "changesPurgedThrough" bigint not null default 0
);
comment on table "TombstonePurge" is 'Tombstones of the tenant, or pointers to changed rows, up to these ids are gone; a target below is filled again.';
