//! The words of an SQL text, as PostgreSQL's own scanner sees them.
//!
//! Only what splitting and naming need: where strings, comments and dollar quotes begin and end, and what
//! the words between them are.

/// What a piece of SQL is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword or an identifier without quotes, folded to lower case.
    Word(String),
    /// An identifier in double quotes, unescaped.
    Quoted(String),
    /// A string, a number or anything else that is only carried along.
    Literal,
    /// One character of punctuation.
    Symbol(char),
}

/// A piece of SQL and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// First byte.
    pub(super) start: usize,
    /// Behind the last byte.
    pub(super) end: usize,
}

impl Token {
    pub(super) fn is(&self, word: &str) -> bool {
        matches!(&self.kind, Kind::Word(w) if w == word)
    }

    pub(super) fn is_symbol(&self, symbol: char) -> bool {
        self.kind == Kind::Symbol(symbol)
    }

    /// The name that this piece is, if it can be one.
    pub(super) fn name(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(name) | Kind::Quoted(name) => Some(name),
            _ => None,
        }
    }
}

/// Something that begins and never ends, with the byte where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unterminated {
    pub(super) what: &'static str,
    pub(super) start: usize,
}

/// All pieces of `text`, without blanks and comments.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Unterminated> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let (kind, length) = if first.is_whitespace() {
            (None, first.len_utf8())
        } else if rest.starts_with("--") {
            (None, rest.find('\n').unwrap_or(rest.len()))
        } else if rest.starts_with("/*") {
            (None, block_comment(rest).ok_or(Unterminated { what: "comment", start: at })?)
        } else {
            let (kind, length) = piece(rest, first).map_err(|what| Unterminated { what, start: at })?;
            (Some(kind), length)
        };
        if let Some(kind) = kind {
            found.push(Token { kind, start: at, end: at + length });
        }
        at += length;
    }
    Ok(found)
}

/// The piece at the beginning of `rest` and its length, or what never ends there.
fn piece(rest: &str, first: char) -> Result<(Kind, usize), &'static str> {
    match first {
        '\'' => Ok((Kind::Literal, quoted(rest, '\'', false).ok_or("string")?)),
        '"' => {
            let length = quoted(rest, '"', false).ok_or("quoted name")?;
            Ok((Kind::Quoted(rest[1..length - 1].replace("\"\"", "\"")), length))
        }
        '$' => match dollar_tag(rest) {
            Some(tag) => {
                let body = &rest[tag.len()..];
                let end = body.find(tag).ok_or("dollar-quoted string")?;
                Ok((Kind::Literal, 2 * tag.len() + end))
            }
            None => Ok((Kind::Literal, 1 + rest[1..].bytes().take_while(u8::is_ascii_digit).count())),
        },
        c if begins_name(c) => word(rest),
        c if c.is_ascii_digit() => {
            let number = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_';
            Ok((Kind::Literal, rest.find(|c| !number(c)).unwrap_or(rest.len())))
        }
        c => Ok((Kind::Symbol(c), c.len_utf8())),
    }
}

/// A word, or the string or name that a prefix such as `E` begins.
fn word(rest: &str) -> Result<(Kind, usize), &'static str> {
    let length = rest.find(|c| !continues_name(c)).unwrap_or(rest.len());
    let (name, after) = rest.split_at(length);
    if after.starts_with('\'') && ["e", "b", "x", "n"].iter().any(|p| name.eq_ignore_ascii_case(p)) {
        let escapes = name.eq_ignore_ascii_case("e");
        return Ok((Kind::Literal, length + quoted(after, '\'', escapes).ok_or("string")?));
    }
    Ok((Kind::Word(name.to_lowercase()), length))
}

/// What stands between the quotes of a string or dollar quote; doubled quotes stay doubled.
pub(super) fn content(literal: &str) -> Option<&str> {
    let inner = match dollar_tag(literal) {
        Some(tag) => literal.strip_prefix(tag)?.strip_suffix(tag)?,
        None => literal.strip_prefix('\'')?.strip_suffix('\'')?,
    };
    Some(inner)
}

fn begins_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn continues_name(c: char) -> bool {
    begins_name(c) || c.is_ascii_digit() || c == '$'
}

/// Length of `'…'` or `"…"` at the beginning of `rest`; a doubled quote stands for itself.
fn quoted(rest: &str, quote: char, escapes: bool) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if escapes && c == '\\' {
            chars.next()?;
        } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return Some(at + 1);
        }
    }
    None
}

/// `$tag$` at the beginning of `rest`; `$1` is a parameter, not a quote.
fn dollar_tag(rest: &str) -> Option<&str> {
    let inner = rest.get(1..)?;
    let end = inner.find('$')?;
    let tag = &inner[..end];
    let fits = tag.chars().enumerate().all(|(i, c)| begins_name(c) || (i > 0 && c.is_ascii_digit()));
    fits.then(|| &rest[..end + 2])
}

/// Length of a comment at the beginning of `rest`; such comments nest.
fn block_comment(rest: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    loop {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += rest[at..].chars().next()?.len_utf8();
        }
    }
}
