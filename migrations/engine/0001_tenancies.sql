-- Who the tenants are.

create table "Project" (
    "id" text primary key,
    "displayName" text not null default '',
    "createdAt" timestamptz not null default now(),
    "updatedAt" timestamptz not null default now()
);
comment on table "Project" is 'A product of the SaaS company; owns tenancies.';

create table "Tenancy" (
    "id" uuid primary key default gen_random_uuid(),
    "projectId" text not null references "Project" ("id") on delete cascade,
    "branchId" text not null default 'main',
    "tenantKey" text not null,
    "createdAt" timestamptz not null default now(),
    "updatedAt" timestamptz not null default now(),
    constraint "one tenancy a project and branch" unique ("projectId", "branchId"),
    constraint "one tenancy a tenant key" unique ("tenantKey")
);
comment on table "Tenancy" is 'One tenant. Its rows carry its id, or its key in tables of the operator''s own.';
comment on column "Tenancy"."tenantKey" is 'Value of the tenant column in the operator''s own tables, as text; the id unless given.';

create function default_tenant_key() returns trigger
    language plpgsql set search_path from current as $$
begin
    new."tenantKey" := coalesce(new."tenantKey", new."id"::text);
    return new;
end $$;

create trigger "default_tenant_key" before insert or update on "Tenancy"
    for each row when (new."tenantKey" is null) execute function default_tenant_key();
