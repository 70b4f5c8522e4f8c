//! What the sample application does meanwhile, in plain SQL: a few changes a second.

use std::time::Duration;

use tenant_sync_core::db::Internal;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const EVERY: Duration = Duration::from_millis(200);

/// `$1` is the tenancy. Somebody at random is the first one after a random id.
const CHANGES: [&str; 5] = [
    r#"update "ProjectUser" u
       set "displayName" = 'Renamed at ' || to_char(clock_timestamp(), 'HH24:MI:SS'), "updatedAt" = now()
       where u."tenancyId" = $1 and u."projectUserId" in (
           select "projectUserId" from "ProjectUser" where "tenancyId" = $1 and "projectUserId" >= gen_random_uuid()
           order by "projectUserId" limit 5)"#,
    r#"with added as (
           insert into "ProjectUser" ("tenancyId", "displayName", "signedUpAt")
           values ($1, 'New at ' || to_char(clock_timestamp(), 'HH24:MI:SS'), now()) returning "projectUserId" as id)
       insert into "ContactChannel" ("tenancyId", "projectUserId", "value", "isPrimary", "usedForAuth")
       select $1, id, 'new-' || id || '@demo.example', true, true from added"#,
    r#"update "ContactChannel" c set "isVerified" = not c."isVerified", "updatedAt" = now()
       where c."tenancyId" = $1 and c."id" in (
           select "id" from "ContactChannel" where "tenancyId" = $1 and "id" >= gen_random_uuid()
           order by "id" limit 3)"#,
    r#"update "ProjectUser" u set "clientMetadata" = jsonb_build_object('theme', 'light', 'at', now())
       where u."tenancyId" = $1 and u."projectUserId" in (
           select "projectUserId" from "ProjectUser" where "tenancyId" = $1 and "projectUserId" >= gen_random_uuid()
           order by "projectUserId" limit 2)"#,
    r#"delete from "ProjectUser" u
       where u."tenancyId" = $1 and u."projectUserId" in (
           select "projectUserId" from "ProjectUser" where "tenancyId" = $1 and "projectUserId" >= gen_random_uuid()
           order by "projectUserId" limit 1)"#,
];

/// Makes changes until `stop`; returns how many transactions there were.
pub(super) async fn run(
    internal: Internal,
    tenancies: Vec<Uuid>,
    stop: CancellationToken,
) -> anyhow::Result<u64> {
    let mut made = 0;
    let mut ticks = tokio::time::interval(EVERY);
    for (tenancy, change) in tenancies.iter().cycle().zip(CHANGES.iter().cycle()) {
        if stop.run_until_cancelled(ticks.tick()).await.is_none() {
            break;
        }
        let client = internal.get().await?;
        let statement = client.prepare_cached(change).await?;
        client.execute(&statement, &[tenancy]).await?;
        made += 1;
    }
    Ok(made)
}
