//! The names that migrations make, read from their own statements.
//!
//! They say what must not be there before, and what a reset may drop.

use std::collections::BTreeSet;
use std::fmt;

use super::file::Migration;
use super::lexer::{self, Kind, Token};
use super::statement::Statement;

/// What shares a space of names in a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Space {
    /// Tables, sequences, views and indexes.
    Relation,
    /// Functions and procedures, whatever their arguments.
    Routine,
    /// Types and domains.
    Type,
}

/// Something in our schema, by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// Where its name must be unique.
    pub space: Space,
    /// The name, without quotes.
    pub name: String,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.space {
            Space::Relation => write!(f, "relation \"{}\"", self.name),
            Space::Routine => write!(f, "function {}", self.name),
            Space::Type => write!(f, "type \"{}\"", self.name),
        }
    }
}

/// What is there after `migrations` ran in this order: what they create, less what they drop or rename.
pub(super) fn made_by<'a>(migrations: impl IntoIterator<Item = &'a Migration>) -> BTreeSet<Object> {
    let mut made = BTreeSet::new();
    for effect in migrations.into_iter().flat_map(|m| &m.statements).flat_map(effects) {
        match effect {
            Effect::Makes(object) => {
                made.insert(object);
            }
            Effect::Drops(objects) => objects.iter().for_each(|object| {
                made.remove(object);
            }),
            Effect::Renames(from, to) => {
                made.remove(&from);
                made.insert(to);
            }
        }
    }
    made
}

/// Every name that `migrations` give to something, also to what a later one drops again.
pub(super) fn created_by<'a>(migrations: impl IntoIterator<Item = &'a Migration>) -> BTreeSet<Object> {
    let effects = migrations.into_iter().flat_map(|m| &m.statements).flat_map(effects);
    effects
        .filter_map(|effect| match effect {
            Effect::Makes(object) | Effect::Renames(_, object) => Some(object),
            Effect::Drops(_) => None,
        })
        .collect()
}

#[derive(Debug)]
enum Effect {
    Makes(Object),
    Drops(Vec<Object>),
    Renames(Object, Object),
}

/// What a statement does itself, and what the functions and blocks in it make: their text is SQL, too.
fn effects(statement: &Statement) -> Vec<Effect> {
    let inside = statement.tokens.iter().filter(|t| t.kind == Kind::Literal);
    let mut found: Vec<Effect> = inside
        .flat_map(|t| made_within(&statement.text[t.start - statement.start..t.end - statement.start]))
        .collect();
    found.extend(effect(&statement.tokens));
    found
}

/// Names that the text of a string gives to something. Text that is no SQL makes nothing.
fn made_within(literal: &str) -> Vec<Effect> {
    let Some(text) = lexer::content(literal) else { return Vec::new() };
    let Ok(tokens) = lexer::tokens(text) else { return Vec::new() };
    let mut found = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        if token.is("create") {
            found.extend(created(&tokens[index + 1..]).map(Effect::Makes));
        } else if token.kind == Kind::Literal {
            found.extend(made_within(&text[token.start..token.end]));
        }
    }
    found
}

fn effect(tokens: &[Token]) -> Option<Effect> {
    let (verb, rest) = tokens.split_first()?;
    if verb.is("create") {
        return created(rest).map(Effect::Makes);
    }
    let (space, rest) = kind(rest)?;
    let rest = without_noise(rest);
    if verb.is("drop") {
        return Some(Effect::Drops(dropped(space, rest)));
    }
    if !verb.is("alter") {
        return None;
    }
    let (name, rest) = qualified(rest)?;
    match rest {
        [rename, to, new] if rename.is("rename") && to.is("to") => {
            let to = Object { space, name: new.name()?.to_owned() };
            Some(Effect::Renames(Object { space, name: name.to_owned() }, to))
        }
        _ => None,
    }
}

fn created(rest: &[Token]) -> Option<Object> {
    const ADJECTIVES: [&str; 8] =
        ["or", "replace", "unlogged", "unique", "materialized", "recursive", "constraint", "global"];
    let adjectives = rest.iter().take_while(|t| ADJECTIVES.iter().any(|a| t.is(a))).count();
    let (space, rest) = kind(&rest[adjectives..])?;
    let (name, _) = qualified(without_noise(rest))?;
    Some(Object { space, name: name.to_owned() })
}

/// The word that says what it is, and what follows. Temporary tables and triggers are no names of a schema.
fn kind(tokens: &[Token]) -> Option<(Space, &[Token])> {
    let tokens = match tokens {
        [first, rest @ ..] if first.is("materialized") => rest,
        tokens => tokens,
    };
    let (word, rest) = tokens.split_first()?;
    let is_one_of = |words: &[&str]| words.iter().any(|w| word.is(w));
    if is_one_of(&["table", "sequence", "view", "index"]) {
        Some((Space::Relation, rest))
    } else if is_one_of(&["function", "procedure", "aggregate", "routine"]) {
        Some((Space::Routine, rest))
    } else if is_one_of(&["type", "domain"]) {
        Some((Space::Type, rest))
    } else {
        None
    }
}

fn without_noise(mut tokens: &[Token]) -> &[Token] {
    while let [first, rest @ ..] = tokens
        && ["concurrently", "if", "not", "exists", "only"].iter().any(|w| first.is(w))
    {
        tokens = rest;
    }
    tokens
}

/// The last part of `name` or `schema.name`, and what follows.
fn qualified(tokens: &[Token]) -> Option<(&str, &[Token])> {
    let (first, mut rest) = tokens.split_first()?;
    let mut name = first.name().filter(|_| !first.is("on"))?;
    while let [dot, next, more @ ..] = rest
        && dot.is_symbol('.')
    {
        name = next.name()?;
        rest = more;
    }
    Some((name, rest))
}

fn dropped(space: Space, tokens: &[Token]) -> Vec<Object> {
    let mut found = Vec::new();
    let mut depth = 0_i32;
    let mut part = tokens;
    for (index, token) in tokens.iter().enumerate() {
        depth += i32::from(token.is_symbol('(')) - i32::from(token.is_symbol(')'));
        if depth == 0 && token.is_symbol(',') {
            found.extend(qualified(part));
            part = &tokens[index + 1..];
        }
    }
    found.extend(qualified(part));
    found.into_iter().map(|(name, _)| Object { space, name: name.to_owned() }).collect()
}
