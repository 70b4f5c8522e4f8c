-- Which rows targets refuse, as a copy that people can look at without a session in a customer's database.

create table "RefusedRow" (
    "tenancyId" uuid not null,
    "databaseId" text not null,
    "mappingName" text not null,
    "place" integer not null,
    "key" jsonb not null,
    "sqlState" text not null,
    "reason" text not null,
    "refusedAt" timestamptz not null,
    "attempts" integer not null,
    "retryAt" timestamptz not null,
    primary key ("tenancyId", "databaseId", "mappingName", "place"),
    foreign key ("tenancyId", "databaseId", "mappingName")
        references "SyncState" ("tenancyId", "databaseId", "mappingName") on delete cascade,
    constraint "the key is an object" check (jsonb_typeof("key") = 'object')
);
comment on table "RefusedRow" is 'Rows that a target refuses: a copy of its _sync_refused, which is the truth, written by the worker whose turn finds that it differs.';
comment on column "RefusedRow"."place" is 'Number within the mapping; the set is written as a whole.';
comment on column "RefusedRow"."key" is 'The row''s key, by columns of the target. Nothing else of the row is kept.';
comment on column "RefusedRow"."reason" is 'Our words, with the names of table, column and constraint; never the server''s text, which carries values.';
comment on column "RefusedRow"."retryAt" is 'When it is tried again.';

alter table "SyncState" add column "refusedDigest" text;
comment on column "SyncState"."refusedDigest" is 'Of what "RefusedRow" is a copy of; null: the target refused nothing. Where the target says something else, the copy is written anew.';

-- One more table of ours.

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
