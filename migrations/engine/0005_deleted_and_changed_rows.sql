-- Tombstones, and the feed of the operator's own tables.

create table "DeletedRow" (
    "id" uuid primary key default gen_random_uuid(),
    "tenancyId" uuid not null,
    "tableName" text not null,
    "primaryKey" jsonb not null,
    "deletedAt" timestamptz not null default now(),
    "sequenceId" bigint,
    "shouldUpdateSequenceId" boolean not null default true,
    "changedBy" xid8 not null default pg_current_xact_id(),
    constraint "the key is an object of column and value" check (jsonb_typeof("primaryKey") = 'object')
);
-- Two indexes of the same rows, one for who looks over all tenants and one for who looks at one. Their second
-- conditions hold for every row (0 and 2 are no transaction's number) and keep them apart: each statement
-- repeats the one that it means. Without them the planner may take the other index as soon as its statistics
-- say that hardly a row waits, and walk all that was processed since the oldest snapshot.
create index "DeletedRow_pending" on "DeletedRow" ("changedBy", "tenancyId")
    where "shouldUpdateSequenceId" and "changedBy" is distinct from '0';
create index "DeletedRow_pending_by_tenancy" on "DeletedRow" ("tenancyId", "changedBy")
    where "shouldUpdateSequenceId" and "changedBy" is distinct from '2';
create index "DeletedRow_fetch" on "DeletedRow" ("tenancyId", "tableName", "sequenceId");
create index "DeletedRow_age" on "DeletedRow" ("deletedAt");
comment on table "DeletedRow" is 'Tombstones: key columns of what was deleted, nothing else. Purged once every target of the tenant is past them.';

-- Written by the application's own transactions, so it is kept lean: each index costs a single-row write of a
-- tracked table about 4 us and each CHECK about 2, of 35. A row is found by its id only once it has one. Ids
-- ascend: a random one would touch, and after each checkpoint log in full, another page of the index each time.
create sequence changed_row_seq as bigint;
comment on sequence changed_row_seq is 'Where the ids of "ChangedRow" come from.';
create table "ChangedRow" (
    "id" uuid primary key default lpad(to_hex(nextval('changed_row_seq')), 32, '0')::uuid,
    "tenancyId" uuid not null,
    "tableName" text not null,
    "primaryKey" jsonb not null,
    "changedAt" timestamptz not null default now(),
    "sequenceId" bigint,
    "shouldUpdateSequenceId" boolean not null default true,
    "changedBy" xid8 not null default pg_current_xact_id()
);
create index "ChangedRow_pending" on "ChangedRow" ("changedBy", "tenancyId")
    where "shouldUpdateSequenceId" and "changedBy" is distinct from '0';
create index "ChangedRow_pending_by_tenancy" on "ChangedRow" ("tenancyId", "changedBy")
    where "shouldUpdateSequenceId" and "changedBy" is distinct from '2';
create index "ChangedRow_fetch" on "ChangedRow" ("tenancyId", "tableName", "sequenceId") where "sequenceId" is not null;
comment on table "ChangedRow" is 'Pointers to changed rows of the operator''s own tables, which carry no columns of ours.';

insert into "SequencedRelation" ("relation", "keyColumns") values ('DeletedRow', '{id}'), ('ChangedRow', '{id}');
