//! What a target refuses, read back for the copy that operators look at. A stranger can write there: what is not of our
//! making is left out, or said again in our words.

use tenant_sync_core::mapping::names::quote_ident;
use tenant_sync_core::registry::quarantine::{RefusedOf, RefusedRow};
use tenant_sync_core::target::class::class_of_sqlstate;
use time::OffsetDateTime;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::careful::TOO_LARGE;
use crate::error::TurnError;
use crate::plan::Plan;

/// No key that fits into the index of `_sync_refused` is longer.
const KEY_BYTES_MAX: usize = 16_384;
/// A reason of ours is shorter.
const REASON_CHARS_MAX: i32 = 1_200;

/// What the target refuses of a mapping, at most `max` rows; `None` = it is as a copy with the digest `copied` has it.
pub(crate) async fn unlike(
    client: &Client,
    schema: &str,
    plan: &Plan,
    copied: Option<&String>,
    max: usize,
) -> Result<Option<RefusedOf>, TurnError> {
    // A sum, because it takes no memory however many rows a stranger puts there.
    let sql = format!(
        "with own as (select * from {}._sync_refused where mapping_name = $1),
         now as (select pg_catalog.sum(pg_catalog.hashtextextended(pg_catalog.concat_ws(' ', key, sqlstate, reason, refused_at,
                   attempts, retry_at), 0)::numeric)::text as digest from own)
         select n.digest, o.* from now n left join (
           select pg_catalog.left(key::text, {}), pg_catalog.left(sqlstate, 6), pg_catalog.left(reason, {REASON_CHARS_MAX}),
                  extract(epoch from refused_at)::float8, attempts, extract(epoch from retry_at)::float8
           from own order by refused_at, key limit $3) o on n.digest is distinct from $2",
        quote_ident(schema),
        KEY_BYTES_MAX + 1,
    );
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let rows = client
        .query_typed(&sql, &[(&plan.name(), Type::TEXT), (&copied, Type::TEXT), (&max, Type::INT8)])
        .await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let digest: Option<String> = first.try_get(0)?;
    if digest.as_ref() == copied {
        return Ok(None);
    }
    let mut refused = Vec::with_capacity(rows.len());
    for row in &rows {
        refused.extend(read(plan, row)?);
    }
    Ok(Some(RefusedOf { mapping: plan.name().to_owned(), digest, rows: refused }))
}

/// `None` = no row, or none of our making.
fn read(plan: &Plan, row: &Row) -> Result<Option<RefusedRow>, TurnError> {
    let Some(key) = row.try_get::<_, Option<&str>>(1)? else { return Ok(None) };
    if !is_key(plan, key) {
        return Ok(None);
    }
    let sqlstate: &str = row.try_get(2)?;
    let is_plain = sqlstate.len() == 5 && sqlstate.bytes().all(|b| b.is_ascii_alphanumeric());
    let sqlstate = if is_plain { sqlstate } else { "" };
    Ok(Some(RefusedRow {
        mapping: plan.name().to_owned(),
        key: key.to_owned(),
        sqlstate: sqlstate.to_owned(),
        reason: in_our_words(sqlstate, row.try_get(3)?),
        refused_at: instant(row.try_get(4)?),
        attempts: row.try_get::<_, i32>(5)?.max(1),
        retry_at: instant(row.try_get(6)?),
    }))
}

/// Whether it is an object of the target's key columns and nothing else.
fn is_key(plan: &Plan, text: &str) -> bool {
    let Ok(serde_json::Value::Object(key)) = serde_json::from_str(text) else { return false };
    let columns = &plan.mapping.target.key;
    text.len() <= KEY_BYTES_MAX
        && key.len() == columns.len()
        && columns.iter().all(|name| key.get(name).is_some_and(serde_json::Value::is_string))
}

/// The reason as it was written, if it begins as ours do.
fn in_our_words(sqlstate: &str, reason: &str) -> String {
    let sentence = class_of_sqlstate(sqlstate).sentence();
    if reason.starts_with(sentence) || reason.starts_with(TOO_LARGE) {
        return reason.chars().filter(|c| !c.is_control()).collect();
    }
    if sqlstate.is_empty() { sentence.to_owned() } else { format!("{sentence} (SQLSTATE {sqlstate})") }
}

/// Instants that nobody can mean are the first that there is.
fn instant(epoch: f64) -> OffsetDateTime {
    #[expect(clippy::cast_possible_truncation, reason = "checked before")]
    let micros = if (0.0..1e11).contains(&epoch) { (epoch * 1e6) as i128 } else { 0 };
    OffsetDateTime::from_unix_timestamp_nanos(micros * 1000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_is_not_repeated() {
        let ours = "The database refuses a row. (SQLSTATE 23514, table users, constraint short_names)";
        assert_eq!(in_our_words("23514", ours), ours);
        assert_eq!(in_our_words("23514", "call +1 900"), "The database refuses a row. (SQLSTATE 23514)");
        assert_eq!(
            in_our_words("54000", &format!("{TOO_LARGE} (9 bytes)")),
            format!("{TOO_LARGE} (9 bytes)")
        );
    }

    #[test]
    fn instants_that_nobody_can_mean_are_no_error() {
        assert_eq!(instant(1_764_000_000.5).unix_timestamp(), 1_764_000_000);
        for bad in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -1.0, 1e12] {
            assert_eq!(instant(bad), OffsetDateTime::UNIX_EPOCH);
        }
    }
}
