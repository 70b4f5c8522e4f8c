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
        parameters.extend(term.parameters().map(|text| (text as _, Type::TEXT)));
    }
    client.query_typed(&text, &parameters).await
}

/// `$1` is the tenancy, `$2` and `$3` are the place after which the page begins, the others are what is searched for.
fn statement(query: &UsersQuery, continues: bool, term: Option<&Term>) -> String {
    let order = Order { by: query.order_by, desc: query.desc, continues };
    let wanted = query.limit + 1;
    let keys = match term {
        None => format!("keys as materialized ({})", arms(&order, query.anonymous, "", LIVE, wanted)),
        Some(term) => searched(&order, query.anonymous, term, wanted, if continues { 4 } else { 2 }),
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
}

impl Order {
    fn way(&self) -> &'static str {
        if self.desc { "desc" } else { "asc" }
    }

    /// The instant that a row of "UserActivity" is ordered by; null: its user is gone, or not there yet.
    fn at(&self) -> &'static str {
        match self.by {
            OrderBy::SignedUpAt => r#"a."signedUpAt""#,
            OrderBy::LastActiveAt => r#"a."lastActiveAt""#,
        }
    }

    /// The tenant's users behind the place where the page before ended.
    fn condition(&self) -> String {
        let (at, side) = (self.at(), if self.desc { "<" } else { ">" });
        let range = if self.continues {
            format!(r#" and ({at}, a."projectUserId") {side} ($2::timestamptz, $3::uuid)"#)
        } else {
            String::new()
        };
        format!(r#"a."tenancyId" = $1 and {at} is not null{range}"#)
    }
}

/// A row of "UserActivity" may outlive its user for a moment.
const LIVE: &str = r#"cross join lateral (
        select true as is_live from "ProjectUser" u where u."tenancyId" = $1 and u."projectUserId" = a."projectUserId" limit 1) u"#;
const NAMED: &str = r#"cross join lateral (
        select s."text" from "UserSearch" s where s."tenancyId" = $1 and s."projectUserId" = a."projectUserId" limit 1) s"#;

/// The first `limit` rows in the order, from one range of the index for each kind of user.
fn arms(order: &Order, anonymous: Anonymous, columns: &str, beside: &str, limit: i64) -> String {
    let kinds: &[bool] = match anonymous {
        Anonymous::Left => &[false],
        Anonymous::Included => &[false, true],
        Anonymous::Only => &[true],
    };
    let (at, condition, way) = (order.at(), order.condition(), order.way());
    let arm = |is: &bool| {
        format!(
            r#"
    (select a."projectUserId" as id, {at} as at{columns} from "UserActivity" a {beside}
    where {condition} and a."isAnonymous" = {is}
    order by {at} {way}, a."projectUserId" {way} limit {limit})"#
        )
    };
    let arms = kinds.iter().map(arm).collect::<Vec<_>>().join("\n    union all");
    format!("select x.* from ({arms}) x order by x.at {way}, x.id {way} limit {limit}")
}

/// Candidates come from "UserSearch"; whether a user really matches is what their own rows say.
fn searched(order: &Order, anonymous: Anonymous, term: &Term, wanted: i64, first: usize) -> String {
    let walk_max = (wanted * WALK_FACTOR).max(WALK_MIN);
    let walk = arms(order, anonymous, r#", s."text""#, NAMED, walk_max);
    let (at, condition, way) = (order.at(), order.condition(), order.way());
    let only = match anonymous {
        Anonymous::Left => r#" and not a."isAnonymous""#,
        Anonymous::Only => r#" and a."isAnonymous""#,
        Anonymous::Included => "",
    };
    let (walked, indexed) = (term.matches("w.text", first), term.found_by_index("s", first));
    let is_so = |id: &str| {
        format!(
            r#"exists (select from "ProjectUser" u where u."tenancyId" = $1 and u."projectUserId" = {id} and ({name} or exists (
        select from "ContactChannel" c where c."tenancyId" = $1 and c."projectUserId" = {id} and {address} offset 0)) offset 0)"#,
            name = term.test(r#"u."displayName""#, first),
            address = term.test(r#"c."value""#, first),
        )
    };
    let (is_walked, is_matching) = (is_so("w.id"), is_so("m.id"));
    format!(
        r#"walked as materialized ({walk}),
found as materialized (
    select w.id, w.at from (select w.* from walked w where {walked} offset 0) w where {is_walked} limit {wanted}),
enough as materialized (
    select (select count(*) from found) >= {wanted} or (select count(*) from walked) < {walk_max} as is_enough),
matching as materialized (
    select s."projectUserId" as id from "UserSearch" s
    where s."tenancyId" = $1 and {indexed} and not (select is_enough from enough)),
placed as materialized (
    select m.id, {at} as at from matching m
    join "UserActivity" a on a."tenancyId" = $1 and a."projectUserId" = m.id
    where {condition}{only} order by {at} {way}, m.id {way}),
keys as materialized (
    (select f.id, f.at from found f where (select is_enough from enough))
    union all
    (select m.id, m.at from placed m where {is_matching} limit {wanted}))"#
    )
}
