-- One loader at a time for each cache entry, over all processes.

alter table "CacheEntry"
    add column "loadedAt" timestamptz,
    add column "loadingBy" uuid,
    add column "loadingUntil" timestamptz;
comment on table "CacheEntry" is 'What is expensive to work out, for a while. Without a payload: it is being loaded for the first time.';
comment on column "CacheEntry"."loadingUntil" is 'Lease of the one who loads it; who dies meanwhile is followed by another when it ends.';
comment on column "CacheEntry"."expiresAt" is 'Until then it is served as it is; for a while longer it is served while one renews it; then it is purged.';
