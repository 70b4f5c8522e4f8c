-- HTTP requests: who is called (triggers, destinations), what waits (rows of kind http in the outbox), what was
-- tried (attempts).

create table "HttpTable" (
    "id" bigint generated always as identity primary key,
    "name" text not null unique,
    "relation" oid not null unique,
    "tenantColumn" text not null,
    "keyColumns" text[] not null,
    "event" text not null,
    "mappingName" text,
    "data" text,
    "lowestLimit" integer not null default 10000,
    "writtenFrom" text,
    "partitions" oid[]
);
comment on table "HttpTable" is 'Tables for which a trigger is registered; each has trigger functions of its own, and no other table has any.';
comment on column "HttpTable"."name" is 'As the operator calls it: schema, dot, table, or the name of one of the shipped tables.';
comment on column "HttpTable"."event" is 'First part of its events'' names: user gives user.created.';
comment on column "HttpTable"."data" is 'Query of the mapping''s columns over the row {row}; null: the table''s own columns.';
comment on column "HttpTable"."lowestLimit" is 'Lowest eventLimit of its triggers: a statement with fewer rows need not count them.';
comment on column "HttpTable"."writtenFrom" is 'Digest of all that its functions were written from.';

create table "HttpRule" (
    "id" bigint generated always as identity primary key,
    "tableId" bigint not null references "HttpTable" ("id") on delete cascade,
    "onUpdate" text not null,
    "onOther" text not null,
    constraint "a rule of a table is there once" unique ("tableId", "onUpdate")
);
comment on table "HttpRule" is 'Conditions of triggers without their values: what thousands of triggers have in common is compiled once.';
comment on column "HttpRule"."onUpdate" is 'SQL over the row "r", the row "o" as it was before, and the trigger "t", whose arguments are the values.';
comment on column "HttpRule"."onOther" is 'The same for a row that is inserted or deleted: there is no row before it, and whatever is asked about changes holds.';

create table "HttpTrigger" (
    "id" uuid primary key default gen_random_uuid(),
    "tenancyId" uuid references "Tenancy" ("id") on delete cascade,
    "tableId" bigint references "HttpTable" ("id"),
    "operations" text[] not null default '{}',
    "events" text[] not null default '{}',
    "columns" text[],
    "condition" jsonb,
    "ruleId" bigint references "HttpRule" ("id"),
    "arguments" text[] not null default '{}',
    "url" text not null,
    "headers" jsonb not null default '{}',
    "secrets" bytea not null,
    "keyId" text not null,
    "timeoutMillis" integer,
    "eventLimit" integer not null default 10000,
    "ordered" boolean not null default false,
    "state" text not null default 'active',
    "stateReason" text,
    "stateSince" timestamptz not null default now(),
    "missedStatements" bigint not null default 0,
    "lastFault" text,
    "lastFaultAt" timestamptz,
    "createdAt" timestamptz not null default now(),
    "updatedAt" timestamptz not null default now(),
    constraint "a trigger listens to a table or to our own events" check (("tableId" is null) = (cardinality("events") > 0)),
    constraint "a trigger of a table names operations" check (("tableId" is null) = (cardinality("operations") = 0)),
    constraint "operations are insert, update and delete" check ("operations" <@ array['insert', 'update', 'delete']),
    constraint "headers are an object" check (jsonb_typeof("headers") = 'object'),
    constraint "a condition is a list" check (jsonb_typeof("condition") = 'array'),
    constraint "a limit of events is positive" check ("eventLimit" > 0),
    constraint "a time limit is positive" check ("timeoutMillis" > 0),
    constraint "a trigger is active, paused or broken" check ("state" in ('active', 'paused', 'broken'))
);
-- Read by the application's own statements, once a row.
create index "HttpTrigger_active" on "HttpTrigger" ("tableId", "tenancyId") where "state" = 'active' and "tableId" is not null;
create index "HttpTrigger_own_events" on "HttpTrigger" ("tenancyId") where "tableId" is null;
create index "HttpTrigger_tenancy" on "HttpTrigger" ("tenancyId");
create index "HttpTrigger_ruleId" on "HttpTrigger" ("ruleId");
comment on table "HttpTrigger" is 'Whom a committed change, or an event of our own, is told by an HTTP request.';
comment on column "HttpTrigger"."tenancyId" is 'Changes of this tenancy only; null: of all.';
comment on column "HttpTrigger"."columns" is 'An update counts if one of these changed; null: if the event''s data changed.';
comment on column "HttpTrigger"."condition" is 'As the operator wrote it; "ruleId" and "arguments" are what it was compiled to.';
comment on column "HttpTrigger"."secrets" is 'The signing secrets, one a line, the newest first, encrypted with the key "keyId".';
comment on column "HttpTrigger"."eventLimit" is 'A statement that makes more events than this makes a single one with the count.';
comment on column "HttpTrigger"."ordered" is 'The events of a row go one after the other, in the order of its changes.';
comment on column "HttpTrigger"."state" is 'Only an active trigger makes events. broken: its definition does not fit its table any more.';
comment on column "HttpTrigger"."missedStatements" is 'Statements of the application that went through although their events could not be made.';

