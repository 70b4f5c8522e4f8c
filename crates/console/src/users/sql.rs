//! The one statement of the list. It is put together from constant pieces; every value is a parameter.
//!
//! ```text
//! page: one arm for known and one for anonymous users, each a range of an index, merged and cut ─▶ what belongs to them,
//! each as a row
//! ```
//!
//! A search first walks that same order for a while, which finds the frequent; only if that does not fill the page it
//! asks the search indexes, which find the rare. What is frequent, only not around here, is walked to in steps: such a page
//! may be short, and ends with the place up to which it has come. So none reads more than some thousands of users.

use deadpool_postgres::Object;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use super::cursor::Cursor;
use super::query::{Anonymous, OrderBy, UsersQuery};
use super::search::Term;

/// Channels and methods of one user that are shown.
pub(super) const PARTS_MAX: usize = 20;
/// Channels of one user that are read. Of whom has more, the primary ones are read besides.
const CHANNELS_READ_MAX: usize = 101;
/// What a row is about.
pub(super) const USER_ROW: char = 'u';
pub(super) const CHANNEL_ROW: char = 'c';
const METHOD_ROW: char = 'm';
/// Users that a search walks before it asks the search indexes, for each one that is wanted.
const WALK_FACTOR: i64 = 10;
const WALK_MIN: i64 = 1_000;
/// Users whom a search index may name; where there are more, the order is walked instead.
const NAMED_MAX: i64 = 10_000;
/// Users that such a walk passes for one page.
const WALK_MAX: i64 = 10_000;
/// A search is planned by indexes, whatever the statistics of the moment say, and not compiled: that would take longer.
const SEARCHING: &str = "begin read only; set local jit = off; set local enable_seqscan = off";

pub(super) async fn is_tenancy(client: &Object, tenancy_id: Uuid) -> Result<bool, Error> {
    let text = r#"select exists (select from "Tenancy" where "id" = $1)"#;
    Ok(client.query_typed_one(text, &[(&tenancy_id, Type::UUID)]).await?.get(0))
}

/// Pages of these lengths are prepared, so that they are planned once a session: planning takes a quarter of a page's time.
/// Others, and searches, are too many kinds to keep a plan of each.
const PREPARED_LIMITS: [i64; 6] = [10, 50, 100, 200, 500, 1_000];

/// The rows of a page, with one user more than `query.limit` if there is one.
pub(super) async fn page(
    client: &Object,
    query: &UsersQuery,
    after: Option<&Cursor>,
    term: Option<&Term>,
) -> Result<Vec<Row>, Error> {
    let (text, parameters) = (statement(query, after.is_some(), term), parameters(query, after, term));
    if term.is_some() {
        return searching(client, client.query_typed(&text, &parameters)).await;
    }
    if !PREPARED_LIMITS.contains(&query.limit) {
        return client.query_typed(&text, &parameters).await;
    }
    let (values, types): (Vec<_>, Vec<Type>) = parameters.into_iter().unzip();
    let statement = client.prepare_typed_cached(&text, &types).await?;
    client.query(&statement, &values).await
}

/// What the server says about a page instead of giving it: its plan, executed, as JSON; with the blocks that were touched,
/// which takes time to count.
pub(super) async fn plan(
    client: &Object,
    with_blocks: bool,
    query: &UsersQuery,
    after: Option<&Cursor>,
    term: Option<&Term>,
) -> Result<serde_json::Value, Error> {
    let text = statement(query, after.is_some(), term);
    let text = format!("explain (analyze, timing off, buffers {with_blocks}, format json) {text}");
    let parameters = parameters(query, after, term);
    let rows = match term {
        Some(_) => searching(client, client.query_typed(&text, &parameters)).await?,
        None => client.query_typed(&text, &parameters).await?,
    };
    Ok(rows.first().map(|row| row.get(0)).unwrap_or_default())
}

/// In one go: nothing waits for an answer in between.
async fn searching(
    client: &Object,
    search: impl Future<Output = Result<Vec<Row>, Error>>,
) -> Result<Vec<Row>, Error> {
    let (begun, rows, ended) =
        tokio::join!(client.batch_execute(SEARCHING), search, client.batch_execute("commit"));
    begun?;
    let rows = rows?;
    ended?;
    Ok(rows)
}

