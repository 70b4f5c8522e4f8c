//! What one would write first: a query a relation, straight from the definitions.

use std::time::{Duration, Instant};

use tokio_postgres::Client;
use uuid::Uuid;

const ACTIVE: &str = r#"'$user-activity' = any (e."systemEventTypeIds") and e."data" ->> 'projectId' = t."projectId" and e."data" ->> 'branchId' = t."branchId"
    and coalesce(e."data" ->> 'isAnonymous', 'false') <> 'true'"#;

/// The parts of the metrics, one after the other.
pub(super) async fn metrics(client: &Client, tenancy: Uuid) {
    let users = r#"from "ProjectUser" where "tenancyId" = $1 and not "isAnonymous""#;
    for query in [
        format!("select count(*) {users}"),
        format!(r#"select date_trunc('day', "signedUpAt") as day, count(*) {users} and "signedUpAt" > now() - interval '30 days' group by 1 order by 1"#),
        format!(
            r#"select date_trunc('day', e."eventStartedAt"), count(distinct e."data" ->> 'userId') from "Event" e, "Tenancy" t
               where t."id" = $1 and e."eventStartedAt" > now() - interval '30 days' and {ACTIVE} group by 1 order by 1"#
        ),
        format!(
            r#"select c."countryCode", count(*) from (
                 select distinct on (e."data" ->> 'userId') i."countryCode" from "Event" e join "EventIpInfo" i on i."id" = e."endUserIpInfoGuessId", "Tenancy" t
                 where t."id" = $1 and i."countryCode" is not null and {ACTIVE} order by e."data" ->> 'userId', e."eventStartedAt" desc) c
               group by 1 order by 2 desc"#
        ),
        format!(r#"select * {users} order by "signedUpAt" desc limit 10"#),
        format!(
            r#"select e."data" ->> 'userId', max(e."eventStartedAt") from "Event" e, "Tenancy" t where t."id" = $1 and {ACTIVE}
               group by 1 order by 2 desc limit 10"#
        ),
        r#"select "type", "provider", count(distinct "projectUserId") from "AuthMethod" where "tenancyId" = $1 group by 1, 2"#.to_owned(),
    ] {
        client.query(&query, &[&tenancy]).await.expect("a part of the metrics");
    }
}

/// 200 users, those active last first: their activity, then the users, channels and methods of the page.
pub(super) async fn users(client: &Client, tenancy: Uuid) {
    let page = format!(
        r#"select u."projectUserId" from "ProjectUser" u left join (
             select e."data" ->> 'userId' as id, max(e."eventStartedAt") as at from "Event" e, "Tenancy" t where t."id" = $1 and {ACTIVE} group by 1) a
           on a.id = u."projectUserId"::text
           where u."tenancyId" = $1 and not u."isAnonymous"
           order by coalesce(greatest(u."lastActiveAt", a.at), u."signedUpAt", u."createdAt") desc, 1 desc limit 200"#
    );
    let rows = client.query(&page, &[&tenancy]).await.expect("a page");
    let ids: Vec<Uuid> = rows.iter().map(|row| row.get(0)).collect();
    for table in ["ProjectUser", "ContactChannel", "AuthMethod"] {
        let query =
            format!(r#"select * from "{table}" where "tenancyId" = $1 and "projectUserId" = any ($2)"#);
        client.query(&query, &[&tenancy, &ids]).await.expect("what belongs to a page");
    }
}

/// The middle of how long it takes.
pub(super) async fn median(rounds: usize, once: impl AsyncFn()) -> Duration {
    let mut times = Vec::new();
    for _ in 0..rounds {
        let began = Instant::now();
        once().await;
        times.push(began.elapsed());
    }
    middle(times)
}

pub(super) fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
