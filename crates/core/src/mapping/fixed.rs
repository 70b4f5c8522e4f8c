//! Which columns a condition pins to a constant. Used to prove that a join finds at most one row: the columns
//! that the join's `where` pins, and the columns that a partial index's predicate wants pinned.

use std::collections::BTreeMap;

use super::lexer::{Token, tokens};

/// A constant, by what it says; `'5'` and `5` are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Constant {
    True,
    False,
    Value(String),
}

/// One part of a condition, all of which must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Pinned(String, Constant),
    NotNull(String),
    Other,
}

/// Casts that leave a constant as it is written (`'EMAIL'::"char"` would be `'E'`).
const EXACT_CASTS: [&str; 3] = ["text", "varchar", "uuid"];
const WHOLE_NUMBER_CASTS: [&str; 3] = ["smallint", "integer", "bigint"];

/// The columns that the condition, over `alias`, pins.
pub(super) fn pinned(condition: &[Token], alias: &str) -> BTreeMap<String, Constant> {
    let mut columns = BTreeMap::new();
    for part in parts(condition, Some(alias)) {
        if let Part::Pinned(column, constant) = part {
            columns.insert(column, constant);
        }
    }
    columns
}

/// Whether a partial index with this `predicate` (as `pg_get_expr` writes it) holds every row for which the
/// `pinned` columns have these values and the `matched` columns are not null.
pub(super) fn predicate_follows(
    predicate: &str,
    pinned: &BTreeMap<String, Constant>,
    matched: &[&str],
) -> bool {
    let Ok(tokens) = tokens(predicate) else { return false };
    parts(&tokens, None).iter().all(|part| match part {
        Part::Pinned(column, constant) => pinned.get(column) == Some(constant),
        Part::NotNull(column) => pinned.contains_key(column) || matched.contains(&column.as_str()),
        Part::Other => false,
    })
}

fn parts(condition: &[Token], alias: Option<&str>) -> Vec<Part> {
    let condition = without_parentheses(condition);
    let mut depth = 0_usize;
    let (mut conjuncts, mut start) = (Vec::new(), 0);
    for (at, token) in condition.iter().enumerate() {
        match token {
            Token::Mark('(' | '[') => depth += 1,
            Token::Mark(')' | ']') => depth = depth.saturating_sub(1),
            // With these, `and` may separate something else.
            Token::Word(w) if depth == 0 && matches!(w.as_str(), "or" | "between" | "case") => {
                return vec![Part::Other];
            }
            Token::Word(w) if depth == 0 && w == "and" => {
                conjuncts.push(&condition[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if conjuncts.is_empty() {
        return vec![part(condition, alias)];
    }
    conjuncts.push(&condition[start..]);
    conjuncts.into_iter().flat_map(|conjunct| parts(conjunct, alias)).collect()
}

fn part(condition: &[Token], alias: Option<&str>) -> Part {
    let pinned = |column: String, constant| Part::Pinned(column, constant);
    if let Some(column) = column(condition, alias) {
        return pinned(column, Constant::True);
    }
    if let [not, rest @ ..] = condition
        && not.is_word("not")
        && let Some(column) = column(without_parentheses(rest), alias)
    {
        return pinned(column, Constant::False);
    }
    if let [start @ .., is, not, null] = condition
        && is.is_word("is")
        && not.is_word("not")
        && null.is_word("null")
    {
        return column(without_parentheses(start), alias).map_or(Part::Other, Part::NotNull);
    }
    let equals = |token: &Token| *token == Token::Operator("=".to_owned());
    let mut around = condition.splitn(2, equals);
    let (Some(left), Some(right)) = (around.next(), around.next()) else { return Part::Other };
    let sides = [(left, right), (right, left)];
    sides
        .into_iter()
        .find_map(|(name, value)| Some(pinned(cast_column(name, alias)?, constant(value)?)))
        .unwrap_or(Part::Other)
}

/// `alias.column`, or `column` where there is no alias.
fn column(tokens: &[Token], alias: Option<&str>) -> Option<String> {
    match (without_parentheses(tokens), alias) {
        ([name, dot, column], Some(alias)) if name.name() == Some(alias) && dot.is_mark('.') => column.name(),
        ([Token::Word(word)], None) if !matches!(word.as_str(), "true" | "false" | "null") => {
            Some(word.as_str())
        }
        ([Token::Quoted(name)], None) => Some(name.as_str()),
        _ => None,
    }
    .map(str::to_owned)
}

/// A column that may be cast to `text`, as Postgres itself writes comparisons of a `varchar`.
fn cast_column(tokens: &[Token], alias: Option<&str>) -> Option<String> {
    match without_parentheses(tokens) {
        [inner @ .., Token::Cast, to] if to.is_word("text") => column(inner, alias),
        plain => column(plain, alias),
    }
}

fn constant(tokens: &[Token]) -> Option<Constant> {
    let tokens = without_parentheses(tokens);
    let (value, cast) = match tokens {
        [value] => (value, None),
        [value, Token::Cast, to] => (value, Some(to)),
        _ => return None,
    };
    if !cast.is_none_or(|to| leaves_alone(value, to)) {
        return None;
    }
    match value {
        Token::Word(word) if word == "true" => Some(Constant::True),
        Token::Word(word) if word == "false" => Some(Constant::False),
        Token::Text(value) | Token::Number(value) => Some(Constant::Value(value.clone())),
        _ => None,
    }
}

fn leaves_alone(value: &Token, cast: &Token) -> bool {
    let (Token::Text(text) | Token::Number(text)) = value else { return false };
    match cast {
        Token::Word(name) if WHOLE_NUMBER_CASTS.contains(&name.as_str()) => text.parse::<i64>().is_ok(),
        Token::Word(name) => EXACT_CASTS.contains(&name.as_str()),
        // An enum of the application; Postgres's own types have lower-case names.
        Token::Quoted(name) => name.chars().any(char::is_uppercase),
        _ => false,
    }
}

/// Strips parentheses that enclose all of it.
fn without_parentheses(mut tokens: &[Token]) -> &[Token] {
    while let [first, inner @ .., last] = tokens
        && first.is_mark('(')
        && last.is_mark(')')
        && encloses_all(inner)
    {
        tokens = inner;
    }
    tokens
}

fn encloses_all(inner: &[Token]) -> bool {
    let mut depth = 0_usize;
    for token in inner {
        match token {
            Token::Mark('(') => depth += 1,
            Token::Mark(')') if depth == 0 => return false,
            Token::Mark(')') => depth -= 1,
            _ => {}
        }
    }
    depth == 0
}
