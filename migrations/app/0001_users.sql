-- The sample application: users and their contact channels.

create table "ProjectUser" (
    "tenancyId" uuid not null references "Tenancy" ("id") on delete cascade,
    "projectUserId" uuid not null default gen_random_uuid(),
    "createdAt" timestamptz not null default now(),
    "updatedAt" timestamptz not null default now(),
    "lastActiveAt" timestamptz,
    "signedUpAt" timestamptz,
    "displayName" text,
    "profileImageUrl" text,
    "clientMetadata" jsonb,
    "clientReadOnlyMetadata" jsonb,
    "serverMetadata" jsonb,
    "isAnonymous" boolean not null default false,
    "sequenceId" bigint,
    "shouldUpdateSequenceId" boolean not null default true,
    "changedBy" xid8 not null default pg_current_xact_id(),
    primary key ("tenancyId", "projectUserId")
);
create index "ProjectUser_fetch" on "ProjectUser" ("tenancyId", "sequenceId");
create index "ProjectUser_pending" on "ProjectUser" ("changedBy", "tenancyId")
    where "shouldUpdateSequenceId" and "changedBy" is distinct from '0';
create index "ProjectUser_pending_by_tenancy" on "ProjectUser" ("tenancyId", "changedBy")
    where "shouldUpdateSequenceId" and "changedBy" is distinct from '2';

create table "ContactChannel" (
    "tenancyId" uuid not null,
    "projectUserId" uuid not null,
    "id" uuid not null default gen_random_uuid(),
    "type" text not null default 'EMAIL',
    "value" text not null default '',
    "isPrimary" boolean not null default false,
    "isVerified" boolean not null default false,
    "usedForAuth" boolean not null default false,
    "createdAt" timestamptz not null default now(),
    "updatedAt" timestamptz not null default now(),
    "sequenceId" bigint,
    "shouldUpdateSequenceId" boolean not null default true,
    "changedBy" xid8 not null default pg_current_xact_id(),
    primary key ("tenancyId", "projectUserId", "id"),
    constraint "one channel an id" unique ("tenancyId", "id"),
    foreign key ("tenancyId", "projectUserId") references "ProjectUser" ("tenancyId", "projectUserId")
        on delete cascade on update cascade
);
create unique index "ContactChannel_one_primary_a_type" on "ContactChannel" ("tenancyId", "projectUserId", "type")
    where "isPrimary";
create index "ContactChannel_fetch" on "ContactChannel" ("tenancyId", "sequenceId");
create index "ContactChannel_pending" on "ContactChannel" ("changedBy", "tenancyId")
    where "shouldUpdateSequenceId" and "changedBy" is distinct from '0';
create index "ContactChannel_pending_by_tenancy" on "ContactChannel" ("tenancyId", "changedBy")
    where "shouldUpdateSequenceId" and "changedBy" is distinct from '2';

insert into "SequencedRelation" ("relation", "keyColumns", "columns") values
    ('ProjectUser', '{tenancyId,projectUserId}',
     '{tenancyId,projectUserId,createdAt,signedUpAt,displayName,profileImageUrl,clientMetadata,clientReadOnlyMetadata,serverMetadata,isAnonymous}'),
    ('ContactChannel', '{tenancyId,projectUserId,id}',
     '{tenancyId,projectUserId,id,type,value,isPrimary,isVerified,usedForAuth,createdAt}');
select watch_relation('ProjectUser'), watch_relation('ContactChannel');

insert into "SequencedDependency" ("changed", "dependent", "changedColumns", "dependentColumns") values
    ('ContactChannel', 'ProjectUser', '{tenancyId,projectUserId}', '{tenancyId,projectUserId}');
select build_sequencer();
