//! Names of tables and columns: which ones are allowed, and how they are quoted.

/// Longest name that Postgres keeps whole, in bytes.
pub const NAME_BYTES_MAX: usize = 63;

/// What the engine's own objects in a target are called, so nothing else may be.
const ENGINE_PREFIX: &str = "_sync";
const ENGINE_NAMES: [&str; 1] = ["sync_freshness"];
const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];
/// Columns that the sequencer writes: reading them would make every sequencing a change.
const SEQUENCE_COLUMNS: [&str; 3] = ["sequenceId", "shouldUpdateSequenceId", "changedBy"];

/// `name` as an identifier that means exactly this name.
#[must_use]
pub fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `text` as a string constant, whatever the session's `standard_conforming_strings`.
#[must_use]
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        return format!("E'{}'", quoted.replace('\\', "\\\\"));
    }
    format!("'{quoted}'")
}

/// What follows a key column where keys are walked in order: `collate "C"` if the type has a collation. Two
/// servers need not agree on any other order.
#[must_use]
pub fn bytewise(type_name: &str) -> &'static str {
    let kind = type_name.trim().to_ascii_lowercase();
    let collatable = ["text", "varchar", "character", "char", "bpchar", "citext", "name"];
    if collatable.iter().any(|c| kind.starts_with(c)) && !kind.ends_with("[]") {
        " collate \"C\""
    } else {
        ""
    }
}

/// A name that we create in a target: a mapping, a table or a column.
pub(super) fn check_target_name(name: &str) -> Result<(), String> {
    check_source_name(name)?;
    let mut characters = name.chars();
    let good_start = characters.next().is_some_and(|c| c.is_alphabetic() || c == '_');
    if !good_start || !characters.all(|c| c.is_alphanumeric() || c == '_') {
        return Err(format!(
            "the name {name:?} may only have letters, digits and _, and must not start with a digit"
        ));
    }
    let lower = name.to_lowercase();
    if lower.starts_with(ENGINE_PREFIX) || ENGINE_NAMES.contains(&lower.as_str()) {
        return Err(format!(
            "the name {name:?} belongs to the engine; choose one that does not start with {ENGINE_PREFIX}"
        ));
    }
    Ok(())
}

/// A column of a target's table.
pub(super) fn check_target_column(name: &str) -> Result<(), String> {
    if SYSTEM_COLUMNS.contains(&name) {
        return Err(format!("the name {name:?} is one of Postgres's system columns; choose another"));
    }
    check_target_name(name)
}

/// A name that exists already: anything that Postgres can hold.
pub(super) fn check_source_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("a name must not be empty".to_owned());
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("the name {name:?} is longer than {NAME_BYTES_MAX} bytes"));
    }
    if name.chars().any(char::is_control) {
        return Err(format!("the name {name:?} has a control character"));
    }
    Ok(())
}

/// A column of a source table that a mapping reads.
pub(super) fn check_source_column(name: &str) -> Result<(), String> {
    if SEQUENCE_COLUMNS.contains(&name) {
        return Err(format!("the column {name:?} belongs to the engine and cannot be read by a mapping"));
    }
    check_source_name(name)
}

/// A join's alias: written without quotes in expressions, so it must not need them.
pub(super) fn check_alias(name: &str) -> Result<(), String> {
    let mut characters = name.chars();
    let good_start = characters.next().is_some_and(|c| c.is_ascii_lowercase());
    if !good_start || !characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
        return Err(format!(
            "the alias {name:?} must be lower-case ASCII letters, digits and _, starting with a letter"
        ));
    }
    if name == super::expression::SOURCE_ALIAS {
        return Err(format!("the alias {name:?} is the source row's"));
    }
    check_source_name(name)
}

/// An event: what changed, in words that a receiver can match.
pub(super) fn check_event(name: &str) -> Result<(), String> {
    let mut characters = name.chars();
    let good_start = characters.next().is_some_and(|c| c.is_ascii_lowercase());
    if !good_start
        || !characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.')
        || name.len() > NAME_BYTES_MAX
    {
        return Err(format!(
            "the event {name:?} must be at most {NAME_BYTES_MAX} lower-case ASCII letters, digits, _ and ., starting with a letter"
        ));
    }
    Ok(())
}

/// A type as it is written in DDL: words, a modifier, array brackets; nothing that could end a statement.
pub(super) fn check_type(text: &str) -> Result<(), String> {
    let wrong = || {
        Err(format!(
            "the type {text:?} is not written like a Postgres type such as uuid, text or numeric(10,2)"
        ))
    };
    let mut bare = text;
    while let Some(element) = bare.strip_suffix("[]") {
        bare = element;
    }
    let (before, after) = match (bare.find('('), bare.find(')')) {
        (None, None) => (bare, ""),
        (Some(open), Some(close)) if open < close => {
            let modifiers = bare[open + 1..close].split(',').map(str::trim);
            let number = |m: &str| {
                let digits = m.strip_prefix('-').unwrap_or(m);
                !digits.is_empty() && digits.len() < 9 && digits.bytes().all(|b| b.is_ascii_digit())
            };
            if !modifiers.clone().all(number) || modifiers.count() > 2 {
                return wrong();
            }
            (&bare[..open], &bare[close + 1..])
        }
        _ => return wrong(),
    };
    let words = |part: &str| {
        part.split_ascii_whitespace().all(|word| {
            word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        })
    };
    if before.trim().is_empty() || !words(before) || !words(after) { wrong() } else { Ok(()) }
}
