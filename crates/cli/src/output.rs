//! What a command prints: with `--json` one value, else lines for people.

use std::io::Write as _;

use serde::Serialize;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// How results are printed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// The result of a command: `value` as JSON, or the text that `human` makes of it.
    pub(crate) fn result<T: Serialize>(
        self,
        value: &T,
        human: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let text = if self.json { serde_json::to_string(value)? } else { human(value) };
        write_line(&text);
        Ok(())
    }

    /// Whether lines are wanted, and not JSON.
    pub(crate) fn is_for_people(self) -> bool {
        !self.json
    }

    /// That a list goes on, and how; only for people.
    pub(crate) fn more(self, next_cursor: Option<&str>) {
        if let Some(cursor) = next_cursor.filter(|_| !self.json) {
            remark(&format!("there are more: the same with --cursor {cursor}"));
        }
    }

    /// A line on the way to the result; only for people.
    pub(crate) fn progress(self, line: &str) {
        if !self.json {
            write_line(line);
        }
    }
}

/// A reader that went away (`| head`) is no reason to fail.
fn write_line(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{}", text.trim_end());
    let _ = stdout.flush();
}

/// A remark that is no result: to stderr.
pub(crate) fn remark(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Why a command failed, with its causes, to stderr. Many errors already say what their cause is.
pub(crate) fn complain(error: &anyhow::Error) {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        let cause = cause.strip_prefix("db error: ").unwrap_or(&cause);
        if cause != "db error" && !text.contains(cause) {
            text = format!("{text}: {cause}");
        }
    }
    remark(&format!("error: {}", without_passwords(&text)));
}

/// An instant as RFC 3339 in UTC.
pub(crate) fn instant(at: OffsetDateTime) -> String {
    at.to_offset(UtcOffset::UTC).format(&Rfc3339).unwrap_or_else(|_| at.to_string())
}

/// `text` with what stands between `scheme://` and `@` taken out. Our own errors hold no secrets; what somebody
/// typed into the wrong place is repeated by the parser of the command line.
pub(crate) fn without_passwords(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(scheme_end) = rest.find("://").map(|at| at + 3) {
        let (scheme, after) = rest.split_at(scheme_end);
        clean.push_str(scheme);
        let word = &after[..after.find(|c: char| c.is_whitespace()).unwrap_or(after.len())];
        rest = match word.rfind('@').filter(|at| &word[..*at] != "user:password") {
            Some(at) => {
                clean.push_str("***");
                &after[at..]
            }
            None => after,
        };
    }
    clean.push_str(rest);
    clean
}

/// Lines in columns, padded to the widest cell.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|r| r.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_a_host_is_not_repeated() {
        let cases = [
            (
                "unexpected argument 'postgres://u:pw@h/d' found",
                "unexpected argument 'postgres://***@h/d' found",
            ),
            ("a postgres://u:p@w@h b amqp://x:y@z", "a postgres://***@h b amqp://***@z"),
            ("see https://example.org and me@example.org", "see https://example.org and me@example.org"),
            ("expected postgres://user:password@host", "expected postgres://user:password@host"),
            ("postgres://", "postgres://"),
        ];
        for (text, expected) in cases {
            assert_eq!(without_passwords(text), expected);
        }
    }

    #[test]
    fn columns_are_padded() {
        let rows = [vec!["a".to_owned(), "bb".to_owned()], vec!["ccc".to_owned(), "d".to_owned()]];
        assert_eq!(table(&rows), "a    bb\nccc  d");
    }
}
