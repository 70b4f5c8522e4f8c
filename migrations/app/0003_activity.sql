-- Who was active when, folded from "Event" and "ProjectUser" into tables of ours, for the console.
--
-- Nothing is worked out in the application's transaction, which leaves the number of the transaction: an event in its
-- own row, a user's change in a narrow row of a feed, so that the application's tables carry no index for it. A fold reads, by an index, the rows that have become visible since the snapshot of the fold before it, and
-- is idempotent: what is read twice counts once. The functions are planned anew each time, and by the indexes: a batch is a
-- range of one, and with statistics from before an import the planner would sort the whole rest for each.

alter table "Event" add column "changedBy" xid8;
alter table "Event" alter column "changedBy" set default pg_current_xact_id();
comment on column "Event"."changedBy" is 'The transaction that wrote it; null: written before this column was there.';

create table "UserFeed" (
    "changedBy" xid8 not null default pg_current_xact_id(),
    "id" bigint not null generated always as identity,
    "tenancyId" uuid not null,
    "projectUserId" uuid not null
);
create index "UserFeed_order" on "UserFeed" ("changedBy", "id");
comment on table "UserFeed" is 'Users whose place in the console''s list, or whose name or address, may be another now. Rows go when they are folded.';

-- As the owner, so that who writes the application's tables needs no right on ours.
create function note_users() returns trigger
    language plpgsql security definer set search_path from current as $$
begin
    if tg_op = 'TRUNCATE' then
        execute format('insert into "UserFeed" ("tenancyId", "projectUserId") select distinct r."tenancyId", r."projectUserId" from %I.%I r',
            tg_table_schema, tg_table_name);
    else
        insert into "UserFeed" ("tenancyId", "projectUserId") select r."tenancyId", r."projectUserId" from touched r;
    end if;
    return null;
end $$;
comment on function note_users() is 'Notes whose rows a statement inserts, deletes or truncates.';

create function note_user() returns trigger
    language plpgsql security definer set search_path from current as $$
begin
    insert into "UserFeed" ("tenancyId", "projectUserId") values (new."tenancyId", new."projectUserId");
    if (old."tenancyId", old."projectUserId") is distinct from (new."tenancyId", new."projectUserId") then
        insert into "UserFeed" ("tenancyId", "projectUserId") values (old."tenancyId", old."projectUserId");
    end if;
    return null;
end $$;
comment on function note_user() is 'Notes whose row was changed, under both keys if it moved.';

-- Updates by row, with a condition: the sequencer's pass, which updates every row once more, passes by.
create trigger "note_user_on_update" after update on "ProjectUser" for each row
    when (old."lastActiveAt" is distinct from new."lastActiveAt" or old."signedUpAt" is distinct from new."signedUpAt"
          or old."createdAt" is distinct from new."createdAt" or old."isAnonymous" is distinct from new."isAnonymous"
          or old."displayName" is distinct from new."displayName" or old."projectUserId" is distinct from new."projectUserId"
          or old."tenancyId" is distinct from new."tenancyId")
    execute function note_user();
create trigger "note_user_on_update" after update on "ContactChannel" for each row
    when (old."value" is distinct from new."value" or old."projectUserId" is distinct from new."projectUserId"
          or old."tenancyId" is distinct from new."tenancyId")
    execute function note_user();
create trigger "note_users_on_insert" after insert on "ProjectUser" referencing new table as touched
    for each statement execute function note_users();
create trigger "note_users_on_insert" after insert on "ContactChannel" referencing new table as touched
    for each statement execute function note_users();
create trigger "note_users_on_delete" after delete on "ProjectUser" referencing old table as touched
    for each statement execute function note_users();
create trigger "note_users_on_delete" after delete on "ContactChannel" referencing old table as touched
    for each statement execute function note_users();
create trigger "note_users_on_truncate" before truncate on "ProjectUser" for each statement execute function note_users();
create trigger "note_users_on_truncate" before truncate on "ContactChannel" for each statement execute function note_users();
alter table "ProjectUser" enable always trigger "note_user_on_update", enable always trigger "note_users_on_insert",
    enable always trigger "note_users_on_delete", enable always trigger "note_users_on_truncate";
