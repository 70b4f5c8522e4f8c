//! Where a page ended: the place of its last row in the order, and not the row, which may be gone when the next is asked for.

use std::error::Error;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{BufMut as _, BytesMut};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};
use uuid::Uuid;

use super::query::OrderBy;
use crate::http::{At, Problem};

/// Longest cursor that is looked at.
const LENGTH_MAX: usize = 200;
/// The form of cursors. `1` had its instant as text, which the server took a fifth of a page's time to write.
const VERSION: &str = "2";

/// An instant as the server keeps and compares it, infinities included: microseconds since the beginning of 2000 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Instant(pub(super) i64);

impl Instant {
    const EPOCH: OffsetDateTime = datetime!(2000-01-01 0:00 UTC);
    const FIRST: OffsetDateTime = datetime!(0001-01-01 0:00 UTC);
    const LAST: OffsetDateTime = datetime!(9999-12-31 23:59:59 UTC);

    /// What has no date in four digits is shown as the first or last that has.
    pub(super) fn shown(self) -> At {
        let end = if self.0 < 0 { Self::FIRST } else { Self::LAST };
        At(Self::EPOCH
            .checked_add(Duration::microseconds(self.0))
            .unwrap_or(end)
            .clamp(Self::FIRST, Self::LAST))
    }
}

impl FromSql<'_> for Instant {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(i64::from_be_bytes(raw.try_into()?)))
    }

    accepts!(TIMESTAMPTZ);
}

impl ToSql for Instant {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_i64(self.0);
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) at: Instant,
    pub(super) id: Uuid,
}

impl Cursor {
    pub(super) fn text(&self, order_by: OrderBy, desc: bool) -> String {
        let (order, way, Instant(at)) = (order_by.name(), direction(desc), self.at);
        URL_SAFE_NO_PAD.encode(format!("{VERSION}|{order}|{way}|{}|{at}", self.id))
    }

    pub(super) fn parse(text: &str, order_by: OrderBy, desc: bool) -> Result<Self, Problem> {
        let unknown = || {
            Problem::invalid(
                "cursor",
                "is not a `nextCursor` of this list in this version; begin again without it",
            )
        };
        if text.len() > LENGTH_MAX {
            return Err(unknown());
        }
        let decoded = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let decoded = decoded.ok_or_else(unknown)?;
        let parts: Vec<&str> = decoded.split('|').collect();
        let [VERSION, order, way, id, at] = parts[..] else { return Err(unknown()) };
        if order != order_by.name() || way != direction(desc) {
            return Err(Problem::invalid(
                "cursor",
                "belongs to a list in another order; begin again without it",
            ));
        }
        let at = Instant(at.parse().map_err(|_| unknown())?);
        Ok(Self { at, id: id.parse().map_err(|_| unknown())? })
    }
}

fn direction(desc: bool) -> &'static str {
    if desc { "desc" } else { "asc" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        for at in [0, -1, 823_219_199_123_456, i64::MAX, i64::MIN] {
            let cursor = Cursor { at: Instant(at), id: Uuid::new_v4() };
            let text = cursor.text(OrderBy::LastActiveAt, true);
            assert_eq!(Cursor::parse(&text, OrderBy::LastActiveAt, true).ok(), Some(cursor));
        }
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        let id = Uuid::new_v4();
        let encode = |text: String| URL_SAFE_NO_PAD.encode(text);
        let good = Cursor { at: Instant(7), id };
        let bad = [
            "x".to_owned(),
            "äöü".to_owned(),
            encode(String::new()),
            encode(format!("1|signed_up_at|asc|{id}|infinity")),
            encode("2|signed_up_at|asc|x|7".into()),
            encode(format!("2|signed_up_at|asc|{id}|yesterday")),
            encode(format!("2|signed_up_at|asc|{id}|9223372036854775808")),
            encode(format!("2|signed_up_at|asc|{id}|7|7")),
            good.text(OrderBy::SignedUpAt, true),
            good.text(OrderBy::LastActiveAt, false),
            "a".repeat(LENGTH_MAX + 1),
        ];
        for text in bad {
            let refused = Cursor::parse(&text, OrderBy::SignedUpAt, false).expect_err(&text);
            assert_eq!(refused.field(), Some("cursor"));
        }
    }

    #[test]
    fn instants_are_shown_within_four_digits_of_a_year() {
        let shown = |micros| Instant(micros).shown().to_string();
        assert_eq!(shown(0), "2000-01-01T00:00:00Z");
        assert_eq!(shown(823_219_199_123_456), "2026-01-31T23:59:59.123456Z");
        // A microsecond before the year 1 and after the year 9999, and the ends of all time.
        assert_eq!(shown(-63_082_281_600_000_001), "0001-01-01T00:00:00Z");
        assert_eq!(shown(252_455_616_000_000_001), "9999-12-31T23:59:59Z");
        assert_eq!(
            (shown(i64::MIN), shown(i64::MAX)),
            ("0001-01-01T00:00:00Z".into(), "9999-12-31T23:59:59Z".into())
        );
    }
}
