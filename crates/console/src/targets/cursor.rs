//! Cursors of this API's lists as text, and back.

use tenant_sync_core::outbox::TargetKey;
use tenant_sync_core::registry::browse::{TargetCursor, TenancyCursor};
use tenant_sync_core::registry::cursor::{self, CursorError};
use tenant_sync_core::registry::quarantine::RefusedCursor;

use crate::http::Problem;

/// As text for a caller.
pub(crate) fn write_target(cursor: &TargetCursor) -> String {
    let TargetCursor { place, text, key } = cursor;
    cursor::write(&format!("{place} {} {} {text}", key.tenancy_id, key.database_id))
}

/// # Errors
/// It is none that we gave.
pub(crate) fn read_target(text: &str) -> Result<TargetCursor, Problem> {
    let parse = || {
        let text = cursor::read(text)?;
        let mut parts = text.splitn(4, ' ');
        let (place, tenancy_id, database_id) = (parts.next()?, parts.next()?, parts.next()?);
        let text = parts.next().unwrap_or_default().to_owned();
        let key = TargetKey { tenancy_id: tenancy_id.parse().ok()?, database_id: database_id.to_owned() };
        let place: i64 = place.parse().ok()?;
        // What orders beside the key is a number of microseconds, or of failures.
        (0..=i64::MAX / 2).contains(&place).then_some(TargetCursor { place, text, key })
    };
    parse().ok_or_else(unknown)
}

/// As text for a caller.
pub(crate) fn write_tenancy(cursor: &TenancyCursor) -> String {
    cursor::write(&format!("{} {}", cursor.id, cursor.text))
}

/// # Errors
/// It is none that we gave.
pub(crate) fn read_tenancy(text: &str) -> Result<TenancyCursor, Problem> {
    let parse = || {
        let text = cursor::read(text)?;
        let (id, text) = text.split_once(' ')?;
        Some(TenancyCursor { id: id.parse().ok()?, text: text.to_owned() })
    };
    parse().ok_or_else(unknown)
}

/// As text for a caller.
pub(crate) fn write_refused(cursor: &RefusedCursor) -> String {
    let RefusedCursor { mapping, refused_at, hash } = cursor;
    cursor::write(&format!("{refused_at} {hash} {mapping}"))
}

/// # Errors
/// It is none that we gave.
pub(crate) fn read_refused(text: &str) -> Result<RefusedCursor, Problem> {
    let parse = || {
        let text = cursor::read(text)?;
        let mut parts = text.splitn(3, ' ');
        let (refused_at, hash, mapping) = (parts.next()?, parts.next()?, parts.next()?);
        let (refused_at, hash) = (refused_at.parse().ok()?, hash.parse().ok()?);
        Some(RefusedCursor { mapping: mapping.to_owned(), refused_at, hash })
    };
    parse().ok_or_else(unknown)
}

/// A number as a cursor.
pub(crate) fn write_number(number: i64) -> String {
    cursor::write(&number.to_string())
}

/// # Errors
/// It is none that we gave.
pub(crate) fn read_number(text: &str) -> Result<i64, Problem> {
    cursor::read(text).and_then(|text| text.parse().ok()).ok_or_else(unknown)
}

fn unknown() -> Problem {
    Problem::invalid("cursor", CursorError)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was_given() {
        let target = TargetCursor {
            place: 1_764_000_000_000_000,
            text: "broken/passwordRefused".into(),
            key: TargetKey { tenancy_id: Uuid::from_u128(7), database_id: "main".into() },
        };
        assert_eq!(read_target(&write_target(&target)), Ok(target));
        let tenancy = TenancyCursor { text: "a b".into(), id: Uuid::from_u128(9) };
        assert_eq!(read_tenancy(&write_tenancy(&tenancy)), Ok(tenancy));
        assert_eq!(read_number(&write_number(-5)), Ok(-5));
        let refused =
            RefusedCursor { mapping: "my users".into(), refused_at: 1_764_000_000_000_000, hash: -7 };
        assert_eq!(read_refused(&write_refused(&refused)), Ok(refused));
        for bad in ["", "x", "!!", &cursor::write("1 2 3"), &cursor::write("-1")] {
            assert!(read_target(bad).is_err() && read_tenancy(bad).is_err(), "{bad}");
        }
    }
}