alter table "ContactChannel" enable always trigger "note_user_on_update", enable always trigger "note_users_on_insert",
    enable always trigger "note_users_on_delete", enable always trigger "note_users_on_truncate";

create table "UserActivity" (
    "tenancyId" uuid not null,
    "projectUserId" uuid not null,
    "isAnonymous" boolean not null default false,
    "signedUpAt" timestamptz,
    "lastActiveAt" timestamptz,
    "eventAt" timestamptz,
    "ipInfoAt" timestamptz,
    "ipInfoId" uuid,
    "countryAt" timestamptz,
    "countryCode" text,
    primary key ("tenancyId", "projectUserId")
);
create index "UserActivity_signed_up" on "UserActivity" ("tenancyId", "isAnonymous", "signedUpAt", "projectUserId")
    where "signedUpAt" is not null;
create index "UserActivity_order" on "UserActivity" ("tenancyId", "isAnonymous", "lastActiveAt", "projectUserId");
comment on table "UserActivity" is 'One row a user, kept by the folds. No foreign key: its check would make the application''s deletes and our folds wait for each other.';
comment on column "UserActivity"."signedUpAt" is 'The user''s own, else "createdAt"; null while there is no such user.';
comment on column "UserActivity"."lastActiveAt" is 'The greater of the user''s own "lastActiveAt" and "eventAt", else "signedUpAt", else "createdAt"; null while there is no such user.';
comment on column "UserActivity"."eventAt" is 'Latest activity event ever seen; it stays when events are purged.';
comment on column "UserActivity"."ipInfoId" is 'Of the latest event that has one: its country may become known later.';
comment on column "UserActivity"."countryCode" is 'Of the latest event whose country was known when it was folded.';

create table "UserSearch" (
    "tenancyId" uuid not null,
    "projectUserId" uuid not null,
    "text" text not null,
    primary key ("tenancyId", "projectUserId")
);
comment on table "UserSearch" is 'What a user is found by, kept by the folds. A table of its own: activity, which changes often, would write its large index anew.';
comment on column "UserSearch"."text" is 'Name and addresses in small letters, each behind the end of a line: the first 1,000 characters, of 200 channels at most.';

create function search_line(value text) returns text
    language sql immutable parallel safe return E'\n' || pg_catalog.translate(pg_catalog.left(pg_catalog.lower(value), 1000), E'\n', ' ');
comment on function search_line(text) is 'A name or an address as "UserSearch" has it.';

create function search_beginnings(tenancy uuid, lines text) returns tsvector
    language sql immutable parallel safe return pg_catalog.array_to_tsvector(array(
        select distinct tenancy::text || ':' || pg_catalog.left(l.l, 100) from pg_catalog.string_to_table(lines, E'\n') l (l) where l.l <> ''));
comment on function search_beginnings(uuid, text) is 'What an index needs that finds lines by how they begin, within a tenancy: prefixes of lexemes need no extension.';

create table "UserActivityDay" (
    "tenancyId" uuid not null,
    "day" date not null,
    "projectUserId" uuid not null,
    "isAnonymous" boolean not null,
    primary key ("tenancyId", "day", "projectUserId")
);
comment on table "UserActivityDay" is 'Who was active on a day (UTC); kept as long as a day may be shown, so that late events count once.';
comment on column "UserActivityDay"."isAnonymous" is 'Whether all events of the day say so.';

create table "ActivityDay" (
    "tenancyId" uuid not null,
    "day" date not null,
    "users" bigint not null default 0,
    "anonymousUsers" bigint not null default 0,
    primary key ("tenancyId", "day"),
    constraint "anonymous users are users" check ("anonymousUsers" between 0 and "users")
);
create index "ActivityDay_day" on "ActivityDay" ("day");
comment on table "ActivityDay" is 'How many rows "UserActivityDay" has of a day.';

