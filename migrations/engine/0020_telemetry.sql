-- What monitoring needs of the schema: since when something waits for its id, and how a trace travels with a request.

-- Definer's rights: a poller may ask, too, and learns a transaction's number, nothing else.
create function sequencing_waits_from() returns xid8
    language plpgsql stable security definer set search_path from current
    set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
    from_xid xid8;
    revisited xid8[];
    feed text;
    one xid8;
    oldest xid8;
begin
    select case when p."fromXid" > pg_snapshot_xmax(pg_current_snapshot()) then '0' else p."fromXid" end, p."revisit"
      into from_xid, revisited from "SequencerPass" p order by p."pass" desc limit 1;
    -- What the last pass knew of and left behind; rows that refuse their id are counted by themselves.
    select b."fromXid" into oldest from "SequencerBacklog" b
    where not exists (select from "ParkedRow" k where k."tenancyId" = b."tenancyId")
    order by b."fromXid" limit 1;
    for feed in select r."relation" from "SequencedRelation" r loop
        execute format(
            'select k.x from (
                (select r."changedBy" as x from %1$I r where r."shouldUpdateSequenceId"
                   and r."changedBy" is distinct from ''0'' and r."changedBy" >= $1
                 order by r."changedBy", r."tenancyId" limit 1)
                union all
                (select r."changedBy" from %1$I r where r."shouldUpdateSequenceId"
                   and r."changedBy" is distinct from ''0'' and r."changedBy" = any ($2)
                 order by r."changedBy", r."tenancyId" limit 1)) k order by k.x limit 1', feed)
            into one using coalesce(from_xid, '0'), coalesce(revisited, '{}');
        oldest := least(oldest, one);
    end loop;
    return oldest;
end $$;
comment on function sequencing_waits_from() is 'The oldest transaction with a change that has no id yet; null = there is none. As cheap as an empty pass.';

-- The trace context (W3C) of the pass that asked last. Whoever sets the setting in its transaction passes it on; where
-- nobody traces, it stays null, and nothing is paid.
alter table "OutgoingRequest" add column "traceparent" text
    default nullif(current_setting('tenant_sync.traceparent', true), '');
comment on column "OutgoingRequest"."traceparent" is 'W3C trace context of the pass that asked for this last, if it is traced.';

-- A pass that asks again hands its own context on.
do $patch$
declare
    before constant text := pg_get_functiondef('build_sequencer()'::regprocedure);
    after constant text := replace(before,
        $$do update set "counter" = "OutgoingRequest"."counter" + 1$$,
        $$do update set "counter" = "OutgoingRequest"."counter" + 1, "traceparent" = excluded."traceparent"$$);
begin
    if after = before then
        raise exception 'build_sequencer() does not ask for requests as this migration knows it';
    end if;
    execute after;
    perform build_sequencer();
end $patch$;
