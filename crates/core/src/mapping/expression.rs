//! An SQL expression of a mapping: what it may contain, and what it reads.
//!
//! An expression computes a value from the source row and the joined rows, and nothing else. It cannot hold a
//! query, so that the tenant filter, which the engine adds to every table it reads, cannot be passed by.

use serde::{Serialize, Serializer};

use super::lexer::{Token, tokens};
use super::names::check_source_column;

/// What the source row is called in expressions.
pub const SOURCE_ALIAS: &str = "s";

/// Words that begin or combine queries.
const QUERY_WORDS: [&str; 14] = [
    "select",
    "table",
    "values",
    "insert",
    "update",
    "delete",
    "merge",
    "into",
    "returning",
    "union",
    "intersect",
    "except",
    "exists",
    "lateral",
];

/// Words whose value depends on when or by whom the row is read.
const SESSION_WORDS: [&str; 12] = [
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "current_user",
    "current_role",
    "session_user",
    "system_user",
    "user",
    "current_catalog",
    "current_schema",
];

/// Functions whose value does not follow from the row although Postgres calls them stable, or that read tables.
/// Volatile ones are found in the catalog, too; the usual ones stand here so that they are refused without it.
const REFUSED_FUNCTIONS: [&str; 30] = [
    "now",
    "transaction_timestamp",
    "statement_timestamp",
    "clock_timestamp",
    "timeofday",
    "random",
    "random_normal",
    "gen_random_uuid",
    "uuidv4",
    "uuidv7",
    "uuid_generate_v4",
    "nextval",
    "currval",
    "lastval",
    "setval",
    "current_setting",
    "set_config",
    "current_schemas",
    "query_to_xml",
    "query_to_xmlschema",
    "query_to_xml_and_xmlschema",
    "table_to_xml",
    "table_to_xmlschema",
    "table_to_xml_and_xmlschema",
    "schema_to_xml",
    "database_to_xml",
    "cursor_to_xml",
    "dblink",
    "txid_current",
    "inet_client_addr",
];

/// Constants that mean another time whenever they are read, if they become a time.
const MOVING_TIMES: [&str; 4] = ["now", "today", "tomorrow", "yesterday"];

/// A column that an expression reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// [`SOURCE_ALIAS`] or a join's alias.
    pub alias: String,
    /// The column's name.
    pub column: String,
}

/// A function that an expression calls (or a keyword before a parenthesis, such as `coalesce`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FunctionCall {
    /// Schema, if it was written.
    pub schema: Option<String>,
    /// Name as Postgres looks it up.
    pub name: String,
}

/// A checked expression.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Expression {
    text: String,
    tokens: Vec<Token>,
    references: Vec<Reference>,
    calls: Vec<FunctionCall>,
}

impl Serialize for Expression {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl Expression {
    /// Reads an expression that may use the columns of `aliases`.
    ///
    /// # Errors
    /// What it contains that it may not, in words for the mapping's author.
    pub fn parse(text: &str, aliases: &[&str]) -> Result<Self, String> {
        let tokens = tokens(text)?;
        if tokens.is_empty() {
            return Err("the expression is empty".to_owned());
        }
        check_nesting(&tokens)?;
        check_words(&tokens)?;
        let references = references(&tokens, aliases)?;
        let calls = calls(&tokens);
        if let Some(call) = calls.iter().find(|call| REFUSED_FUNCTIONS.contains(&call.name.as_str())) {
            return Err(format!("{}() does not follow from the row alone", call.name));
        }
        Ok(Self { text: text.trim().to_owned(), tokens, references, calls })
    }

    /// The expression as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The columns that it reads, each once, sorted.
    #[must_use]
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// The functions that it calls, each once, sorted.
    #[must_use]
    pub fn calls(&self) -> &[FunctionCall] {
        &self.calls
    }

    /// The column, if the expression is nothing but a column of the source row.
    #[must_use]
    pub fn plain_source_column(&self) -> Option<&str> {
        let [alias, dot, column] = self.tokens.as_slice() else { return None };
        (alias.name()? == SOURCE_ALIAS && dot.is_mark('.')).then(|| column.name()).flatten()
    }

    /// The column, if the expression is nothing but a column of the source row, or a cast of one to a type.
    #[must_use]
    pub fn cast_source_column(&self) -> Option<&str> {
        let tokens = self.tokens.as_slice();
        let at = tokens.iter().position(|token| *token == Token::Cast).unwrap_or(tokens.len());
        let (value, cast) = tokens.split_at(at);
        let of_type = |token: &Token| match token {
            Token::Word(_) | Token::Number(_) => true,
            Token::Mark(mark) => "()[],".contains(*mark),
            _ => false,
        };
        if !cast.iter().skip(1).all(of_type) {
            return None;
        }
        let bare = match value {
            [open, inner @ .., close] if open.is_mark('(') && close.is_mark(')') => inner,
            bare => bare,
        };
        let [alias, dot, column] = bare else { return None };
        (alias.name()? == SOURCE_ALIAS && dot.is_mark('.')).then(|| column.name()).flatten()
    }