create table "ActivityFold" (
    "source" text primary key,
    "phase" text not null default 'older',
    "seen" pg_snapshot not null default pg_current_snapshot(),
    "until" pg_snapshot,
    "afterXid" xid8,
    "afterTenancyId" uuid,
    "afterId" uuid,
    "afterPlace" bigint,
    "at" timestamptz not null default now(),
    constraint "the source is a known one" check ("source" in ('Event', 'ProjectUser', 'UserActivity')),
    constraint "the phase is a known one" check ("phase" in ('all', 'older', 'feed'))
);
insert into "ActivityFold" ("source") values ('Event'), ('ProjectUser'), ('UserActivity');
comment on table "ActivityFold" is 'How far each source is folded. The row of "UserActivity" is where the look for rows without a user has come to.';
comment on column "ActivityFold"."phase" is 'older: rows from before the column; feed: what becomes visible; all: everything once more, after the numbers of transactions stepped back.';
comment on column "ActivityFold"."seen" is 'Whatever this snapshot shows is folded.';
comment on column "ActivityFold"."at" is 'When it was last gone on with; a console that is up looks for rows without a user all the time.';
comment on column "ActivityFold"."until" is 'The snapshot that is being folded, in batches; everything up to "after…" is.';

-- Begins a fold under its lock: the state as it has to be gone on from.
create function begin_fold(fold_source text) returns "ActivityFold"
    language plpgsql set search_path from current set lock_timeout = '2s' as $$
declare
    state "ActivityFold";
begin
    perform pg_advisory_xact_lock(1952805749, hashtext(current_schema()));
    select f.* into strict state from "ActivityFold" f where f."source" = fold_source;
    if pg_snapshot_xmax(state."seen") > pg_snapshot_xmax(pg_current_snapshot()) then
        -- Restored into a server that has given fewer numbers: the recorded ones mean nothing there.
        state."phase" := 'all';
        state."seen" := pg_current_snapshot();
        state."afterPlace" := null;
        state."afterXid" := null;
        state."afterId" := null;
        state."afterTenancyId" := null;
        state."until" := null;
        if fold_source = 'ProjectUser' then
            -- Whatever the feed shows by now is in the table that is about to be walked.
            state."phase" := 'older';
            delete from "UserFeed";
        end if;
    end if;
    if state."phase" = 'feed' and state."until" is null then
        state."until" := pg_current_snapshot();
    end if;
    return state;
end $$;

-- Records what a fold has come to. A batch that is not full was the last of its phase.
create function end_fold(state "ActivityFold", full_batch boolean, last_xid xid8, last_tenancy uuid, last_id uuid, last_place bigint) returns void
    language plpgsql set search_path from current as $$
begin
    if full_batch then
        state."afterXid" := last_xid;
        state."afterTenancyId" := last_tenancy;
        state."afterId" := last_id;
        state."afterPlace" := last_place;
    else
        if state."phase" = 'feed' then
            state."seen" := state."until";
            state."until" := null;
        end if;
        state."phase" := case state."phase" when 'all' then 'older' else 'feed' end;
        state."afterXid" := null;
        state."afterTenancyId" := null;
        state."afterId" := null;
        state."afterPlace" := null;
    end if;
    update "ActivityFold" f
    set "phase" = state."phase", "seen" = state."seen", "until" = state."until", "afterXid" = state."afterXid",
        "afterTenancyId" = state."afterTenancyId", "afterId" = state."afterId",
        "afterPlace" = state."afterPlace", "at" = now()
    where f."source" = state."source";
end $$;

-- One batch of activity events. Returns whether there is more. The position is read again by the next batch: harmless,
-- and no arithmetic with transaction numbers is needed.
create function fold_events(batch_rows integer) returns boolean
    language plpgsql set search_path from current set plan_cache_mode = force_custom_plan set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    state "ActivityFold";
    first_day date := (now() at time zone 'UTC')::date - 31;
    from_xid xid8;
    from_id uuid;
    taken bigint;
    last_xid xid8;
    last_id uuid;
