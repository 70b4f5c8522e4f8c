//! Works the metrics out, in one snapshot.

use std::collections::HashMap;
use std::time::Duration;

use time::{Date, OffsetDateTime, macros::format_description};
use uuid::Uuid;

use super::{DAYS, DayCount, Metrics, sql};
use crate::activity::Caught;
use crate::http::{At, Problem};
use crate::state::Console;
use crate::users::{self, Anonymous, OrderBy, UsersQuery};

/// How long it is waited for activity that is not folded yet; after an import there may be much.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn metrics(
    console: &Console,
    tenancy_id: Uuid,
    include_anonymous: bool,
) -> Result<Metrics, Problem> {
    users::require_tenancy(console, tenancy_id).await?;
    let caught = console.activity.catch_up(PATIENCE).await?;
    let client = console.internal.get().await?;
    let now: OffsetDateTime = client.query_typed_one("select now()", &[]).await?.get(0);
    let today = now.to_offset(time::UtcOffset::UTC).date();
    let anonymous = if include_anonymous { Anonymous::Included } else { Anonymous::Left };
    let query = UsersQuery { anonymous, ..UsersQuery::of(tenancy_id) };
    let asked = sql::Asked {
        tenancy_id,
        include_anonymous,
        first_day: today - time::Duration::days(DAYS - 1),
        today,
    };
    let (sign_ups, active, countries, methods, recently_registered, recently_active) = tokio::try_join!(
        sql::sign_ups(&client, &asked),
        sql::active_users(&client, &asked),
        sql::countries(&client, &asked),
        sql::methods(&client, &asked),
        users::latest(&client, &query, OrderBy::SignedUpAt),
        users::latest(&client, &query, OrderBy::LastActiveAt),
    )?;
    Ok(Metrics {
        total_users: sign_ups.total,
        daily_sign_ups: each_day(&sign_ups.by_day, today),
        daily_active_users: each_day(&active, today),
        users_by_country: countries.by_country,
        users_without_country: countries.unknown,
        recently_registered,
        recently_active,
        sign_in_methods: methods,
        activity_complete: caught == Caught::Up,
        computed_at: At(now),
    })
}

/// One entry a day, up to today; days without users are there, too.
fn each_day(counts: &HashMap<Date, i64>, today: Date) -> Vec<DayCount> {
    let form = format_description!("[year]-[month]-[day]");
    (0..DAYS)
        .rev()
        .map(|ago| today - time::Duration::days(ago))
        .map(|day| DayCount {
            day: day.format(form).unwrap_or_default(),
            users: counts.get(&day).copied().unwrap_or_default(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::date;

    #[test]
    fn gaps_are_zeros_and_today_comes_last() {
        let counts = HashMap::from([(date!(2026 - 03 - 01), 5), (date!(2026 - 03 - 03), 7)]);
        let days = each_day(&counts, date!(2026 - 03 - 03));
        assert_eq!(days.len(), 31);
        assert_eq!((days[0].day.as_str(), days[0].users), ("2026-02-01", 0));
        let last: Vec<i64> = days[28..].iter().map(|day| day.users).collect();
        assert_eq!((last, days[30].day.as_str()), (vec![5, 0, 7], "2026-03-03"));
    }
}
