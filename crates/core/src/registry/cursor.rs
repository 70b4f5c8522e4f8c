//! Cursors as text that callers hand back: where a list goes on. They need no secrecy, only a strict reading.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use time::OffsetDateTime;

/// A cursor that was never given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is none that was given as nextCursor")]
pub struct CursorError;

/// What a cursor says, as text for a caller.
#[must_use]
pub fn write(said: &str) -> String {
    URL_SAFE_NO_PAD.encode(said)
}

/// What a caller's text says; `None` = it is none of ours.
#[must_use]
pub fn read(text: &str) -> Option<String> {
    let said = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    (!said.contains('\0')).then_some(said)
}

/// An instant as cursors have it: microseconds since 1970, as exact as Postgres is.
pub(crate) fn write_instant(at: OffsetDateTime) -> i128 {
    at.unix_timestamp_nanos() / 1_000
}

/// The instant that [`write_instant`] wrote.
pub(crate) fn read_instant(micros: &str) -> Option<OffsetDateTime> {
    let micros: i64 = micros.parse().ok()?;
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000).ok()
}