begin
    state := begin_fold('Event');
    from_xid := coalesce(state."afterXid", case state."phase" when 'feed' then pg_snapshot_xmin(state."seen") else '0' end);
    from_id := coalesce(state."afterId", '00000000-0000-0000-0000-000000000000');
    with batch as materialized (
        select e.* from (
            (select e."changedBy", e."id", e."eventStartedAt", e."data", e."endUserIpInfoGuessId" from "Event" e
             where state."phase" = 'feed' and '$user-activity' = any (e."systemEventTypeIds")
               and (e."changedBy", e."id") >= (from_xid, from_id) and e."changedBy" < pg_snapshot_xmax(state."until")
               and not pg_visible_in_snapshot(e."changedBy", state."seen")
               and pg_visible_in_snapshot(e."changedBy", state."until")
             order by e."changedBy", e."id" limit batch_rows)
            union all
            (select e."changedBy", e."id", e."eventStartedAt", e."data", e."endUserIpInfoGuessId" from "Event" e
             where state."phase" = 'older' and '$user-activity' = any (e."systemEventTypeIds")
               and e."changedBy" is null and e."id" >= from_id
             order by e."id" limit batch_rows)
            union all
            (select e."changedBy", e."id", e."eventStartedAt", e."data", e."endUserIpInfoGuessId" from "Event" e
             where state."phase" = 'all' and '$user-activity' = any (e."systemEventTypeIds")
               and (e."changedBy", e."id") >= (from_xid, from_id)
             order by e."changedBy", e."id" limit batch_rows)) e),
    events as materialized (
        select t."id" as tenancy, e.usr, e.at, e.anonymous, e.info, i."countryCode" as country from (
            select b."data" ->> 'projectId' as project, b."data" ->> 'branchId' as branch, b."eventStartedAt" as at,
                   case when b."data" ->> 'userId' like '________-____-____-____-____________'
                         and translate(b."data" ->> 'userId', '0123456789abcdefABCDEF', '') = '----'
                        then (b."data" ->> 'userId')::uuid end as usr,
                   coalesce(b."data" ->> 'isAnonymous', '') = 'true' as anonymous, b."endUserIpInfoGuessId" as info
            from batch b where isfinite(b."eventStartedAt")) e
        join "Tenancy" t on t."projectId" = e.project and t."branchId" = e.branch
        left join "EventIpInfo" i on i."id" = e.info
        where e.usr is not null),
    -- One aggregate and then look-ups by key: joins of several small results were planned as nested loops over them.
    users as materialized (
        select e.tenancy, e.usr, max(e.at) as at,
               max(e.at) filter (where e.info is not null) as info_at,
               (array_agg(e.info order by e.at desc) filter (where e.info is not null))[1] as info,
               max(e.at) filter (where e.country is not null) as country_at,
               (array_agg(e.country order by e.at desc) filter (where e.country is not null))[1] as country
        from events e group by 1, 2),
    active as (
        insert into "UserActivity" as a ("tenancyId", "projectUserId", "isAnonymous", "lastActiveAt", "eventAt",
            "ipInfoAt", "ipInfoId", "countryAt", "countryCode")
        select n.tenancy, n.usr, coalesce(u."isAnonymous", false),
               case when u."projectUserId" is not null then greatest(u."lastActiveAt", o."eventAt", n.at) end,
               greatest(o."eventAt", n.at),
               case when o."ipInfoAt" > n.info_at then o."ipInfoAt" else coalesce(n.info_at, o."ipInfoAt") end,
               case when o."ipInfoAt" > n.info_at then o."ipInfoId" else coalesce(n.info, o."ipInfoId") end,
               case when o."countryAt" > n.country_at then o."countryAt" else coalesce(n.country_at, o."countryAt") end,
               case when o."countryAt" > n.country_at then o."countryCode" else coalesce(n.country, o."countryCode") end
        from users n
        left join lateral (
            select * from "UserActivity" o where o."tenancyId" = n.tenancy and o."projectUserId" = n.usr limit 1) o on true
        left join lateral (
            select * from "ProjectUser" u where u."tenancyId" = n.tenancy and u."projectUserId" = n.usr limit 1) u on true
        on conflict ("tenancyId", "projectUserId") do update set
            "isAnonymous" = excluded."isAnonymous", "lastActiveAt" = excluded."lastActiveAt", "eventAt" = excluded."eventAt",
            "ipInfoAt" = excluded."ipInfoAt", "ipInfoId" = excluded."ipInfoId",
            "countryAt" = excluded."countryAt", "countryCode" = excluded."countryCode"
        where (a."isAnonymous", a."lastActiveAt", a."eventAt", a."ipInfoAt", a."ipInfoId", a."countryAt", a."countryCode")
            is distinct from (excluded."isAnonymous", excluded."lastActiveAt", excluded."eventAt", excluded."ipInfoAt",
                excluded."ipInfoId", excluded."countryAt", excluded."countryCode")),
    days as materialized (
        select e.tenancy, (e.at at time zone 'UTC')::date as day, e.usr, bool_and(e.anonymous) as anonymous
        from events e where (e.at at time zone 'UTC')::date >= first_day group by 1, 2, 3),
    news as materialized (
        select d.*, o."isAnonymous" as was_anonymous from days d
        left join lateral (
            select o."isAnonymous" from "UserActivityDay" o
            where o."tenancyId" = d.tenancy and o."day" = d.day and o."projectUserId" = d.usr limit 1) o on true
        where o."isAnonymous" is null or (o."isAnonymous" and not d.anonymous)),
    kept as (
        insert into "UserActivityDay" ("tenancyId", "day", "projectUserId", "isAnonymous")
        select n.tenancy, n.day, n.usr, n.anonymous from news n
        on conflict ("tenancyId", "day", "projectUserId") do update set "isAnonymous" = excluded."isAnonymous"),
    counted as (
        insert into "ActivityDay" as a ("tenancyId", "day", "users", "anonymousUsers")
        select n.tenancy, n.day, count(*) filter (where n.was_anonymous is null),
               count(*) filter (where n.anonymous) - count(*) filter (where n.was_anonymous)
        from news n group by 1, 2
        on conflict ("tenancyId", "day") do update
        set "users" = a."users" + excluded."users", "anonymousUsers" = a."anonymousUsers" + excluded."anonymousUsers")
    select count(*), (array_agg(b."changedBy" order by b."changedBy" desc nulls first, b."id" desc))[1],
           (array_agg(b."id" order by b."changedBy" desc nulls first, b."id" desc))[1]
    into taken, last_xid, last_id from batch b;
    perform end_fold(state, taken >= batch_rows, last_xid, null, last_id, null);
    return taken >= batch_rows or state."phase" <> 'feed';
