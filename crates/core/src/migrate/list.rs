//! A list of migrations as a value: the embedded ones, or a test's own.

use std::collections::BTreeSet;

use super::error::MigrateError;
use super::file::{FileProblem, Migration};
use crate::embedded::{APP_MIGRATIONS, ENGINE_MIGRATIONS};

/// Migrations in the order in which they are applied: set by set, by number within a set.
#[derive(Debug, Clone, Default)]
pub struct Migrations(Vec<Migration>);

impl Migrations {
    /// What this program brings along: the engine's, and with `user_tables` the sample application's.
    ///
    /// # Errors
    /// A file with a mistake in it; the project's tests see to it that there is none.
    pub fn embedded(user_tables: bool) -> Result<Self, MigrateError> {
        let app: &[(&str, &str)] = if user_tables { APP_MIGRATIONS } else { &[] };
        let engine = ENGINE_MIGRATIONS.iter().map(|&(file, text)| ("engine", file, text));
        Self::parse(engine.chain(app.iter().map(|&(file, text)| ("app", file, text))))
    }

    /// Reads (set, file name, text); a set's place is that of its first file.
    ///
    /// # Errors
    /// A file with a mistake in it, or a number that a set has twice.
    pub fn parse<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>,
    ) -> Result<Self, MigrateError> {
        let mut sets: Vec<&str> = Vec::new();
        let mut all: Vec<Migration> = Vec::new();
        for (set, file, text) in files {
            let refuse = |problem| MigrateError::File { name: format!("{set}/{file}"), problem };
            let migration = Migration::parse(set, file, text).map_err(refuse)?;
            if let Some(twin) = all.iter().find(|m| m.set == set && m.number == migration.number) {
                return Err(refuse(FileProblem::Number(twin.name.clone())));
            }
            if !sets.contains(&set) {
                sets.push(set);
            }
            all.push(migration);
        }
        all.sort_by_key(|m| (sets.iter().position(|s| *s == m.set), m.number));
        Ok(Self(all))
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Migration> {
        self.0.iter()
    }

    /// The sets that the list knows. A record of another set says nothing about it.
    pub(super) fn sets(&self) -> BTreeSet<&str> {
        self.0.iter().map(|m| m.set.as_str()).collect()
    }
}
