-- tenant-sync: no-transaction
-- What the console's lists walk along. None of these columns is written by a turn of a healthy target.

create index concurrently "Tenancy_projectId" on "Tenancy" ("projectId" collate "C", "id");
create index concurrently "Tenancy_tenantKey" on "Tenancy" ("tenantKey" collate "C", "id");

create index concurrently "ExternalDatabase_newest" on "ExternalDatabase" ("createdAt", "tenancyId", "id");
create index concurrently "ExternalDatabase_trouble" on "ExternalDatabase"
    ("state", (coalesce("lastErrorClass", '')), "tenancyId", "id") include ("lastErrorClass") where "state" <> 'ok';
create index concurrently "ExternalDatabase_failures" on "ExternalDatabase" ("consecutiveFailures", "tenancyId", "id")
    where "state" <> 'ok';

-- History: one value a name and sample, or of one target.
create index concurrently "SyncSample_name" on "SyncSample" ("name", "at") where "tenancyId" is null;
create index concurrently "SyncSample_target" on "SyncSample" ("tenancyId", "databaseId", "at") where "tenancyId" is not null;