end $$;
comment on function fold_events(integer) is 'Folds a batch of activity events into "UserActivity" and the days; returns whether there is more to do.';

-- One batch of users who may have changed: from the feed, or all there are, by their key. Whoever is gone loses the place.
create function fold_users(batch_rows integer) returns boolean
    language plpgsql set search_path from current set plan_cache_mode = force_custom_plan set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    state "ActivityFold";
    from_xid xid8;
    from_place bigint;
    from_tenancy uuid;
    from_id uuid;
    taken bigint;
    last_xid xid8;
    last_place bigint;
    last_tenancy uuid;
    last_id uuid;
begin
    state := begin_fold('ProjectUser');
    from_xid := coalesce(state."afterXid", pg_snapshot_xmin(state."seen"));
    from_place := coalesce(state."afterPlace", 0);
    from_tenancy := coalesce(state."afterTenancyId", '00000000-0000-0000-0000-000000000000');
    from_id := coalesce(state."afterId", '00000000-0000-0000-0000-000000000000');
    with batch as materialized (
        select b.* from (
            (select f."changedBy", f."id", f."tenancyId", f."projectUserId" from "UserFeed" f
             where state."phase" = 'feed' and (f."changedBy", f."id") > (from_xid, from_place)
               and f."changedBy" < pg_snapshot_xmax(state."until")
               and not pg_visible_in_snapshot(f."changedBy", state."seen")
               and pg_visible_in_snapshot(f."changedBy", state."until")
             order by f."changedBy", f."id" limit batch_rows)
            union all
            (select null::xid8, null::bigint, u."tenancyId", u."projectUserId" from "ProjectUser" u
             where state."phase" = 'older' and (u."tenancyId", u."projectUserId") >= (from_tenancy, from_id)
             order by u."tenancyId", u."projectUserId" limit batch_rows)) b),
    now_known as materialized (
        select b."tenancyId", b."projectUserId", u."projectUserId" is not null as is_user,
               coalesce(u."isAnonymous", o."isAnonymous", false) as anonymous, coalesce(u."signedUpAt", u."createdAt") as signed_up,
               case when u."projectUserId" is not null
                    then coalesce(greatest(u."lastActiveAt", o."eventAt"), u."signedUpAt", u."createdAt") end as active,
               coalesce(search_line(u."displayName"), '') || coalesce(c.lines, '') as text
        from (select distinct b."tenancyId", b."projectUserId" from batch b) b
        left join lateral (
            select * from "ProjectUser" u where u."tenancyId" = b."tenancyId" and u."projectUserId" = b."projectUserId" limit 1) u on true
        left join lateral (
            select * from "UserActivity" o where o."tenancyId" = b."tenancyId" and o."projectUserId" = b."projectUserId" limit 1) o on true
        left join lateral (
            select string_agg(search_line(c."value"), '' order by c."id") as lines
            from (select c."value", c."id" from "ContactChannel" c
                  where c."tenancyId" = b."tenancyId" and c."projectUserId" = b."projectUserId" order by c."id" limit 200) c) c on true
        where u."projectUserId" is not null or o."projectUserId" is not null),
    placed as (
        insert into "UserActivity" as a ("tenancyId", "projectUserId", "isAnonymous", "signedUpAt", "lastActiveAt")
        select k."tenancyId", k."projectUserId", k.anonymous, k.signed_up, k.active from now_known k
        on conflict ("tenancyId", "projectUserId") do update
        set "isAnonymous" = excluded."isAnonymous", "signedUpAt" = excluded."signedUpAt", "lastActiveAt" = excluded."lastActiveAt"
        where (a."isAnonymous", a."signedUpAt", a."lastActiveAt")
            is distinct from (excluded."isAnonymous", excluded."signedUpAt", excluded."lastActiveAt")),
    named as (
        insert into "UserSearch" as s ("tenancyId", "projectUserId", "text")
        select k."tenancyId", k."projectUserId", k.text from now_known k where k.is_user
        on conflict ("tenancyId", "projectUserId") do update set "text" = excluded."text"
        where s."text" is distinct from excluded."text"),
    forgotten as (
        delete from "UserSearch" s using (select k."tenancyId", k."projectUserId" from now_known k where not k.is_user offset 0) k
        where s."tenancyId" = k."tenancyId" and s."projectUserId" = k."projectUserId")
    select count(*), (array_agg(b."changedBy" order by b."changedBy" desc, b."id" desc))[1],
           (array_agg(b."id" order by b."changedBy" desc, b."id" desc))[1],
           (array_agg(b."tenancyId" order by b."tenancyId" desc, b."projectUserId" desc))[1],
           (array_agg(b."projectUserId" order by b."tenancyId" desc, b."projectUserId" desc))[1]
    into taken, last_xid, last_place, last_tenancy, last_id from batch b;
    perform end_fold(state, taken >= batch_rows, last_xid, last_tenancy, last_id, last_place);
    return taken >= batch_rows or state."phase" <> 'feed';
