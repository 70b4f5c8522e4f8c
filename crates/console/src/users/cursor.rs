//! Where a page ended: the place of its last row in the order, and not the row, which may be gone when the next is asked for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::query::OrderBy;
use crate::http::Problem;

/// Longest cursor that is looked at.
const LENGTH_MAX: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    /// An instant as PostgreSQL reads it, to the microsecond.
    pub(super) at: String,
    pub(super) id: Uuid,
}

impl Cursor {
    pub(super) fn text(&self, order_by: OrderBy, desc: bool) -> String {
        URL_SAFE_NO_PAD.encode(format!("1|{}|{}|{}|{}", order_by.name(), direction(desc), self.id, self.at))
    }

    pub(super) fn parse(text: &str, order_by: OrderBy, desc: bool) -> Result<Self, Problem> {
        let unknown = || Problem::invalid("cursor", "is not a `nextCursor` of this list");
        if text.len() > LENGTH_MAX {
            return Err(unknown());
        }
        let decoded = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let decoded = decoded.ok_or_else(unknown)?;
        let mut parts = decoded.splitn(5, '|');
        let mut next = || parts.next().ok_or_else(unknown);
        let (version, order, way, id, at) = (next()?, next()?, next()?, next()?, next()?);
        if version != "1" || !is_instant(at) {
            return Err(unknown());
        }
        if order != order_by.name() || way != direction(desc) {
            return Err(Problem::invalid(
                "cursor",
                "belongs to a list in another order; begin again without it",
            ));
        }
        Ok(Self { at: at.to_owned(), id: id.parse().map_err(|_| unknown())? })
    }
}

fn direction(desc: bool) -> &'static str {
    if desc { "desc" } else { "asc" }
}

/// The forms that the list's statement writes: `2026-01-31 23:59:59.123456+00`, with more digits of the year if need be,
/// or an infinity.
fn is_instant(text: &str) -> bool {
    if matches!(text, "infinity" | "-infinity") {
        return true;
    }
    let Some((date, time)) = text.split_once(' ') else { return false };
    let digits = |text: &str, lengths: std::ops::RangeInclusive<usize>, max: u32| {
        lengths.contains(&text.len())
            && text.bytes().all(|c| c.is_ascii_digit())
            && text.parse().is_ok_and(|number: u32| number <= max)
    };
    let date: Vec<&str> = date.split('-').collect();
    let Some((clock, fraction)) = time.strip_suffix("+00").and_then(|time| time.split_once('.')) else {
        return false;
    };
    let clock: Vec<&str> = clock.split(':').collect();
    let [year, month, day] = date[..] else { return false };
    let [hour, minute, second] = clock[..] else { return false };
    digits(year, 4..=6, 294_000)
        && time::Month::try_from(month.parse::<u8>().unwrap_or(0)).is_ok()
        && digits(month, 2..=2, 12)
        && digits(day, 2..=2, 31)
        && day != "00"
        && digits(hour, 2..=2, 23)
        && digits(minute, 2..=2, 59)
        && digits(second, 2..=2, 59)
        && digits(fraction, 6..=6, 999_999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        for at in ["2026-01-31 23:59:59.123456+00", "infinity", "12026-01-31 00:00:00.000000+00"] {
            let cursor = Cursor { at: at.to_owned(), id: Uuid::new_v4() };
            let text = cursor.text(OrderBy::LastActiveAt, true);
            assert_eq!(Cursor::parse(&text, OrderBy::LastActiveAt, true).ok(), Some(cursor));
        }
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        let id = Uuid::new_v4();
        let encode = |text: String| URL_SAFE_NO_PAD.encode(text);
        let good = Cursor { at: "2026-01-31 23:59:59.123456+00".into(), id };
        let bad = [
            "x".to_owned(),
            "äöü".to_owned(),
            encode(String::new()),
            encode(format!("2|signed_up_at|asc|{id}|infinity")),
            encode("1|signed_up_at|asc|x|infinity".into()),
            encode(format!("1|signed_up_at|asc|{id}|yesterday")),
            encode(format!("1|signed_up_at|asc|{id}|2026-13-31 23:59:59.123456+00")),
            encode(format!("1|signed_up_at|asc|{id}|2026-01-31 24:59:59.123456+00")),
            good.text(OrderBy::SignedUpAt, true),
            good.text(OrderBy::LastActiveAt, false),
            "a".repeat(LENGTH_MAX + 1),
        ];
        for text in bad {
            let refused = Cursor::parse(&text, OrderBy::SignedUpAt, false).expect_err(&text);
            assert_eq!(refused.field(), Some("cursor"));
        }
    }
}