    pub(super) fn tokens(&self) -> &[Token] {
        &self.tokens
    }
}

fn check_nesting(tokens: &[Token]) -> Result<(), String> {
    let mut open = Vec::new();
    for token in tokens {
        match token {
            Token::Mark(c @ ('(' | '[')) => open.push(*c),
            Token::Mark(c @ (')' | ']')) => {
                let wanted = if *c == ')' { '(' } else { '[' };
                if open.pop() != Some(wanted) {
                    return Err(format!("{c} closes nothing"));
                }
            }
            Token::Mark(',') if open.is_empty() => {
                return Err("a comma outside of parentheses; a column has one expression".to_owned());
            }
            _ => {}
        }
    }
    open.pop().map_or(Ok(()), |c| Err(format!("{c} is opened and never closed")))
}

fn check_words(tokens: &[Token]) -> Result<(), String> {
    for (at, token) in tokens.iter().enumerate() {
        if token.name().is_some_and(|name| name.starts_with("_sync")) {
            return Err("names that start with _sync belong to the engine".to_owned());
        }
        let before = at.checked_sub(1).map(|b| &tokens[b]);
        if let Token::Text(value) = token {
            check_moving_time(value, tokens.get(at + 1..).unwrap_or_default())?;
        }
        // After a dot every word is a name.
        let Token::Word(word) = token else { continue };
        if before.is_some_and(|b| b.is_mark('.')) {
            continue;
        }
        let time_zone = || tokens.get(at + 1).is_some_and(|next| next.is_word("time"));
        if QUERY_WORDS.contains(&word.as_str()) || (word == "with" && !time_zone()) {
            return Err(format!("{word} begins a query; a mapping reads other tables by a [[join]]"));
        }
        if word == "over" {
            return Err("a window function looks at other rows; an expression sees one".to_owned());
        }
        if SESSION_WORDS.contains(&word.as_str()) {
            return Err(format!("{word} does not follow from the row alone"));
        }
    }
    Ok(())
}

/// Refuses `'now'`, which looks like a constant, where it could become a time.
fn check_moving_time(value: &str, after: &[Token]) -> Result<(), String> {
    if !MOVING_TIMES.contains(&value.trim().to_lowercase().as_str()) {
        return Ok(());
    }
    if matches!(after, [Token::Cast, to, ..] if to.is_word("text")) {
        return Ok(());
    }
    Err(format!(
        "'{value}' may become a time, which does not follow from the row alone; if it is a text, write '{value}'::text"
    ))
}

fn references(tokens: &[Token], aliases: &[&str]) -> Result<Vec<Reference>, String> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Some(name) = token.name() else { continue };
        let before = at.checked_sub(1).map(|b| &tokens[b]);
        if before.is_some_and(|b| b.is_mark('.')) {
            continue;
        }
        let dotted = tokens.get(at + 1).is_some_and(|next| next.is_mark('.'));
        let column = tokens.get(at + 2).and_then(Token::name).filter(|_| dotted);
        if aliases.contains(&name) {
            let Some(column) = column else {
                return Err(format!("{name} stands for a whole row; name the column: {name}.\"column\""));
            };
            check_source_column(column)?;
            found.push(Reference { alias: name.to_owned(), column: column.to_owned() });
        } else if let Some(column) = column {
            let called = tokens.get(at + 3).is_some_and(|next| next.is_mark('('));
            let type_or_collation =
                before.is_some_and(|b| *b == Token::Cast || b.is_word("as") || b.is_word("collate"));
            if !called && !type_or_collation {
                let known = aliases.join(", ");
                return Err(format!("{name}.{column}: {name} is no alias here (known: {known})"));
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn calls(tokens: &[Token]) -> Vec<FunctionCall> {
    let mut found: Vec<FunctionCall> = Vec::new();
    for (at, pair) in tokens.windows(2).enumerate() {
        let Some(name) = pair[0].name().filter(|_| pair[1].is_mark('(')) else { continue };
        let schema = match at.checked_sub(2).map(|from| &tokens[from..at]) {
            Some([schema, dot]) if dot.is_mark('.') => schema.name().map(str::to_owned),
            _ => None,
        };
        found.push(FunctionCall { schema, name: name.to_owned() });
    }
    found.sort();
    found.dedup();
    found
}
