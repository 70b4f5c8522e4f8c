//! Many tenants at once, in plain SQL, for what has to cost the same however many there are.

/// Statements that make `tenants` of them, each with a target, its progress and a user: every twentieth target is broken, about
/// a third of the others waits.
#[must_use]
pub fn tenants(tenants: u32) -> String {
    format!(
        r#"insert into "Project" ("id") select 'project-' || n from generate_series(1, {tenants}) n;
           insert into "Tenancy" ("projectId", "tenantKey") select 'project-' || n, 'key-' || n
           from generate_series(1, {tenants}) n;
           insert into "ExternalDatabase" ("tenancyId", "id", "state", "lastErrorClass", "consecutiveFailures",
               "createdAt", "nextVisitAt")
           select t."id", 'main', case when n % 20 = 0 then 'broken' else 'ok' end,
               case when n % 20 <> 0 then null when n % 40 = 0 then 'passwordRefused' else 'unreachable' end,
               case when n % 20 = 0 then n % 100 else 0 end, now() - n * interval '1 second',
               now() + n * interval '1 millisecond'
           from "Tenancy" t, lateral (select substr(t."tenantKey", 5)::int as n) k;
           insert into "SyncState" ("tenancyId", "databaseId", "mappingName", "mappingVersion", "lastSyncedSequenceId")
           select e."tenancyId", e."id", m, 1, 1000 from "ExternalDatabase" e, unnest(array['users', 'contact_channels']) m;
           insert into "OutgoingRequest" ("kind", "deduplicationKey", "tenancyId", "databaseId", "dueAt")
           select 'sync', 'sync:' || e."tenancyId" || ':main', e."tenancyId", 'main',
               now() + (e."consecutiveFailures" - 50) * interval '1 minute'
           from "ExternalDatabase" e where e."state" = 'broken' or e."consecutiveFailures" = 0 and random() < 0.3;
           insert into "ProjectUser" ("tenancyId", "projectUserId", "displayName")
           select t."id", gen_random_uuid(), 'x' from "Tenancy" t;"#
    )
}
