-- What keeps the feed of tracked tables true where no trigger could speak: a tenancy that became known while
-- writes of its rows were under way.

alter table "Tenancy"
    add column "settlesAt" xid8,
    add column "settlesAfter" text[],
    add column "settled" boolean not null default false;
comment on column "Tenancy"."settled" is 'Every transaction that may have written rows of this tenant before it was known has ended.';
comment on column "Tenancy"."settlesAfter" is 'Virtual numbers of the transactions that ran when it was first seen: their snapshots may be older, though they may write only later.';
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

-- Prepared transactions have no virtual number; their own one is older than "settlesAt".
create function transactions_running() returns text[]
    language sql volatile set search_path from current as $$
    select coalesce(array_agg(l.virtualtransaction), '{}') from pg_locks l join pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'virtualxid' and l.mode = 'ExclusiveLock' and a.pid <> pg_backend_pid()
      and a.datid = (select d.oid from pg_database d where d.datname = current_database())
$$;
comment on function transactions_running() is 'Virtual numbers of the other transactions of this database.';

-- A row that is written while its tenancy is not known to the writer leaves no pointer. Whoever was running when the
-- tenancy became visible may still commit such rows; under REPEATABLE READ also one who has not written anything
-- yet. Once the last of them has ended, what was copied meanwhile is compared once more.
create function settle_tenancies(tracked_mappings text[]) returns bigint
    language plpgsql set search_path from current as $$
declare
    ended uuid[];
    running text[];
begin
    if not exists (select from "Tenancy" t where not t."settled") then
        return 0;
    end if;
    -- Asked for inside of the statement: whoever begins after its snapshot knows the tenancies that it shows.
    with now_running as materialized (select transactions_running() as those)
    update "Tenancy" t set "settlesAt" = pg_snapshot_xmax(pg_current_snapshot()), "settlesAfter" = r.those
    from now_running r
    where t."id" in (select u."id" from "Tenancy" u where not u."settled" and u."settlesAt" is null
                     limit 1000 for no key update skip locked);
    running := transactions_running();
    with done as (
        update "Tenancy" t set "settled" = true, "settlesAfter" = null
        where t."id" in (select u."id" from "Tenancy" u
                         where not u."settled" and u."settlesAt" <= pg_snapshot_xmin(pg_current_snapshot())
                           and not u."settlesAfter" && running
                         limit 1000 for no key update skip locked)
        returning t."id")
    select array_agg(d."id") into ended from done d;
    if ended is null or cardinality(tracked_mappings) = 0 then
        return 0;
    end if;
    return request_fills(tracked_mappings, ended);
end $$;
comment on function settle_tenancies(text[]) is 'Notices when no transaction is left that may have overlooked a new tenancy; returns how many targets are compared once more.';

create table "TrackingWatch" (
    "id" boolean primary key default true,
    "handledFault" bigint not null default 0,
    "noticedFault" bigint,
    "settlesAt" xid8,
    constraint "there is one watch" check ("id")
);
insert into "TrackingWatch" default values;
comment on table "TrackingWatch" is 'Up to which fault of the tracking the targets were compared. A fault is noticed first, and handled when every transaction that may have had it has ended.';

-- Writes that could not be recorded: the mappings that read these tables are compared. `reads` names a feed for each
-- of `mapping_names`. A fault without a row (rolled back, or beyond the rows that are kept) may be any table's.
create function heal_tracking_faults(mapping_names text[], reads text[]) returns bigint
    language plpgsql set search_path from current as $$
declare
    newest bigint;
    watch "TrackingWatch";
    feeds text[];
    rows_there bigint;
    concerned text[];
begin
    select case when s.is_called then s.last_value else 0 end into newest from tracking_fault_seq s;
    select * into watch from "TrackingWatch" for no key update skip locked;
    if watch is null or newest = watch."handledFault" then
        return 0;
    elsif watch."noticedFault" is null then
        update "TrackingWatch" set "noticedFault" = newest, "settlesAt" = pg_snapshot_xmax(pg_current_snapshot());
        return 0;
    elsif watch."settlesAt" > pg_snapshot_xmin(pg_current_snapshot()) then
        return 0;
    end if;
    select array_agg(distinct f."name"), count(*) into feeds, rows_there from "TrackingFault" f
    where f."id" > watch."handledFault" and f."id" <= watch."noticedFault";
    select array_agg(distinct u.mapping) into concerned from unnest(mapping_names, reads) as u (mapping, feed)
    where u.feed = any (feeds) or rows_there < watch."noticedFault" - watch."handledFault";
    update "TrackingWatch" set "handledFault" = watch."noticedFault", "noticedFault" = null, "settlesAt" = null;
    return request_fills(coalesce(concerned, '{}'));
end $$;
comment on function heal_tracking_faults(text[], text[]) is 'Lets targets be compared with tables of which a write could not be recorded; returns how many targets.';
