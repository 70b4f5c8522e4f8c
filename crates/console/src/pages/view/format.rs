//! Numbers with their units, and times that are read at a glance and told exactly on hover.

use std::time::Duration;

use maud::{Markup, html};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const EXACT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
const MACHINE: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
const DAY: &[BorrowedFormatItem<'_>] = format_description!("[day padding:none] [month repr:short]");

/// A number of things, in groups of three digits: 1,204.
pub(crate) fn count(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if n < 0 {
        text.push('−');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number that was counted up to a limit only: "10,000 or more".
pub(crate) fn counted(n: i64, at_least: bool) -> String {
    if at_least { format!("{} or more", count(n)) } else { count(n) }
}

/// A number of things with its noun: "1 row", "1,204 rows".
pub(crate) fn things(n: i64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// A measured value in at most four characters and a power of ten: 0, 0.4, 12.3, 980, 12.3 k, 4.5 M.
pub(crate) fn short(value: f64) -> String {
    let (scaled, suffix) = match value.abs() {
        v if v >= 999_500_000.0 => (value / 1e9, " G"),
        v if v >= 999_500.0 => (value / 1e6, " M"),
        v if v >= 9_995.0 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    if scaled.abs() >= 99.95 || scaled.fract().abs() < 0.005 {
        // No more than 9,995: no precision is lost.
        #[expect(clippy::cast_possible_truncation, reason = "scaled to four digits above")]
        let whole = scaled.round() as i64;
        format!("{}{suffix}", count(whole))
    } else if scaled.abs() >= 1.0 {
        format!("{scaled:.1}{suffix}")
    } else {
        format!("{scaled:.2}{suffix}")
    }
}

/// A span of time with the unit that suits it: "41 ms", "1.2 s", "3 min", "2 h 5 min", "3 d 4 h".
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..10 => format!("{:.1} s", (duration.as_secs_f64() * 10.0).floor() / 10.0),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large} {large_unit}")
    } else {
        format!("{large} {large_unit} {small} {small_unit}")
    }
}

/// An instant as the time that has passed since, or is left until it.
pub(crate) fn ago(now: OffsetDateTime, at: OffsetDateTime) -> Markup {
    let passed = now - at;
    let text = if passed.is_negative() && passed <= time::Duration::seconds(-1) {
        format!("in {}", coarse(passed.unsigned_abs()))
    } else if passed < time::Duration::seconds(1) {
        "just now".to_owned()
    } else {
        format!("{} ago", coarse(passed.unsigned_abs()))
    };
    html! { time datetime=(machine(at)) title=(exact(at)) data-ago { (text) } }
}

/// The same, or a word where there is no instant.
pub(crate) fn ago_or(now: OffsetDateTime, at: Option<OffsetDateTime>, otherwise: &str) -> Markup {
    match at {
        Some(at) => ago(now, at),
        None => html! { span.muted { (otherwise) } },
    }
}

/// Whole seconds below a minute, so that it changes once a second.
fn coarse(duration: Duration) -> String {
    if duration.as_secs() < 60 { format!("{} s", duration.as_secs()) } else { span(duration) }
}

/// For people: to the second, in UTC.
pub(crate) fn exact(at: OffsetDateTime) -> String {
    at.to_offset(time::UtcOffset::UTC).format(EXACT).unwrap_or_default()
}

/// For programs: RFC 3339.
pub(crate) fn machine(at: OffsetDateTime) -> String {
    at.to_offset(time::UtcOffset::UTC).format(MACHINE).unwrap_or_default()
}

/// A day without its year: "3 Nov".
pub(crate) fn day(date: time::Date) -> String {
    date.format(DAY).unwrap_or_default()
}

/// A share of a whole, as percent.
pub(crate) fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.01 { "< 1 %".to_owned() } else { format!("{:.0} %", share * 100.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(
            [0, 7, 999, 1_000, 1_234_567, -4_200].map(count),
            ["0", "7", "999", "1,000", "1,234,567", "−4,200"]
        );
        assert_eq!(counted(10_000, true), "10,000 or more");
        assert_eq!([things(1, "row", "rows"), things(0, "row", "rows")], ["1 row", "0 rows"]);
    }

    #[test]
    fn values_stay_short() {
        let shown =
            [0.0, 0.123, 1.0, 12.34, 99.96, 980.0, 9_994.0, 9_996.0, 120_000.0, 4_500_000.0].map(short);
        assert_eq!(shown, ["0", "0.12", "1", "12.3", "100", "980", "9,994", "10.0 k", "120 k", "4.5 M"]);
    }

    #[test]
    fn spans_have_the_unit_that_suits_them() {
        let shown = [41, 1_290, 9_999, 59_999, 185_000, 7_500_000, 3_600_000, 273_600_000];
        let shown = shown.map(|millis| span(Duration::from_millis(millis)));
        assert_eq!(shown, ["41 ms", "1.2 s", "9.9 s", "59 s", "3 min", "2 h 5 min", "1 h", "3 d 4 h"]);
    }

    #[test]
    fn times_are_relative_and_exact_on_hover() {
        let now = OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000);
        let shown = |seconds| ago(now, now - time::Duration::seconds(seconds)).into_string();
        assert!(shown(0).contains(">just now<"), "{}", shown(0));
        assert!(shown(42).contains(">42 s ago<") && shown(42).contains("title=\"2024-10-03 23:59:18 UTC\""));
        assert!(shown(-90).contains(">in 1 min<"), "{}", shown(-90));
        assert!(shown(42).contains("datetime=\"2024-10-03T23:59:18.000Z\""));
    }
}
