-- What a poller asks twenty times a second: whether anything is due at all. Most often nothing is, and then this one call, whose
-- plan each session keeps, is all; claiming and folding parse and plan four large statements.

-- Each part is a range of an index, of which the first entry is enough: a plan that was made while the outbox was empty is right when it
-- is full.
create function outbox_due(live_from timestamptz, bulk_from timestamptz, deliveries_from timestamptz, asks_from xid8, asks_of xid8[],
    out as_of timestamptz, out syncs boolean, out deliveries boolean, out asks boolean, out next_asks_from xid8, out running xid8[])
    language plpgsql stable set search_path from current
    set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
begin
    select now(),
        (select r."dueAt" from "OutgoingRequest" r
         where r."kind" = 'sync' and r."lane" = 'live' and r."dueAt" >= live_from and r."dueAt" <= now()
         order by r."dueAt" limit 1) is not null
        or (select r."dueAt" from "OutgoingRequest" r
            where r."kind" = 'sync' and r."lane" = 'bulk' and r."dueAt" >= bulk_from and r."dueAt" <= now()
            order by r."dueAt" limit 1) is not null,
        (select r."dueAt" from "OutgoingRequest" r
         where r."kind" = 'delivery' and r."dueAt" >= deliveries_from and r."dueAt" <= now()
         order by r."dueAt" limit 1) is not null,
        (select r."askedBy" from "OutgoingRequest" r
         where r."kind" = 'deliveryAsk' and r."askedBy" >= asks_from order by r."askedBy" limit 1) is not null
        or exists (select from "OutgoingRequest" r where r."kind" = 'deliveryAsk' and r."askedBy" = any (asks_of)),
        pg_snapshot_xmax(pg_current_snapshot()), array(select pg_snapshot_xip(pg_current_snapshot()))
    into as_of, syncs, deliveries, asks, next_asks_from, running;
end $$;
comment on function outbox_due(timestamptz, timestamptz, timestamptz, xid8, xid8[]) is 'Whether syncs of either lane, deliveries or asks for them are due, from these due times and transactions on; and from which transactions on to look next.';