end $$;
comment on function fold_users(integer) is 'Brings "UserActivity" and "UserSearch" up to date with a batch of users; returns whether there is more to do.';

-- Removes folded rows of the feed, a batch at a time; returns how many. Where no console was up for a day the feed is
-- given up, so that it does not grow, and the next fold walks the users instead.
create function trim_user_feed(batch_rows integer) returns bigint
    language plpgsql set search_path from current set lock_timeout = '2s' set enable_seqscan = off as $$
declare
    removed bigint;
begin
    perform pg_advisory_xact_lock(1952805749, hashtext(current_schema()));
    update "ActivityFold" f
    set "phase" = 'older', "seen" = pg_current_snapshot(), "until" = null, "afterXid" = null, "afterTenancyId" = null,
        "afterId" = null, "afterPlace" = null
    from "ActivityFold" k
    where f."source" = 'ProjectUser' and k."source" = 'UserActivity' and k."at" < now() - interval '1 day';
    delete from "UserFeed" d where d.ctid = any (array(
        select f.ctid from "UserFeed" f
        where f."changedBy" < (select pg_snapshot_xmin(s."seen") from "ActivityFold" s where s."source" = 'ProjectUser')
        order by f."changedBy", f."id" limit batch_rows));
    get diagnostics removed = row_count;
    return removed;
end $$;
comment on function trim_user_feed(integer) is 'Removes rows of "UserFeed" that no fold will read; returns how many.';

