//! `db seed`: sample projects, tenancies and users with their contact channels, ways to sign in and activity, in plain SQL.

use std::process::ExitCode;

use anyhow::{bail, ensure};
use serde::Serialize;
use tenant_sync_core::config::Config;
use tenant_sync_core::db::Internal;
use tenant_sync_core::migrate::Migrator;
use uuid::Uuid;

use crate::context::Context;

/// `db seed`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Tenancies to add, each with a project of its own
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    tenancies: u16,
    /// Users of each tenancy
    #[arg(long, default_value_t = 100)]
    users: u32,
    /// Activity events of each tenancy, over the last 30 days and 100 countries [default: ten for each user]
    #[arg(long)]
    events: Option<u32>,
    /// Add to a database that has tenancies already
    #[arg(long)]
    yes: bool,
}

/// A tenancy that was made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Seeded {
    pub(crate) tenancy_id: Uuid,
    pub(crate) project_id: String,
    pub(crate) users: u64,
    pub(crate) contact_channels: u64,
    pub(crate) sign_in_methods: u64,
    pub(crate) activity_events: u64,
}

#[derive(Debug, Serialize)]
struct Report {
    tenancies: Vec<Seeded>,
}

pub(super) async fn run(context: &Context, config: &Config, args: &Args) -> anyhow::Result<ExitCode> {
    ensure!(
        config.database.user_tables,
        "there is no sample application to fill: database.user_tables is false"
    );
    Migrator::new(config)?.check().await?;
    let internal = Internal::new(&config.database, "seed")?;
    if !args.yes && has_tenancies(&internal).await? {
        bail!("there are tenancies already; --yes adds the sample ones to them");
    }
    let tenancies = seed(&internal, args.tenancies, args.users, args.events).await?;
    context.output.result(&Report { tenancies }, |report| {
        let line = |t: &Seeded| {
            format!(
                "{}  {}  {} users, {} contact channels, {} ways to sign in, {} activity events",
                t.tenancy_id, t.project_id, t.users, t.contact_channels, t.sign_in_methods, t.activity_events
            )
        };
        report.tenancies.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn has_tenancies(internal: &Internal) -> anyhow::Result<bool> {
    Ok(internal.get().await?.query_opt(r#"select from "Tenancy" limit 1"#, &[]).await?.is_some())
}

/// Adds `tenancies` with `users` each. Every user has a primary address; every third has a second one. They sign up over 30
/// days; most of the `events` are those of a few, and every twentieth user has none.
pub(crate) async fn seed(
    internal: &Internal,
    tenancies: u16,
    users: u32,
    events: Option<u32>,
) -> anyhow::Result<Vec<Seeded>> {
    let (users, events) = (i64::from(users), i64::from(events.unwrap_or_else(|| users.saturating_mul(10))));
    let mut session = internal.get().await?;
    let mut seeded = Vec::new();
    for _ in 0..tenancies {
        let transaction = session.transaction().await?;
        let project = transaction.query_one(PROJECT, &[]).await?;
        let project_id: String = project.get(0);
        let tenancy = transaction.query_one(TENANCY, &[&project_id]).await?;
        let tenancy_id: Uuid = tenancy.get(0);
        let (mut made, mut contact_channels, mut sign_in_methods) = (0, 0, 0);
        for (first, last) in batches(users) {
            made += transaction.execute(USERS, &[&tenancy_id, &users, &first, &last]).await?;
        }
        for (first, last) in batches(users) {
            contact_channels +=
                transaction.execute(CHANNELS, &[&tenancy_id, &project_id, &first, &last]).await?;
            sign_in_methods += transaction.execute(METHODS, &[&tenancy_id, &first, &last]).await?;
        }
        transaction.execute(PLACES, &[&tenancy_id]).await?;
        let mut activity_events = 0;
        for (first, last) in batches(events) {
            activity_events += transaction.execute(EVENTS, &[&tenancy_id, &first, &last]).await?;
        }
        transaction.commit().await?;
        seeded.push(Seeded {
            tenancy_id,
            project_id,
            users: made,
            contact_channels,
            sign_in_methods,
            activity_events,
        });
    }
    Ok(seeded)
}

/// Ranges from 1 to `count`, so that each statement stays within `database.statement_timeout`.
fn batches(count: i64) -> impl Iterator<Item = (i64, i64)> {
    const ROWS: i64 = 50_000;
    (0..(count + ROWS - 1) / ROWS).map(move |n| (n * ROWS + 1, count.min((n + 1) * ROWS)))
}

/// The first free name of the form `sample-1`.
const PROJECT: &str = r#"
    insert into "Project" ("id", "displayName")
    select 'sample-' || n, 'Sample ' || n
    from (select coalesce(max(substring("id" from '^sample-(\d{1,9})$')::int), 0) + 1 as n from "Project") next
    returning "id""#;

const TENANCY: &str = r#"insert into "Tenancy" ("projectId") values ($1) returning "id""#;

const USERS: &str = r#"
    insert into "ProjectUser"
        ("tenancyId", "displayName", "signedUpAt", "clientMetadata", "serverMetadata", "isAnonymous")
    select $1, case n % 10 when 0 then 'Üser ' || n || ' 😀' else 'User ' || n end,
           now() - n * least(interval '6 hours', interval '30 days' / greatest($2::bigint, 1)),
           case n % 3 when 0 then null else jsonb_build_object('theme', 'dark', 'number', n) end,
           jsonb_build_object('plan', case n % 4 when 0 then 'paid' else 'free' end), n % 25 = 0
    from generate_series($3::bigint, $4::bigint) n"#;

const CHANNELS: &str = r#"
    with numbered as (
        select "projectUserId" as id, row_number() over (order by "signedUpAt" desc) as n
        from "ProjectUser" where "tenancyId" = $1 order by 2 limit $4::bigint - $3::bigint + 1 offset $3::bigint - 1
    )
    insert into "ContactChannel"
        ("tenancyId", "projectUserId", "type", "value", "isPrimary", "isVerified", "usedForAuth")
    select $1, id, 'EMAIL', 'user' || n || '@' || $2::text || '.example', true, n % 3 <> 1, true from numbered
    union all
    select $1, id, 'EMAIL', 'other' || n || '@' || $2::text || '.example', false, false, false from numbered
    where n % 3 = 0"#;

const METHODS: &str = r#"
    insert into "AuthMethod" ("tenancyId", "projectUserId", "type", "provider")
    select u."tenancyId", u."projectUserId", m.type, m.provider
    from (select *, row_number() over (order by "signedUpAt" desc) as n
          from "ProjectUser" where "tenancyId" = $1 order by n limit $3::bigint - $2::bigint + 1 offset $2::bigint - 1) u
    cross join lateral (values
        ('password', null, n % 2 = 0), ('oauth', (array['google', 'github', 'apple'])[1 + n % 3], n % 3 <> 0),
        ('otp', null, n % 5 = 0), ('passkey', null, n % 7 = 0)) m (type, provider, has)
    where m.has and not u."isAnonymous""#;

/// Ten addresses in each of a hundred countries; their ids are worked out again by the events.
const PLACES: &str = r#"
    insert into "EventIpInfo" ("id", "ip", "countryCode", "cityName")
    select md5($1::uuid || ' ' || (c - 1) * 10 + i)::uuid, '2001:db8::' || to_hex(c) || ':' || to_hex(i), code, 'City ' || i
    from unnest(regexp_split_to_array('AE AF AL AM AO AR AT AU AZ BA BD BE BG BH BO BR BY CA CH CI CL CM CN CO CR CU CY CZ DE DK DO DZ EC EE EG ES ET FI FR GB GE GH GR GT HK HN HR HU ID IE
        IL IN IQ IR IS IT JM JO JP KE KH KR KW KZ LB LK LT LU LV MA MD MX MY MZ NG NI NL NO NP NZ OM PA PE PH PK PL PT PY QA RO RS SA SE SG SI SK TH TN TR US',
        '\s+')) with ordinality as codes (code, c), generate_series(0, 9) i"#;

/// A user is mostly at the same place; each eleventh event comes from elsewhere.
const EVENTS: &str = r#"
    with users as materialized (
        select array_agg("projectUserId" order by "signedUpAt" desc) as ids,
               array_agg("isAnonymous" order by "signedUpAt" desc) as anonymous, count(*) as n
        from "ProjectUser" where "tenancyId" = $1)
    insert into "Event" ("eventStartedAt", "createdAt", "systemEventTypeIds", "data", "endUserIpInfoGuessId")
    select e.at, e.at, '{$user-activity}',
           jsonb_build_object('projectId', t."projectId", 'branchId', t."branchId", 'userId', u.ids[e.who], 'isAnonymous', u.anonymous[e.who]),
           md5($1::uuid || ' ' || (e.who * 37 + case when e.n % 11 = 0 then e.n else 0 end) % 1000)::uuid
    from users u
    join "Tenancy" t on t."id" = $1
    cross join lateral (
        select n, now() - random() * interval '30 days' as at, 1 + floor(random() * random() * u.n * 0.95)::bigint as who
        from generate_series($2::bigint, $3::bigint) n) e
    where u.n > 0"#;
