//! The one statement of the list. It is put together from constant pieces; every value is a parameter.
//!
//! ```text
//! keys: one arm for known and one for anonymous users, each a range of an index, merged and cut ─▶ what belongs to them
//! ```
//!
//! A search first walks that same order for a while, which finds the frequent; only if that does not fill the page it
//! asks the search indexes, which find the rare. So neither kind reads more than a fraction of the tenant's users.

use deadpool_postgres::Object;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use super::cursor::Cursor;
use super::query::{Anonymous, OrderBy, UsersQuery};
use super::search::Term;

/// Channels and methods of one user that are shown.
pub(super) const PARTS_MAX: usize = 20;
/// Users that a search walks before it asks the search indexes, for each one that is wanted.
const WALK_FACTOR: i64 = 10;
const WALK_MIN: i64 = 1_000;

pub(super) async fn is_tenancy(client: &Object, tenancy_id: Uuid) -> Result<bool, Error> {
    let text = r#"select exists (select from "Tenancy" where "id" = $1)"#;
    Ok(client.query_typed_one(text, &[(&tenancy_id, Type::UUID)]).await?.get(0))
}

/// One row more than `query.limit`, if there is one.
pub(super) async fn page(
    client: &Object,
    query: &UsersQuery,
    after: Option<&Cursor>,
    term: Option<&Term>,
) -> Result<Vec<Row>, Error> {
    run(client, "", query, after, term).await
}

/// What the server says about a page instead of giving it: its plan, executed, as JSON.
pub(super) async fn plan(
    client: &Object,
    query: &UsersQuery,
    after: Option<&Cursor>,
    term: Option<&Term>,
) -> Result<serde_json::Value, Error> {
    let rows =
        run(client, "explain (analyze, timing off, buffers, format json) ", query, after, term).await?;
    Ok(rows.first().map(|row| row.get(0)).unwrap_or_default())
}

async fn run(
    client: &Object,
    before: &str,
    query: &UsersQuery,
    after: Option<&Cursor>,
    term: Option<&Term>,
) -> Result<Vec<Row>, Error> {
    let text = format!("{before}{}", statement(query, after.is_some(), term));
    let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = vec![(&query.tenancy_id, Type::UUID)];
    if let Some(after) = after {
        parameters.push((&after.at, Type::TEXT));
        parameters.push((&after.id, Type::UUID));
    }
    if let Some(term) = term {
        parameters.push((&term.pattern, Type::TEXT));
    }
    client.query_typed(&text, &parameters).await
}

/// `$1` is the tenancy, `$2` and `$3` are the place after which the page begins, the last one is the pattern.
fn statement(query: &UsersQuery, continues: bool, term: Option<&Term>) -> String {
    let order = Order { by: query.order_by, desc: query.desc, continues, named: term.is_some() };
    let wanted = query.limit + 1;
    let keys = match term {
        None => format!("keys as materialized ({})", arms(&order, query.anonymous, wanted)),
        Some(term) => searched(&order, query.anonymous, term, wanted, if continues { "$4" } else { "$2" }),
    };
    let way = order.way();
    let (activity, last_active) = match query.order_by {
        OrderBy::SignedUpAt => (ACTIVITY, LAST_ACTIVE),
        // It is the place in the order.
        OrderBy::LastActiveAt => ("", "k.at"),
    };
    format!(
        r#"with {keys}
select k.id, u."displayName", u."profileImageUrl", u."isAnonymous", c.list as channels, m.list as methods,
    {signed_up} as signed_up_at, {last_active} as last_active_at,
    case when isfinite(k.at) then to_char(k.at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US"+00"') else k.at::text end as cursor_at
from keys k
join "ProjectUser" u on u."tenancyId" = $1 and u."projectUserId" = k.id
{activity}
cross join lateral (
    select coalesce(json_agg(json_build_object('id', c."id", 'type', c."type", 'value', c."value", 'isPrimary', c."isPrimary",
        'isVerified', c."isVerified", 'usedForAuth', c."usedForAuth")), '[]') as list
    from (select c.* from "ContactChannel" c where c."tenancyId" = $1 and c."projectUserId" = k.id
          order by c."isPrimary" desc, c."createdAt", c."id" limit {parts}) c) c
cross join lateral (
    select coalesce(json_agg(json_build_object('type', m."type", 'provider', m."provider")), '[]') as list
    from (select m.* from "AuthMethod" m where m."tenancyId" = $1 and m."projectUserId" = k.id limit {parts}) m) m
order by k.at {way}, k.id {way}"#,
        signed_up = shown(SIGNED_UP),
        last_active = shown(last_active),
        parts = PARTS_MAX + 1,
    )
}

const SIGNED_UP: &str = r#"coalesce(u."signedUpAt", u."createdAt")"#;
const LAST_ACTIVE: &str =
    r#"coalesce(greatest(u."lastActiveAt", a."eventAt"), u."signedUpAt", u."createdAt")"#;

const ACTIVITY: &str = r#"left join "UserActivity" a on a."tenancyId" = $1 and a."projectUserId" = k.id"#;

/// Instants that have no date in four digits are shown as the first or last that has.
fn shown(instant: &str) -> String {
    format!("least(greatest({instant}, '0001-01-01 00:00:00+00'), '9999-12-31 23:59:59+00')")
}

struct Order {
    by: OrderBy,
    desc: bool,
    continues: bool,
    /// Names are needed, too, which no index has.
    named: bool,
}

impl Order {
    fn way(&self) -> &'static str {
        if self.desc { "desc" } else { "asc" }
    }

    /// The instant and the id of a row of `source`.
    fn columns(&self) -> (&'static str, &'static str) {
        match self.by {
            OrderBy::SignedUpAt => (SIGNED_UP, r#"u."projectUserId""#),
            OrderBy::LastActiveAt => (r#"a."lastActiveAt""#, r#"a."projectUserId""#),
        }
    }

    /// Where rows come from in this order. A row of "UserActivity" may outlive its user for a while.
    fn source(&self) -> &'static str {
        match self.by {
            OrderBy::SignedUpAt => r#""ProjectUser" u where u."tenancyId" = $1"#,
            OrderBy::LastActiveAt => {
                r#""UserActivity" a cross join lateral (
        select u."displayName" from "ProjectUser" u where u."tenancyId" = $1 and u."projectUserId" = a."projectUserId" limit 1) u
    where a."tenancyId" = $1 and a."lastActiveAt" is not null"#
            }
        }
    }

    fn anonymous(&self) -> &'static str {
        match self.by {
            OrderBy::SignedUpAt => r#"u."isAnonymous""#,
            OrderBy::LastActiveAt => r#"a."isAnonymous""#,
        }
    }

    /// Behind the place where the page before ended.
    fn range(&self) -> String {
        let (at, id) = self.columns();
        let side = if self.desc { "<" } else { ">" };
        if self.continues {
            format!(" and ({at}, {id}) {side} ($2::timestamptz, $3::uuid)")
        } else {
            String::new()
        }
    }
}