type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

fn parameters<'a>(
    query: &'a UsersQuery,
    after: Option<&'a Cursor>,
    term: Option<&'a Term>,
) -> Vec<Parameter<'a>> {
    let mut parameters: Vec<Parameter<'a>> = vec![(&query.tenancy_id, Type::UUID)];
    if let Some(after) = after {
        parameters.push((&after.at, Type::TIMESTAMPTZ));
        parameters.push((&after.id, Type::UUID));
    }
    if let Some(term) = term {
        parameters.extend(term.parameters().map(|text| (text as _, Type::TEXT)));
    }
    parameters
}

/// `$1` is the tenancy, `$2` and `$3` are the place after which the page begins, the others are what is searched for.
///
/// Each look-up of a user in another table costs about as much as the next, so a page does two for each, the user and its
/// channels, and a third where methods are not folded yet. They come as rows of their own, in any order ([`super::rows`] puts them together): sorting and
/// collecting them in the server, user by user, is a third of what a page takes.
fn statement(query: &UsersQuery, continues: bool, term: Option<&Term>) -> String {
    let order = Order { by: query.order_by, desc: query.desc, continues };
    let wanted = query.limit + 1;
    let card = order.card();
    let page = match term {
        None => {
            let columns = format!(", {card}, false as is_end");
            format!("page as materialized ({})", arms(&order, query.anonymous, (&columns, USER, ""), wanted))
        }
        Some(term) => format!(
            r#"{}, page as materialized (
    select k.id, k.at, {card}, k.is_end from keys k
    cross join lateral (
        select * from "UserActivity" a where a."tenancyId" = $1 and a."projectUserId" = k.id offset 0) a
    left {user} on true where k.is_end or u."isAnonymous" is not null)"#,
            searched(&order, query.anonymous, term, wanted, if continues { 4 } else { 2 }),
            user = USER.trim_start_matches("cross "),
        ),
    };
    format!(
        r#"with {page}, channels as materialized (
    select p.id as user_id, c.* from page p
    cross join lateral (
        select {CHANNEL} from "ContactChannel" c where c."tenancyId" = $1 and c."projectUserId" = p.id
        limit {CHANNELS_READ_MAX}) c)
select '{USER_ROW}'::"char" as kind, p.id as user_id, p.is_end, p.at,
    p.signed_up as signed_up_at, p.active as last_active_at, null::uuid as id, p."displayName" as text,
    p."profileImageUrl" as detail, p."isAnonymous" as flag, null::bool as is_verified, null::bool as used_for_auth, p.methods
from page p
union all
select '{CHANNEL_ROW}', c.user_id, false, c."createdAt", null, null, c."id", c."value", c."type", c."isPrimary",
    c."isVerified", c."usedForAuth", null
from channels c
union all
select '{CHANNEL_ROW}', m.user_id, false, c."createdAt", null, null, c."id", c."value", c."type", c."isPrimary",
    c."isVerified", c."usedForAuth", null
from (select user_id from channels group by user_id having count(*) >= {CHANNELS_READ_MAX}) m
cross join lateral (
    select {CHANNEL} from "ContactChannel" c
    where c."tenancyId" = $1 and c."projectUserId" = m.user_id and c."isPrimary" limit {parts}) c
union all
select '{METHOD_ROW}', p.id, false, null, null, null, null, m."provider", m."type", null, null, null, null
from page p
cross join lateral (
    select m."type", m."provider" from "AuthMethod" m where m."tenancyId" = $1 and m."projectUserId" = p.id
    limit {parts}) m
where p.methods is null"#,
        parts = PARTS_MAX + 1,
    )
}

