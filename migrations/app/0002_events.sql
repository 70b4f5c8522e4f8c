-- The sample application: what its users do, for the console's metrics.

create table "Event" (
    "id" uuid primary key default gen_random_uuid(),
    "createdAt" timestamptz not null default now(),
    "eventStartedAt" timestamptz not null default now(),
    "systemEventTypeIds" text[] not null default '{}',
    "data" jsonb not null default '{}',
    "endUserIpInfoGuessId" uuid
);
create table "EventIpInfo" (
    "id" uuid primary key default gen_random_uuid(),
    "ip" text,
    "countryCode" text,
    "regionCode" text,
    "cityName" text
);
create table "AuthMethod" (
    "tenancyId" uuid not null,
    "id" uuid not null default gen_random_uuid(),
    "projectUserId" uuid,
    "type" text,
    "provider" text,
    primary key ("tenancyId", "id"),
    foreign key ("tenancyId", "projectUserId") references "ProjectUser" ("tenancyId", "projectUserId")
        on delete cascade on update cascade,
    constraint "the method is a known one" check ("type" in ('password', 'otp', 'passkey', 'oauth'))
);
create index "AuthMethod_user" on "AuthMethod" ("tenancyId", "projectUserId");