create table "HttpDestination" (
    "id" uuid primary key default gen_random_uuid(),
    "triggerId" uuid unique references "HttpTrigger" ("id") on delete cascade,
    "origin" text unique,
    "parallelism" integer,
    "ratePerSecond" double precision,
    "batchEvents" integer not null default 1,
    "batchWaitMillis" integer not null default 0,
    "state" text not null default 'ok',
    "consecutiveFailures" integer not null default 0,
    "failingSince" timestamptz,
    "nextAttemptAt" timestamptz,
    "lastError" text,
    "lastErrorClass" text,
    "lastStatus" integer,
    "lastSuccessAt" timestamptz,
    "createdAt" timestamptz not null default now(),
    constraint "a destination is a trigger or an origin" check (("triggerId" is null) <> ("origin" is null)),
    constraint "the destination of a trigger has its id" check ("triggerId" = "id"),
    constraint "limits are positive" check ("parallelism" > 0 and "ratePerSecond" > 0 and "batchEvents" > 0 and "batchWaitMillis" >= 0),
    constraint "a destination is ok, retrying or broken" check ("state" in ('ok', 'retrying', 'broken')),
    constraint "failures of a destination are counted upwards" check ("consecutiveFailures" >= 0)
);
create index "HttpDestination_not_ok" on "HttpDestination" ("state") where "state" <> 'ok';
comment on table "HttpDestination" is 'What flow control belongs to: a registered trigger, or for plain requests the origin of their URL.';
comment on column "HttpDestination"."id" is 'The trigger''s id, or the MD5 of the origin: whoever writes a request knows it without looking.';
comment on column "HttpDestination"."origin" is 'Scheme, host and port, in lower case and always with the port: https://example.org:443.';
comment on column "HttpDestination"."parallelism" is 'Requests at once; null: requests.parallelism of the configuration.';
comment on column "HttpDestination"."nextAttemptAt" is 'The breaker is open: nothing is tried before this instant, and then a single probe.';
comment on column "HttpDestination"."failingSince" is 'Since when there were only failures; null after a success.';

create sequence outgoing_request_seq as bigint;
comment on sequence outgoing_request_seq is 'Where "OutgoingRequest"."position" comes from.';

alter table "OutgoingRequest"
    add column "destinationId" uuid,
    add column "position" bigint,
    add column "state" text not null default 'pending',
    add column "eventType" text,
    add column "method" text,
    add column "url" text,
    add column "headers" jsonb,
    add column "body" text,
    add column "orderKey" text,
    add column "timeoutMillis" integer,
    add column "lastError" text,
    add column "lastErrorClass" text,
    add column "lastStatus" integer,
    add column "diedAt" timestamptz,
    add column "askedBy" xid8,
    add constraint "what goes by HTTP names its destination" check ("kind" in ('sync', 'ask') or "destinationId" is not null),
    add constraint "a request waits or is dead" check ("state" in ('pending', 'dead')),
    add constraint "the dead know since when" check (("state" = 'dead') = ("diedAt" is not null));
-- A destination's own range: due first, then in the order in which they were written.
create index "OutgoingRequest_http_due" on "OutgoingRequest" ("destinationId", "dueAt", "position")
    where "kind" = 'http' and "state" = 'pending';
create index "OutgoingRequest_http_order" on "OutgoingRequest" ("destinationId", "orderKey", "position")
    where "kind" = 'http' and "state" = 'pending' and "orderKey" is not null;
create unique index "OutgoingRequest_http_once" on "OutgoingRequest" ("destinationId", "deduplicationKey")
    where "kind" = 'http' and "state" = 'pending' and "deduplicationKey" is not null;
