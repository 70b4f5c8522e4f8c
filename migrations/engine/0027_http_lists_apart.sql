-- tenant-sync: no-transaction
-- Lists of requests walk along all destinations' requests; nothing else may. An index that fits a statement about one destination as
-- well is taken for it, too, as soon as the planner believes that few requests wait, and then the statement reads everybody's.
-- So these have a condition that is always so, and that only lists state.

create index concurrently "OutgoingRequest_list_waiting" on "OutgoingRequest" ("dueAt", "position")
    where "kind" = 'http' and "state" = 'pending' and "position" > 0;
create index concurrently "OutgoingRequest_list_given_up" on "OutgoingRequest" ("diedAt", "position")
    where "kind" = 'http' and "state" = 'dead' and "position" > 0;

-- A program of the version before sorts for its lists.
drop index concurrently if exists "OutgoingRequest_http_waiting";
drop index concurrently if exists "OutgoingRequest_http_given_up";
