-- What operators did through the console.

create table "AuditEntry" (
    "id" bigint generated always as identity primary key,
    "at" timestamptz not null default now(),
    "operator" text not null,
    "address" text,
    "action" text not null,
    "tenancyId" uuid,
    "subject" text,
    "details" jsonb not null default '{}',
    constraint "details are an object" check (jsonb_typeof("details") = 'object')
);
create index "AuditEntry_at" on "AuditEntry" ("at");
create index "AuditEntry_tenancyId" on "AuditEntry" ("tenancyId", "id") where "tenancyId" is not null;
comment on table "AuditEntry" is 'Every change that was made through the console, written with it; kept for console.audit_retention.';
comment on column "AuditEntry"."operator" is 'Name of the admin key that was used.';
comment on column "AuditEntry"."address" is 'Where the request came from.';
comment on column "AuditEntry"."action" is 'What was done, such as target.pause.';
comment on column "AuditEntry"."subject" is 'What it was done to, within the tenancy: the id of a target.';
comment on column "AuditEntry"."details" is 'What was asked for; never a secret.';