-- Whether a fold would find anything; cheap, and without a lock. The orders name the index: a limit of one row alone would
-- let the planner hope for an early hit and walk the table.
create function activity_to_fold() returns boolean
    language sql stable set search_path from current as $$
    select exists (
        select from "ActivityFold" f where f."source" in ('Event', 'ProjectUser') and (f."phase" <> 'feed' or f."until" is not null
            or pg_snapshot_xmax(f."seen") > pg_snapshot_xmax(pg_current_snapshot())))
    or exists (
        select from "ActivityFold" f
        join lateral (select from "Event" e where '$user-activity' = any (e."systemEventTypeIds")
                      and e."changedBy" >= pg_snapshot_xmin(f."seen") and not pg_visible_in_snapshot(e."changedBy", f."seen")
                      order by e."changedBy", e."id" limit 1) e on true
        where f."source" = 'Event')
    or exists (
        select from "ActivityFold" f
        join lateral (select from "UserFeed" u where u."changedBy" >= pg_snapshot_xmin(f."seen")
                      and not pg_visible_in_snapshot(u."changedBy", f."seen")
                      order by u."changedBy", u."id" limit 1) u on true
        where f."source" = 'ProjectUser')
$$;

-- Removes what is no longer shown: old days, and rows whose user is gone. Returns how many rows.
create function purge_activity(batch_rows integer) returns bigint
    language plpgsql set search_path from current set plan_cache_mode = force_custom_plan set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    state "ActivityFold";
    first_day date := (now() at time zone 'UTC')::date - 32;
    nobody uuid := '00000000-0000-0000-0000-000000000000';
    days bigint;
    counts bigint;
    looked bigint;
    gone bigint;
    last_tenancy uuid;
    last_id uuid;
begin
    state := begin_fold('UserActivity');
    delete from "UserActivityDay" d where d.ctid = any (array(
        select u.ctid from (select o."tenancyId", o."day" from "ActivityDay" o where o."day" < first_day order by o."day" limit batch_rows) o
        join "UserActivityDay" u on u."tenancyId" = o."tenancyId" and u."day" = o."day" limit batch_rows));
    get diagnostics days = row_count;
    -- The count goes when nothing is left of its day.
    delete from "ActivityDay" d where d.ctid = any (array(
        select o.ctid from "ActivityDay" o where o."day" < first_day and not exists (
            select from "UserActivityDay" u where u."tenancyId" = o."tenancyId" and u."day" = o."day")
        order by o."day" limit batch_rows));
    get diagnostics counts = row_count;
    -- An event may be visible before its user is; a day is more than any transaction should take.
    with batch as materialized (
        select a."tenancyId", a."projectUserId", a."lastActiveAt", a."eventAt" from "UserActivity" a
        where (a."tenancyId", a."projectUserId") > (coalesce(state."afterTenancyId", nobody), coalesce(state."afterId", nobody))
        order by a."tenancyId", a."projectUserId" limit batch_rows),
    removed as (
        delete from "UserActivity" a using batch b
        where a."tenancyId" = b."tenancyId" and a."projectUserId" = b."projectUserId"
          and (b."lastActiveAt" is not null or b."eventAt" is null or b."eventAt" < now() - interval '1 day')
          and not exists (select from "ProjectUser" u where u."tenancyId" = b."tenancyId" and u."projectUserId" = b."projectUserId")
        returning a."tenancyId", a."projectUserId"),
    forgotten as (
        delete from "UserSearch" s using removed r
        where s."tenancyId" = r."tenancyId" and s."projectUserId" = r."projectUserId" returning s."projectUserId")
    select count(*), (select count(*) from removed) + (select count(*) from forgotten),
           (array_agg(b."tenancyId" order by b."tenancyId" desc, b."projectUserId" desc))[1],
           (array_agg(b."projectUserId" order by b."tenancyId" desc, b."projectUserId" desc))[1]
    into looked, gone, last_tenancy, last_id from batch b;
    update "ActivityFold" f
    set "afterTenancyId" = case when looked >= batch_rows then last_tenancy end,
        "afterId" = case when looked >= batch_rows then last_id end, "at" = now()
    where f."source" = state."source";
    return days + counts + gone;
end $$;
comment on function purge_activity(integer) is 'Removes old days and rows of users that are gone, a batch at a time.';