create index "OutgoingRequest_http_dead" on "OutgoingRequest" ("destinationId", "diedAt")
    where "kind" = 'http' and "state" = 'dead';
create unique index "OutgoingRequest_one_delivery_a_destination" on "OutgoingRequest" ("destinationId") where "kind" = 'delivery';
create index "OutgoingRequest_delivery_due" on "OutgoingRequest" ("dueAt") where "kind" = 'delivery';
create index "OutgoingRequest_delivery_queued" on "OutgoingRequest" ("dueAt")
    where "kind" = 'delivery' and "startedFulfillingAt" is not null and "runningSince" is null;
create index "OutgoingRequest_delivery_asks" on "OutgoingRequest" ("askedBy") where "kind" = 'deliveryAsk';
comment on table "OutgoingRequest" is 'Outbox. One row of kind sync for each target with something to do, one of kind delivery for each destination: pending, queued, running, gone. Rows of kind http are the requests themselves. Rows of kind ask and deliveryAsk are an application''s wish, folded by the poller.';
comment on column "OutgoingRequest"."destinationId" is 'Kinds http, delivery and deliveryAsk: "HttpDestination"."id".';
comment on column "OutgoingRequest"."position" is 'Kind http: in the order of writing.';
comment on column "OutgoingRequest"."state" is 'Kind http: pending until it is delivered (then the row is gone), dead when all attempts are used up.';
comment on column "OutgoingRequest"."eventType" is 'Kind http: name of the event; null for a plain request.';
comment on column "OutgoingRequest"."url" is 'Kind http, plain requests: where it goes. The URL and headers of an event are the trigger''s. Kind deliveryAsk: the origin, if it may be a new one.';
comment on column "OutgoingRequest"."body" is 'Kind http: what is sent, byte for byte.';
comment on column "OutgoingRequest"."orderKey" is 'Kind http: requests of a destination with the same key go strictly one after the other.';
comment on column "OutgoingRequest"."askedBy" is 'Kind deliveryAsk: the transaction that asked, so that a fold looks only at what can be new.';

create table "HttpAttempt" (
    "requestId" uuid not null,
    "at" timestamptz not null default clock_timestamp(),
    "destinationId" uuid not null,
    "number" integer not null,
    "outcome" text not null,
    "durationMillis" integer not null,
    "status" integer,
    "errorClass" text,
    "error" text,
    "responseExcerpt" text,
    "workerId" text,
    "tenancyId" uuid,
    "eventType" text,
    "createdAt" timestamptz,
    "method" text,
    "url" text,
    "headers" jsonb,
    "body" text,
    "orderKey" text,
    "timeoutMillis" integer,
    primary key ("requestId", "at"),
    constraint "an attempt delivers, fails or is the last" check ("outcome" in ('delivered', 'failed', 'dead'))
);
create index "HttpAttempt_destination" on "HttpAttempt" ("destinationId", "at");
create index "HttpAttempt_at" on "HttpAttempt" ("at");
comment on table "HttpAttempt" is 'What was tried, and what came of it; kept for a retention.';
comment on column "HttpAttempt"."number" is 'Which attempt of its request it was, from 1.';
comment on column "HttpAttempt"."outcome" is 'delivered: the request''s row is gone. dead: it was the last attempt.';
comment on column "HttpAttempt"."error" is 'Our sentence for what went wrong.';
comment on column "HttpAttempt"."responseExcerpt" is 'The first KiB of the answer.';
comment on column "HttpAttempt"."body" is 'Of a delivered request, like the columns around it: so that it can be sent again.';

create sequence http_fault_seq as bigint;
comment on sequence http_fault_seq is 'Where the ids of "HttpFault" come from.';
create table "HttpFault" (
    "id" bigint primary key default nextval('http_fault_seq'),
    "tableId" bigint,
    "triggerId" uuid,
    "sqlState" text not null,
    "at" timestamptz not null default clock_timestamp()
);
comment on table "HttpFault" is 'Statements of the application that went through although their events could not be made; the poller counts them at the trigger. At most 1,000 rows.';

create table "HttpSettings" (
    "id" boolean primary key default true,
    "allowHttp" boolean not null default false,
    "maxBodyBytes" integer not null default 1048576,
    constraint "there is one row of settings" check ("id")
);
insert into "HttpSettings" default values;
comment on table "HttpSettings" is 'What enqueue_http_request accepts: a copy of the configuration, written by pollers when they start.';
