-- tenant-sync: no-transaction
-- What the lists of triggers and of HTTP requests walk along.

create index concurrently "HttpTrigger_newest" on "HttpTrigger" ("createdAt", "id");
create index concurrently "HttpTrigger_state" on "HttpTrigger" ("state", "createdAt", "id");
create index concurrently "HttpTrigger_tenancy_newest" on "HttpTrigger" ("tenancyId", "createdAt", "id");
create index concurrently "HttpTrigger_url" on "HttpTrigger" ("url" collate "C");
create index concurrently "HttpDestination_failing" on "HttpDestination" ("createdAt", "id")
    where "state" <> 'ok' and "triggerId" is not null;

create index concurrently "OutgoingRequest_http_waiting" on "OutgoingRequest" ("dueAt", "position")
    where "kind" = 'http' and "state" = 'pending';
create index concurrently "OutgoingRequest_http_given_up" on "OutgoingRequest" ("diedAt", "position")
    where "kind" = 'http' and "state" = 'dead';
