//! A migration's text, split into the statements that PostgreSQL would see.

use sha2::{Digest, Sha256};

use super::lexer::{self, Kind, Token};

/// One statement of a migration, without the semicolon.
#[derive(Debug, Clone)]
pub struct Statement {
    /// Its text, as it stands in the file.
    pub text: String,
    /// The line of the file on which it begins, from 1.
    pub line: usize,
    /// What it is known by when a migration is resumed: its text, and how often the same text came before.
    pub(super) fingerprint: String,
    /// The byte of the file at which it begins; its tokens count from the file's first byte.
    pub(super) start: usize,
    pub(super) tokens: Vec<Token>,
}

/// Splits `text` at the semicolons that end statements.
///
/// # Errors
/// What never ends, and the line on which it begins.
pub(super) fn split(text: &str) -> Result<Vec<Statement>, (&'static str, usize)> {
    let tokens = lexer::tokens(text).map_err(|open| (open.what, line_of(text, open.start)))?;
    let mut statements: Vec<Statement> = Vec::new();
    let mut current = Vec::new();
    let mut nesting = Nesting::default();
    for token in tokens {
        if token.is_symbol(';') && nesting.is_flat() {
            push(text, std::mem::take(&mut current), &mut statements);
            nesting = Nesting::default();
            continue;
        }
        nesting.enter(&token, &current);
        current.push(token);
    }
    push(text, current, &mut statements);
    Ok(statements)
}

fn push(text: &str, tokens: Vec<Token>, statements: &mut Vec<Statement>) {
    let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return };
    let statement = &text[first.start..last.end];
    let earlier = statements.iter().filter(|s| s.text == statement).count();
    let fingerprint = hex(&Sha256::digest(format!("{earlier}\n{statement}")))[..16].to_owned();
    statements.push(Statement {
        text: statement.to_owned(),
        line: line_of(text, first.start),
        fingerprint,
        start: first.start,
        tokens,
    });
}

/// Where a semicolon does not end the statement: inside parentheses (rules) and in the body of an SQL
/// function that stands between BEGIN ATOMIC and END.
#[derive(Debug, Default)]
struct Nesting {
    parentheses: usize,
    blocks: usize,
}

impl Nesting {
    fn is_flat(&self) -> bool {
        self.parentheses == 0 && self.blocks == 0
    }

    fn enter(&mut self, token: &Token, before: &[Token]) {
        match &token.kind {
            Kind::Symbol('(') => self.parentheses += 1,
            Kind::Symbol(')') => self.parentheses = self.parentheses.saturating_sub(1),
            Kind::Word(word) if defines_routine(before) => match word.as_str() {
                "begin" => self.blocks += 1,
                "case" if self.blocks > 0 => self.blocks += 1,
                "end" => self.blocks = self.blocks.saturating_sub(1),
                _ => {}
            },
            _ => {}
        }
    }
}

fn defines_routine(tokens: &[Token]) -> bool {
    let mut words = tokens.iter();
    if !words.next().is_some_and(|t| t.is("create")) {
        return false;
    }
    let rest = words.as_slice();
    let rest = match rest {
        [or, replace, rest @ ..] if or.is("or") && replace.is("replace") => rest,
        rest => rest,
    };
    rest.first().is_some_and(|t| t.is("function") || t.is("procedure"))
}

impl Statement {
    /// Whether its first words are these.
    pub(super) fn begins(&self, words: &[&str]) -> bool {
        words.len() <= self.tokens.len() && words.iter().zip(&self.tokens).all(|(w, t)| t.is(w))
    }

    /// Whether it starts, ends or splits a transaction, which is the runner's business.
    pub(super) fn controls_transaction(&self) -> bool {
        let verbs = ["begin", "commit", "rollback", "abort", "savepoint", "end"];
        verbs.iter().any(|v| self.begins(&[v]))
            || self.begins(&["start", "transaction"])
            || self.begins(&["release", "savepoint"])
            || self.begins(&["prepare", "transaction"])
            || self.begins(&["discard"])
    }

    /// Whether PostgreSQL refuses it inside a transaction. Such a statement also waits for every
    /// transaction of the application, without making any of them wait.
    pub(super) fn must_run_alone(&self) -> bool {
        let verb = ["create", "drop", "reindex", "alter"].iter().any(|verb| self.begins(&[verb]));
        let mut words = self.tokens.iter().take_while(|t| !t.is_symbol('(') || self.begins(&["reindex"]));
        verb && words.any(|t| t.is("concurrently")) || self.begins(&["vacuum"])
    }

    /// Whether "0 rows touched" means that it is done.
    pub(super) fn counts_rows(&self) -> bool {
        ["update", "delete", "insert", "merge", "with"].iter().any(|verb| self.begins(&[verb]))
    }

    /// The index that `CREATE INDEX CONCURRENTLY` would build: `None` for any other statement,
    /// `Some(None)` if it has no name.
    pub(super) fn concurrent_index(&self) -> Option<Option<&str>> {
        let skip = if self.begins(&["create", "unique", "index", "concurrently"]) {
            4
        } else if self.begins(&["create", "index", "concurrently"]) {
            3
        } else {
            return None;
        };
        let rest = &self.tokens[skip..];
        let named = match rest {
            [a, b, c, rest @ ..] if a.is("if") && b.is("not") && c.is("exists") => rest,
            rest => rest,
        };
        Some(named.first().filter(|t| !t.is("on")).and_then(Token::name))
    }
}

/// The line, from 1, of a byte of `text`.
pub(super) fn line_of(text: &str, byte: usize) -> usize {
    text[..byte].matches('\n').count() + 1
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
