//! Making the database itself, which no connection to it can do.

use secrecy::ExposeSecret;
use tokio_postgres::error::SqlState;

use super::Limits;
use super::error::MigrateError;
use super::session::{jittered, quote};
use crate::config::Config;
use crate::db::{DbError, Internal};

/// The database that is always there, to connect to while ours is not.
const MAINTENANCE: &str = "postgres";

/// Makes the database that `database.url` names, if it does not exist. Returns whether it was made.
///
/// # Errors
/// The server cannot be reached, or the role may not create databases.
pub async fn create_database(config: &Config) -> Result<bool, MigrateError> {
    let internal = Internal::new(&config.database, "migrate")?;
    match internal.dedicated().await {
        Ok(_) => return Ok(false),
        Err(DbError::Query(error)) if error.code() == Some(&SqlState::UNDEFINED_DATABASE) => {}
        Err(error) => return Err(error.into()),
    }
    let parsed: tokio_postgres::Config =
        config.database.url().expose_secret().parse().map_err(|_| DbError::Url)?;
    // The server takes the user's name where the string names no database.
    let name = parsed.get_dbname().or(parsed.get_user()).ok_or(DbError::Url)?;
    let (client, connection) = internal.dedicated_in(MAINTENANCE).await?;
    tokio::spawn(connection);
    let sql = format!("create database {}", quote(name));
    let limits = Limits::default();
    for _ in 1..limits.attempts {
        match client.batch_execute(&sql).await {
            Ok(()) => return Ok(true),
            Err(error) if made_by_another(&error) => return Ok(false),
            // Somebody copies the template at this moment.
            Err(error) if error.code() == Some(&SqlState::OBJECT_IN_USE) => {
                tokio::time::sleep(jittered(limits.poll)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(client.batch_execute(&sql).await.map(|()| true)?)
}

fn made_by_another(error: &tokio_postgres::Error) -> bool {
    [SqlState::DUPLICATE_DATABASE, SqlState::UNIQUE_VIOLATION].iter().any(|code| error.code() == Some(code))
}
