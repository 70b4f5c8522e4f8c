//! What the metrics are made of. Each statement reads one range of an index of the tenant's; none reads "Event".

use std::collections::HashMap;

use deadpool_postgres::Object;
use time::Date;
use tokio_postgres::Error;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::{CountryCount, MethodCount};

/// Countries that are told apart; there are about 250.
const COUNTRIES_MAX: i64 = 300;
/// Ways to sign in that are told apart.
const METHODS_MAX: i64 = 200;

pub(super) struct Asked {
    pub(super) tenancy_id: Uuid,
    pub(super) include_anonymous: bool,
    pub(super) first_day: Date,
    pub(super) today: Date,
}

pub(super) struct SignUps {
    pub(super) total: i64,
    pub(super) by_day: HashMap<Date, i64>,
}

/// All users, in one look at the index of when they signed up.
pub(super) async fn sign_ups(client: &Object, asked: &Asked) -> Result<SignUps, Error> {
    let text = format!(
        r#"
select case when u.at >= $2::timestamp at time zone 'UTC' and u.at < ($3 + 1)::timestamp at time zone 'UTC'
       then (u.at at time zone 'UTC')::date end, count(*)
from (select u."signedUpAt" as at from "UserActivity" u where u."tenancyId" = $1 and u."signedUpAt" is not null{}) u
group by 1"#,
        known(asked, "u")
    );
    let rows = client.query_typed(&text, &days(asked)).await?;
    let mut sign_ups = SignUps { total: 0, by_day: HashMap::new() };
    for row in rows {
        let users: i64 = row.get(1);
        sign_ups.total += users;
        if let Some(day) = row.get::<_, Option<Date>>(0) {
            sign_ups.by_day.insert(day, users);
        }
    }
    Ok(sign_ups)
}

pub(super) async fn active_users(client: &Object, asked: &Asked) -> Result<HashMap<Date, i64>, Error> {
    let users = if asked.include_anonymous { r#""users""# } else { r#""users" - "anonymousUsers""# };
    let text = format!(
        r#"select "day", {users} from "ActivityDay" where "tenancyId" = $1 and "day" between $2 and $3"#
    );
    let rows = client.query_typed(&text, &days(asked)).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

pub(super) struct Countries {
    pub(super) by_country: Vec<CountryCount>,
    pub(super) unknown: i64,
}

/// A country that was not known when the latest event was folded is looked up now.
pub(super) async fn countries(client: &Object, asked: &Asked) -> Result<Countries, Error> {
    let text = format!(
        r#"
select coalesce(i."countryCode", a."countryCode"), count(*)
from "UserActivity" a
left join "EventIpInfo" i on i."id" = a."ipInfoId" and a."countryAt" is distinct from a."ipInfoAt"
where a."tenancyId" = $1 and a."signedUpAt" is not null{}
group by 1 order by 2 desc, 1 limit {COUNTRIES_MAX}"#,
        known(asked, "a")
    );
    let rows = client.query_typed(&text, &[(&asked.tenancy_id, Type::UUID)]).await?;
    let mut countries = Countries { by_country: Vec::new(), unknown: 0 };
    for row in rows {
        match row.get::<_, Option<String>>(0) {
            Some(country_code) => {
                countries.by_country.push(CountryCount { country_code, users: row.get(1) });
            }
            None => countries.unknown = row.get(1),
        }
    }
    Ok(countries)
}

pub(super) async fn methods(client: &Object, asked: &Asked) -> Result<Vec<MethodCount>, Error> {
    let of_known = if asked.include_anonymous {
        ""
    } else {
        r#" and exists (select from "ProjectUser" u where u."tenancyId" = $1 and u."projectUserId" = m."projectUserId" and not u."isAnonymous")"#
    };
    let text = format!(
        r#"
select m."type", m."provider", count(distinct m."projectUserId")
from "AuthMethod" m where m."tenancyId" = $1 and m."projectUserId" is not null{of_known}
group by 1, 2 order by 3 desc, 1, 2 limit {METHODS_MAX}"#
    );
    let rows = client.query_typed(&text, &[(&asked.tenancy_id, Type::UUID)]).await?;
    let count =
        |row: &tokio_postgres::Row| MethodCount { kind: row.get(0), provider: row.get(1), users: row.get(2) };
    Ok(rows.iter().map(count).collect())
}

fn known(asked: &Asked, users: &str) -> String {
    if asked.include_anonymous { String::new() } else { format!(r#" and not {users}."isAnonymous""#) }
}

fn days(asked: &Asked) -> [(&(dyn ToSql + Sync), Type); 3] {
    [(&asked.tenancy_id, Type::UUID), (&asked.first_day, Type::DATE), (&asked.today, Type::DATE)]
}
