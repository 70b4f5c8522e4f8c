//! Splits an SQL expression into tokens, exactly as Postgres does for what is accepted; what could be read in
//! two ways (depending on settings) or could end the expression is refused.

/// A piece of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A word without quotes, folded to lower case as Postgres folds it.
    Word(String),
    /// A word in double quotes, without them.
    Quoted(String),
    /// A string constant, its value.
    Text(String),
    /// A number as written.
    Number(String),
    /// An operator such as `=` or `->>`.
    Operator(String),
    /// `::`
    Cast,
    /// One of `( ) [ ] , . :`
    Mark(char),
}

impl Token {
    /// The identifier that this token may be.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Word(name) | Self::Quoted(name) => Some(name),
            _ => None,
        }
    }

    /// Whether this is the keyword `word`.
    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word(w) if w == word)
    }

    pub(super) fn is_mark(&self, mark: char) -> bool {
        matches!(self, Self::Mark(m) if *m == mark)
    }
}

const OPERATOR_CHARACTERS: &str = "+-*/<>=~!@#%^&|`?";

/// The tokens of `text`, or why it cannot be an expression.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut lexer = Lexer { rest: text };
    let mut found = Vec::new();
    while let Some(token) = lexer.next_token()? {
        // Postgres joins two constants on two lines, and the second keeps the rules of the first.
        if matches!((found.last(), &token), (Some(Token::Text(_)), Token::Text(_))) {
            return Err("two string constants in a row; write one".to_owned());
        }
        found.push(token);
    }
    Ok(found)
}

struct Lexer<'t> {
    rest: &'t str,
}

impl<'t> Lexer<'t> {
    fn next_token(&mut self) -> Result<Option<Token>, String> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']);
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        let token = match first {
            '\'' => self.plain_string()?,
            '"' => self.quoted_name()?,
            '0'..='9' => self.number()?,
            '.' if self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number()?,
            '(' | ')' | '[' | ']' | ',' | '.' => {
                self.take(1);
                Token::Mark(first)
            }
            ':' if self.rest.starts_with("::") => {
                self.take(2);
                Token::Cast
            }
            ':' => {
                self.take(1);
                Token::Mark(first)
            }
            ';' => return Err("; ends a statement; an expression has none".to_owned()),
            '$' => return Err("$ begins a parameter or a dollar quote; an expression has neither".to_owned()),
            c if OPERATOR_CHARACTERS.contains(c) => self.operator()?,
            c if is_word_start(c) => self.word_or_prefixed_string()?,
            c => return Err(format!("the character {c:?} cannot be part of an expression")),
        };
        Ok(Some(token))
    }

    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        taken
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        self.take(end)
    }

    fn plain_string(&mut self) -> Result<Token, String> {
        let value = self.until_closed('\'', false)?;
        if value.contains('\\') {
            return Err("a backslash in '…' depends on a setting; write E'…' with \\\\".to_owned());
        }
        Ok(Token::Text(value))
    }

    fn quoted_name(&mut self) -> Result<Token, String> {
        let name = self.until_closed('"', false)?;
        if name.is_empty() {
            return Err("\"\" is no name".to_owned());
        }
        Ok(Token::Quoted(name))
    }

    /// What stands between two `quote`s; doubled ones stand for one.
    fn until_closed(&mut self, quote: char, escapes: bool) -> Result<String, String> {
        self.take(1);
        let mut value = String::new();
        let mut characters = self.rest.char_indices().peekable();
        while let Some((at, c)) = characters.next() {
            match c {
                '\0' => return Err("a zero byte cannot be part of an expression".to_owned()),
                '\\' if escapes => {
                    // The value is only compared with other constants: keep what was written.
                    value.push(c);
                    value.extend(characters.next().map(|(_, escaped)| escaped));
                }
                c if c == quote => match characters.peek() {
                    Some((_, next)) if *next == quote => {
                        characters.next();
                        value.push(quote);
                    }
                    _ => {
                        self.take(at + 1);
                        return Ok(value);
                    }
                },
                c => value.push(c),
            }
        }
        Err(format!("{quote} is opened and never closed"))
    }

    fn number(&mut self) -> Result<Token, String> {
        let start = self.rest;
        self.take_while(|c| c.is_ascii_digit() || c == '.');
        let exponent = self.rest.strip_prefix(['e', 'E']).map(|e| e.strip_prefix(['+', '-']).unwrap_or(e));
        if let Some(digits) = exponent.filter(|e| e.starts_with(|c: char| c.is_ascii_digit())) {
            self.rest = digits;
            self.take_while(|c| c.is_ascii_digit());
        }
        // Servers disagree about `1or`: two tokens before 15, an error since.
        if self.rest.starts_with(is_word_part) {
            return Err("a number is followed by a letter; put a blank between".to_owned());
        }
        Ok(Token::Number(start[..start.len() - self.rest.len()].to_ascii_lowercase()))
    }

    fn operator(&mut self) -> Result<Token, String> {
        let operator = self.take_while(|c| OPERATOR_CHARACTERS.contains(c));
        if operator.contains("--") || operator.contains("/*") {
            return Err("an expression has no comments; use the column's comment".to_owned());
        }
        Ok(Token::Operator(operator.to_owned()))
    }

    fn word_or_prefixed_string(&mut self) -> Result<Token, String> {
        let word = self.take_while(is_word_part).to_ascii_lowercase();
        if word == "u" && (self.rest.starts_with("&'") || self.rest.starts_with("&\"")) {
            return Err("U& depends on a setting; write the characters themselves".to_owned());
        }
        if self.rest.starts_with('\'') {
            match word.as_str() {
                "e" => return Ok(Token::Text(self.until_closed('\'', true)?)),
                "b" | "x" | "n" => return self.plain_string(),
                _ => {}
            }
        }
        Ok(Token::Word(word))
    }
}

fn is_word_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn is_word_part(c: char) -> bool {
    is_word_start(c) || c.is_ascii_digit() || c == '$'
}
