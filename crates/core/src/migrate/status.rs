//! What is applied and what is needed: a comparison of two lists, without a database.

use std::collections::{BTreeMap, BTreeSet};

use time::OffsetDateTime;

use super::error::MigrateError;
use super::file::{Migration, number_of};
use super::list::Migrations;
use super::record::Record;

/// Where a migration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Done.
    Applied,
    /// Not begun.
    Pending,
    /// Begun and not finished; the next run goes on with it.
    Unfinished,
    /// Done, with another text than the file has now.
    Changed,
    /// Recorded by a version that has more migrations than this one.
    Unknown,
}

/// A migration and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `set/file`
    pub name: String,
    /// Where it stands.
    pub state: State,
    /// Whether an older version must not run on a schema that has it.
    pub breaking: bool,
    /// When it was finished.
    pub finished_at: Option<OffsetDateTime>,
}

/// All migrations, known and recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The known ones in their order, then those that only the database knows.
    pub entries: Vec<Entry>,
}

impl Status {
    pub(super) fn compare(migrations: &Migrations, records: &[Record]) -> Self {
        let by_name: BTreeMap<&str, &Record> = records.iter().map(|r| (r.name.as_str(), r)).collect();
        let mut entries: Vec<Entry> =
            migrations.iter().map(|m| known(m, by_name.get(m.name.as_str()).copied())).collect();
        let names: BTreeSet<&str> = migrations.iter().map(|m| m.name.as_str()).collect();
        let sets = migrations.sets();
        let unknown =
            records.iter().filter(|r| !names.contains(r.name.as_str()) && sets.contains(set_of(&r.name)));
        entries.extend(unknown.map(|r| Entry {
            name: r.name.clone(),
            state: State::Unknown,
            breaking: r.breaking,
            finished_at: r.finished_at,
        }));
        Self { entries }
    }

    /// Names of the migrations in `state`.
    #[must_use]
    pub fn names(&self, state: State) -> Vec<String> {
        self.entries.iter().filter(|e| e.state == state).map(|e| e.name.clone()).collect()
    }

    /// What has to be applied, in order.
    #[must_use]
    pub fn needed(&self) -> Vec<String> {
        let needed = self.entries.iter().filter(|e| matches!(e.state, State::Pending | State::Unfinished));
        needed.map(|e| e.name.clone()).collect()
    }

    /// Refuses what neither a worker nor a migrator may build on.
    ///
    /// # Errors
    /// A newer schema that is marked as breaking, a changed file, a file that comes too late.
    pub fn verify(&self) -> Result<(), MigrateError> {
        let breaking = self.entries.iter().filter(|e| e.state == State::Unknown && e.breaking);
        let names: Vec<String> = breaking.map(|e| e.name.clone()).collect();
        if !names.is_empty() {
            return Err(MigrateError::Breaking { names });
        }
        let names = self.names(State::Changed);
        if !names.is_empty() {
            return Err(MigrateError::Changed { names });
        }
        for late in self.entries.iter().filter(|e| e.state == State::Pending) {
            let later = self.entries.iter().filter(|e| {
                e.finished_at.is_some()
                    && set_of(&e.name) == set_of(&late.name)
                    && place(&e.name) >= place(&late.name)
            });
            if let Some(after) = later.max_by_key(|e| place(&e.name)) {
                return Err(MigrateError::OutOfOrder { name: late.name.clone(), after: after.name.clone() });
            }
        }
        Ok(())
    }
}

fn known(migration: &Migration, record: Option<&Record>) -> Entry {
    let state = match record {
        None => State::Pending,
        Some(r) if r.finished_at.is_none() => State::Unfinished,
        Some(r) if r.checksum != migration.checksum => State::Changed,
        Some(_) => State::Applied,
    };
    Entry {
        name: migration.name.clone(),
        state,
        breaking: migration.breaking,
        finished_at: record.and_then(|r| r.finished_at),
    }
}

fn set_of(name: &str) -> &str {
    name.split_once('/').map_or("", |(set, _)| set)
}

fn place(name: &str) -> Option<u32> {
    number_of(name.split_once('/').map_or(name, |(_, file)| file))
}