/// What is shown of a channel, and what it is sorted by.
const CHANNEL: &str =
    r#"c."id", c."type", c."value", c."isPrimary", c."isVerified", c."usedForAuth", c."createdAt""#;

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

    /// What is shown of the user `u`, whose activity is `a`.
    fn card(&self) -> String {
        let active = match self.by {
            OrderBy::SignedUpAt => {
                r#"coalesce(greatest(u."lastActiveAt", a."eventAt"), u."signedUpAt", u."createdAt")"#
            }
            // It is the place in the order.
            OrderBy::LastActiveAt => self.at(),
        };
        format!(
            r#"u."displayName", u."profileImageUrl", u."isAnonymous", coalesce(u."signedUpAt", u."createdAt") as signed_up, {active} as active, a."signInMethods" as methods"#
        )
    }

    /// The tenant's users behind the place where the page before ended.
    fn condition(&self) -> String {
        let (at, side) = (self.at(), if self.desc { "<" } else { ">" });
        let range = if self.continues {
            format!(r#" and ({at}, a."projectUserId") {side} ($2, $3)"#)
        } else {
            String::new()
        };
        format!(r#"a."tenancyId" = $1 and {at} is not null{range}"#)
    }
}

/// A row of "UserActivity" may outlive its user for a moment.
const USER: &str = r#"cross join lateral (
        select u."displayName", u."profileImageUrl", u."isAnonymous", u."signedUpAt", u."createdAt", u."lastActiveAt"
        from "ProjectUser" u where u."tenancyId" = $1 and u."projectUserId" = a."projectUserId" limit 1) u"#;
const NAMED: &str = r#"cross join lateral (
        select s."text" from "UserSearch" s where s."tenancyId" = $1 and s."projectUserId" = a."projectUserId" limit 1) s"#;

/// The first `limit` rows in the order, from one range of the index for each kind of user: more columns of them, what is
/// joined for that, and a condition.
fn arms(
    order: &Order,
    anonymous: Anonymous,
    (columns, beside, only): (&str, &str, &str),
    limit: i64,
) -> String {
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
    where {condition} and a."isAnonymous" = {is}{only}
    order by {at} {way}, a."projectUserId" {way} limit {limit})"#
        )
    };
    let arms = kinds.iter().map(arm).collect::<Vec<_>>().join("\n    union all");
    format!("select x.* from ({arms}) x order by x.at {way}, x.id {way} limit {limit}")
}

/// Candidates come from "UserSearch"; whether a user really matches is what their own rows say.
fn searched(order: &Order, anonymous: Anonymous, term: &Term, wanted: i64, first: usize) -> String {
    let walk_max = (wanted * WALK_FACTOR).max(WALK_MIN);
    let text = r#", s."text""#;
    let walk = arms(order, anonymous, (text, NAMED, ""), walk_max);
    let far = arms(order, anonymous, (text, NAMED, " and (select is_many from many)"), WALK_MAX);
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
    let found = |walk: &str| {
        format!(
            "
    select w.id, w.at from (select w.* from {walk} w where {walked} offset 0) w where {is_walked} limit {wanted}"
        )
    };
    format!(
        r#"walked as materialized ({walk}),
found as materialized ({found}),
enough as materialized (
    select (select count(*) from found) >= {wanted} or (select count(*) from walked) < {walk_max} as is_enough),
matching as materialized (
    select s."projectUserId" as id from "UserSearch" s
    where s."tenancyId" = $1 and {indexed} and not (select is_enough from enough) limit {named_max}),
many as materialized (select count(*) >= {named_max} as is_many from matching),
placed as materialized (
    select m.id, {at} as at from matching m
    cross join lateral (
        select * from "UserActivity" a where a."tenancyId" = $1 and a."projectUserId" = m.id offset 0) a
    where not (select is_many from many) and {condition}{only} order by {at} {way}, m.id {way}),
far as materialized ({far}),
far_found as materialized ({far_found}),
keys as materialized (
    (select f.id, f.at, false as is_end from found f where (select is_enough from enough))
    union all
    (select m.id, m.at, false from placed m where {is_matching} limit {wanted})
    union all
    (select f.id, f.at, false from far_found f)
    union all
    (select f.id, f.at, true from far f
     where (select count(*) from far_found) < {wanted} and (select count(*) from far) >= {WALK_MAX}
     order by f.at {back}, f.id {back} limit 1))"#,
        found = found("walked"),
        far_found = found("far"),
        named_max = NAMED_MAX + 1,
        back = if order.desc { "asc" } else { "desc" },
    )
}
