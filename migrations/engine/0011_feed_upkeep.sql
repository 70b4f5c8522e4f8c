-- What keeps the feed of tracked tables true where no trigger could speak: a tenancy that became known while
-- writes of its rows were under way.

alter table "Tenancy"
    add column "settlesAt" xid8,
    add column "settled" boolean not null default false;
comment on column "Tenancy"."settled" is 'Every transaction that may have written rows of this tenant before it was known has ended.';
create index "Tenancy_unsettled" on "Tenancy" ("id") where not "settled";

-- Asks for a fill of these mappings, in all targets or those of some tenancies. The visits come spread, at their
-- bounded rate.
create function request_fills(mapping_names text[], tenancies uuid[] default null) returns bigint
    language plpgsql set search_path from current as $$
declare
    asked bigint;
begin
    with wanted as (
        update "SyncState" s set "fillRequested" = true
        where s."mappingName" = any (mapping_names) and (tenancies is null or s."tenancyId" = any (tenancies))
        returning s."tenancyId", s."databaseId"),
    targets as (
        update "ExternalDatabase" d set "nextVisitAt" = now()
        where (d."tenancyId", d."id") in (select w."tenancyId", w."databaseId" from wanted w)
        returning d."id")
    select count(*) into asked from targets;
    if asked > 0 then
        perform pg_notify('tenant_sync_due', current_schema());
    end if;
    return asked;
end $$;
comment on function request_fills(text[], uuid[]) is 'Lets these mappings be compared and mended in every target concerned; returns how many targets.';

-- A row that was written before its tenancy was known left no pointer. Transactions that were running when the
-- tenancy became visible may still commit such rows: once the last of them has ended, what was copied meanwhile is
-- compared once more.
create function settle_tenancies(tracked_mappings text[]) returns bigint
    language plpgsql set search_path from current as $$
declare
    ended uuid[];
begin
    update "Tenancy" t set "settlesAt" = pg_snapshot_xmax(pg_current_snapshot())
    where t."id" in (select u."id" from "Tenancy" u where not u."settled" and u."settlesAt" is null
                     limit 1000 for no key update skip locked);
    with done as (
        update "Tenancy" t set "settled" = true
        where t."id" in (select u."id" from "Tenancy" u
                         where not u."settled" and u."settlesAt" <= pg_snapshot_xmin(pg_current_snapshot())
                         limit 1000 for no key update skip locked)
        returning t."id")
    select array_agg(d."id") into ended from done d;
    if ended is null or cardinality(tracked_mappings) = 0 then
        return 0;
    end if;
    return request_fills(tracked_mappings, ended);
end $$;
comment on function settle_tenancies(text[]) is 'Notices when no transaction is left that may have overlooked a new tenancy; returns how many targets are compared once more.';
