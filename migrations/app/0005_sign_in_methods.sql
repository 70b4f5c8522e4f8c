-- How users sign in, folded beside their activity: a page of the console's list has one look-up less for each user. A row
-- from before has none until its user changes or the walk of purge_activity comes by; the list looks up those.

alter table "UserActivity" add column "signInMethods" text;
comment on column "UserActivity"."signInMethods" is 'JSON: pairs of type and provider, the first 21. Null: not looked up yet.';

-- A method may belong to nobody.
create or replace function note_users() returns trigger
    language plpgsql security definer set search_path from current as $$
begin
    if tg_op = 'TRUNCATE' then
        execute format('insert into "UserFeed" ("tenancyId", "projectUserId") select distinct r."tenancyId", r."projectUserId" from %I.%I r where r."projectUserId" is not null',
            tg_table_schema, tg_table_name);
    else
        insert into "UserFeed" ("tenancyId", "projectUserId")
        select r."tenancyId", r."projectUserId" from touched r where r."projectUserId" is not null;
    end if;
    return null;
end $$;

create or replace function note_user() returns trigger
    language plpgsql security definer set search_path from current as $$
begin
    if new."projectUserId" is not null then
        insert into "UserFeed" ("tenancyId", "projectUserId") values (new."tenancyId", new."projectUserId");
    end if;
    if old."projectUserId" is not null and (old."tenancyId", old."projectUserId") is distinct from (new."tenancyId", new."projectUserId") then
        insert into "UserFeed" ("tenancyId", "projectUserId") values (old."tenancyId", old."projectUserId");
    end if;
    return null;
end $$;

create trigger "note_user_on_update" after update on "AuthMethod" for each row
    when (old."type" is distinct from new."type" or old."provider" is distinct from new."provider"
          or old."projectUserId" is distinct from new."projectUserId" or old."tenancyId" is distinct from new."tenancyId")
    execute function note_user();
create trigger "note_users_on_insert" after insert on "AuthMethod" referencing new table as touched
    for each statement execute function note_users();
create trigger "note_users_on_delete" after delete on "AuthMethod" referencing old table as touched
    for each statement execute function note_users();
create trigger "note_users_on_truncate" before truncate on "AuthMethod" for each statement execute function note_users();
alter table "AuthMethod" enable always trigger "note_user_on_update", enable always trigger "note_users_on_insert",
    enable always trigger "note_users_on_delete", enable always trigger "note_users_on_truncate";

create or replace function fold_users(batch_rows integer) returns boolean
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
               coalesce(search_line(u."displayName"), '') || coalesce(c.lines, '') as text, m.methods
        from (select distinct b."tenancyId", b."projectUserId" from batch b) b
        left join lateral (
            select * from "ProjectUser" u where u."tenancyId" = b."tenancyId" and u."projectUserId" = b."projectUserId" limit 1) u on true
        left join lateral (
            select * from "UserActivity" o where o."tenancyId" = b."tenancyId" and o."projectUserId" = b."projectUserId" limit 1) o on true
        left join lateral (
            select string_agg(search_line(c."value"), '' order by c."id") as lines
            from (select c."value", c."id" from "ContactChannel" c
                  where c."tenancyId" = b."tenancyId" and c."projectUserId" = b."projectUserId" order by c."id" limit 200) c) c on true
        left join lateral (
            select coalesce(json_agg(json_build_array(m."type", m."provider")), '[]')::text as methods
            from (select m."type", m."provider" from "AuthMethod" m
                  where m."tenancyId" = b."tenancyId" and m."projectUserId" = b."projectUserId"
                  order by m."type", m."provider" limit 21) m) m on true
        where u."projectUserId" is not null or o."projectUserId" is not null),
    placed as (
        insert into "UserActivity" as a ("tenancyId", "projectUserId", "isAnonymous", "signedUpAt", "lastActiveAt", "signInMethods")
        select k."tenancyId", k."projectUserId", k.anonymous, k.signed_up, k.active, k.methods from now_known k
        on conflict ("tenancyId", "projectUserId") do update
        set "isAnonymous" = excluded."isAnonymous", "signedUpAt" = excluded."signedUpAt", "lastActiveAt" = excluded."lastActiveAt",
            "signInMethods" = excluded."signInMethods"
        where (a."isAnonymous", a."signedUpAt", a."lastActiveAt", a."signInMethods")
            is distinct from (excluded."isAnonymous", excluded."signedUpAt", excluded."lastActiveAt", excluded."signInMethods")),
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

-- Removes what is no longer shown, and fills what rows from before lack.
create or replace function purge_activity(batch_rows integer) returns bigint
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
        select a."tenancyId", a."projectUserId", a."lastActiveAt", a."eventAt", a."signInMethods" from "UserActivity" a
        where (a."tenancyId", a."projectUserId") > (coalesce(state."afterTenancyId", nobody), coalesce(state."afterId", nobody))
        order by a."tenancyId", a."projectUserId" limit batch_rows),
    removed as (
        delete from "UserActivity" a using batch b
        where a."tenancyId" = b."tenancyId" and a."projectUserId" = b."projectUserId"
          and (b."lastActiveAt" is not null or b."eventAt" is null or b."eventAt" < now() - interval '1 day')
          and not exists (select from "ProjectUser" u where u."tenancyId" = b."tenancyId" and u."projectUserId" = b."projectUserId")
        returning a."tenancyId", a."projectUserId"),
    filled as (
        update "UserActivity" a set "signInMethods" = m.methods
        from batch b cross join lateral (
            select coalesce(json_agg(json_build_array(m."type", m."provider")), '[]')::text as methods
            from (select m."type", m."provider" from "AuthMethod" m
                  where m."tenancyId" = b."tenancyId" and m."projectUserId" = b."projectUserId"
                  order by m."type", m."provider" limit 21) m) m
        where a."tenancyId" = b."tenancyId" and a."projectUserId" = b."projectUserId" and b."signInMethods" is null
          and exists (select from "ProjectUser" u where u."tenancyId" = b."tenancyId" and u."projectUserId" = b."projectUserId")),
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
comment on function purge_activity(integer) is 'Removes old days and rows of users that are gone, and looks up methods that were never folded, a batch at a time.';