/// The first `limit` rows in the order, from one range of the index for each kind of user.
fn arms(order: &Order, anonymous: Anonymous, limit: i64) -> String {
    let kinds: &[bool] = match anonymous {
        Anonymous::Left => &[false],
        Anonymous::Included => &[false, true],
        Anonymous::Only => &[true],
    };
    let (at, id) = order.columns();
    let (source, kind, range, way) = (order.source(), order.anonymous(), order.range(), order.way());
    let name = if order.named { r#", u."displayName" as name"# } else { "" };
    let arm = |is: &bool| {
        format!(
            r#"
    (select {id} as id, {at} as at{name} from {source} and {kind} = {is}{range}
    order by {at} {way}, {id} {way} limit {limit})"#
        )
    };
    let arms = kinds.iter().map(arm).collect::<Vec<_>>().join("\n    union all");
    format!("select x.* from ({arms}) x order by x.at {way}, x.id {way} limit {limit}")
}

fn searched(order: &Order, anonymous: Anonymous, term: &Term, wanted: i64, pattern: &str) -> String {
    let walk_max = (wanted * WALK_FACTOR).max(WALK_MIN);
    let walk = arms(order, anonymous, walk_max);
    let (at, id) = order.columns();
    let (source, range, way) = (order.source(), order.range(), order.way());
    let only = match anonymous {
        Anonymous::Left => format!(" and not {}", order.anonymous()),
        Anonymous::Only => format!(" and {}", order.anonymous()),
        Anonymous::Included => String::new(),
    };
    let name = term.test(r#"u."displayName""#, pattern);
    let name_walked = term.test("w.name", pattern);
    let address = term.test(r#"c."value""#, pattern);
    format!(
        r#"walked as materialized ({walk}),
found as materialized (
    select w.id, w.at from walked w
    where {name_walked} or coalesce((
        select true from "ContactChannel" c where c."tenancyId" = $1 and c."projectUserId" = w.id and {address} limit 1), false)
    limit {wanted}),
enough as materialized (
    select (select count(*) from found) >= {wanted} or (select count(*) from walked) < {walk_max} as is_enough),
matching as materialized (
    select u."projectUserId" as id from "ProjectUser" u where u."tenancyId" = $1 and {name} and not (select is_enough from enough)
    union
    select c."projectUserId" from "ContactChannel" c where c."tenancyId" = $1 and {address} and not (select is_enough from enough)),
keys as materialized (
    (select f.id, f.at from found f where (select is_enough from enough))
    union all
    (select {id}, {at} from {source}{only}{range}
        and not (select is_enough from enough) and {id} = any (array(select x.id from matching x))
     order by {at} {way}, {id} {way} limit {wanted}))"#
    )
}
