//! The migrator: compares, locks, applies.

use super::apply::apply;
use super::error::MigrateError;
use super::list::Migrations;
use super::record::{self, Record};
use super::session::{Session, lost_or};
use super::status::{State, Status};
use super::{Decision, Limits, Observer, Outcome, foreign};
use crate::config::Config;
use crate::db::Internal;

/// Applies a list of migrations to the schema of an installation.
#[derive(Debug, Clone)]
pub struct Migrator {
    pub(super) internal: Internal,
    pub(super) migrations: Migrations,
    pub(super) limits: Limits,
}

impl Migrator {
    /// With the migrations of this program that `config` asks for.
    ///
    /// # Errors
    /// `database.url` or `database.schema` cannot be used.
    pub fn new(config: &Config) -> Result<Self, MigrateError> {
        Self::with(config, Migrations::embedded(config.database.user_tables)?)
    }

    /// With other migrations.
    ///
    /// # Errors
    /// As [`Migrator::new`].
    pub fn with(config: &Config, migrations: Migrations) -> Result<Self, MigrateError> {
        let internal = Internal::new(&config.database, "migrate")?;
        Ok(Self { internal, migrations, limits: Limits::default() })
    }

    /// With other limits than the usual ones.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What is applied and what is missing. One query; nothing is written or locked.
    ///
    /// # Errors
    /// The database cannot be asked, or `"SchemaMigration"` is not ours.
    pub async fn status(&self) -> Result<Status, MigrateError> {
        Ok(self.compare(&Session::open(&self.internal).await?).await?.0)
    }

    /// Whether this version may run on the schema as it is. One query.
    ///
    /// # Errors
    /// [`MigrateError::Missing`] names what is missing; see also [`Status::verify`].
    pub async fn check(&self) -> Result<Outcome, MigrateError> {
        let status = self.status().await?;
        status.verify()?;
        let names = status.needed();
        if names.is_empty() { Ok(up_to_date(&status)) } else { Err(MigrateError::Missing { names }) }
    }

    /// Applies what is missing, one migrator at a time. One query when nothing is.
    ///
    /// Safe to cancel: what is not recorded as finished is rolled back or goes on in the next run.
    ///
    /// # Errors
    /// The first migration that cannot be applied; those before it stay.
    pub async fn run(&self, observer: &mut dyn Observer) -> Result<Outcome, MigrateError> {
        let mut session = Session::open(&self.internal).await?;
        let (status, _) = self.compare(&session).await?;
        status.verify()?;
        if status.needed().is_empty() {
            return Ok(up_to_date(&status));
        }
        session.settle().await?;
        session.lock(&self.limits, observer).await?;
        self.apply_missing(&mut session, observer).await
    }

    /// With the lock held: what was missing a moment ago may have been applied by the one before.
    async fn apply_missing(
        &self,
        session: &mut Session,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, MigrateError> {
        let (status, records) = self.compare(session).await?;
        status.verify()?;
        let missing = status.needed();
        if missing.is_empty() {
            return Ok(up_to_date(&status));
        }
        foreign::refuse(&session.client, &session.schema, &self.migrations, &records).await?;
        let mut applied = Vec::new();
        for migration in self.migrations.iter().filter(|m| missing.contains(&m.name)) {
            if observer.before(migration) == Decision::Stop {
                let missing = missing.into_iter().filter(|name| !applied.contains(name)).collect();
                return Ok(Outcome::Stopped { applied, missing });
            }
            if applied.is_empty() {
                record::ensure_table(&mut session.client, &session.schema).await?;
            }
            tracing::info!(migration = %migration.name, "applying migration");
            let progress = records.iter().find(|r| r.name == migration.name).map(|r| r.progress.clone());
            apply(session, migration, progress.unwrap_or_default(), &self.limits).await?;
            observer.applied(migration);
            applied.push(migration.name.clone());
        }
        Ok(Outcome::Applied { names: applied })
    }

    pub(super) async fn compare(&self, session: &Session) -> Result<(Status, Vec<Record>), MigrateError> {
        let records = match record::read(&session.client, &session.schema).await {
            Err(MigrateError::Database(crate::db::DbError::Query(error))) => {
                return Err(lost_or(error, "reading what is applied"));
            }
            records => records?,
        };
        Ok((Status::compare(&self.migrations, &records), records))
    }
}

fn up_to_date(status: &Status) -> Outcome {
    Outcome::UpToDate { newer: status.names(State::Unknown) }
}
