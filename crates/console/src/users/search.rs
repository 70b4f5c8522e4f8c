//! Searching names and addresses: by any part of them where `pg_trgm` may be used, else by their beginning.
//!
//! The indexes are made by the console when it starts, and not by a migration: which ones depends on what the server allows.

use std::convert::Infallible;
use std::time::Duration;

use deadpool_postgres::Object;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tenant_sync_core::db::{DbError, Internal};
use tenant_sync_core::worker::Rounds;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const ROUNDS: Rounds = Rounds {
    every: Duration::from_secs(60),
    at_once: true,
    stop_within: Duration::from_millis(500),
    failing: "the search indexes cannot be made, trying again",
};
/// Shorter texts have no trigram in their middle.
const PART_CHARS_MIN: usize = 3;

/// How a text was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Searched {
    /// Anywhere in a name or address.
    Substring,
    /// At the beginning of a name or address: `pg_trgm` may not be used, or the text is shorter than three characters.
    Prefix,
}

/// What is looked for, and how.
#[derive(Debug)]
pub(super) struct Term {
    /// Of a whole name or address.
    pattern: String,
    /// The same of the lines of "UserSearch".
    lines: String,
    /// A query for the index of beginnings, where that is the one to ask.
    beginnings: Option<String>,
    pub(super) searched: Searched,
}

impl Term {
    pub(super) fn of(tenancy_id: Uuid, text: &str, indexed: Indexed) -> Self {
        let escaped = escape(text);
        // A line of "UserSearch" has no end within it.
        let line = escaped.replace('\n', " ");
        let by_trigrams = indexed == Indexed::Trigrams;
        let part = by_trigrams && text.chars().count() >= PART_CHARS_MIN;
        let quoted = text.replace('\n', " ").replace('\\', r"\\").replace('\'', "''");
        Self {
            pattern: if part { format!("%{escaped}%") } else { format!("{escaped}%") },
            lines: if part { format!("%{line}%") } else { format!("%\n{line}%") },
            beginnings: (!by_trigrams).then(|| format!("'{tenancy_id}:{quoted}':*")),
            searched: if part { Searched::Substring } else { Searched::Prefix },
        }
    }

    /// What [`Self::test`], [`Self::matches`] and [`Self::found_by_index`] refer to, from `first` on.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &String> {
        [&self.pattern, &self.lines].into_iter().chain(self.beginnings.as_ref())
    }

    /// Whether a name or an address is meant.
    pub(super) fn test(&self, column: &str, first: usize) -> String {
        format!("lower({column}) like lower(${first})")
    }

    /// Whether the lines of "UserSearch" may be meant.
    pub(super) fn matches(&self, column: &str, first: usize) -> String {
        format!("{column} like lower(${})", first + 1)
    }

    /// The same of its row `alias`, as the index that is there has it.
    pub(super) fn found_by_index(&self, alias: &str, first: usize) -> String {
        if self.beginnings.is_some() {
            format!(
                r#"search_beginnings({alias}."tenancyId", {alias}."text") @@ lower(${})::tsquery"#,
                first + 2
            )
        } else {
            self.matches(&format!(r#"{alias}."text""#), first)
        }
    }
}

/// So that `%`, `_` and `\` mean themselves.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// What the search may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Indexed {
    /// Any part of a line.
    Trigrams,
    /// The beginning of a line, or nothing at all: then it is looked for in the same way, only more slowly.
    Beginnings,
}

pub(super) async fn indexed(client: &Object) -> Result<Indexed, Error> {
    let text = "
select exists (select from pg_class c join pg_index i on i.indexrelid = c.oid
    where c.relnamespace = current_schema()::regnamespace and i.indisvalid and c.relname = 'UserSearch_search')";
    let found = client.query_typed_one(text, &[]).await?.get(0);
    Ok(if found { Indexed::Trigrams } else { Indexed::Beginnings })
}

/// What became of the indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prepared {
    /// Any part of a name or address is found by an index.
    Trigrams,
    /// Beginnings are found by an index; why not more.
    Prefixes(String),
    /// None could be made; why.
    Nothing(String),
    /// Another console is making them.
    Elsewhere,
}

/// Makes the indexes once, in the background; what fails for another reason than missing rights is tried again.
pub(crate) async fn run(internal: Internal, stopping: CancellationToken) -> Result<(), Infallible> {
    let mut rounds = ROUNDS.begin(&stopping);
    let mut done = false;
    while !done && rounds.next().await {
        let step = async {
            match prepare(&internal).await? {
                Prepared::Elsewhere => return Ok(()),
                Prepared::Trigrams => tracing::debug!("users are searched by trigrams"),
                Prepared::Prefixes(reason) => {
                    tracing::info!(reason, "users are searched by prefixes; pg_trgm would find parts, too");
                }
                Prepared::Nothing(reason) => {
                    tracing::info!(
                        reason,
                        "there are no search indexes; they need the owner of \"ProjectUser\""
                    );
                }
            }
            done = true;
            Ok::<_, DbError>(())
        };
        rounds.step(step).await;
    }
    stopping.cancelled().await;
    Ok(())
}

/// Makes what is missing, without making writers wait. Safe to repeat; an index that an interrupted attempt left is made anew.
///
/// # Errors
/// The internal Postgres does not answer.
pub async fn prepare(internal: &Internal) -> Result<Prepared, DbError> {
    let (client, connection) = internal.dedicated().await?;
    let driven = tokio::spawn(connection);
    let prepared = prepare_with(&client).await;
    drop(client);
    driven.abort();
    Ok(prepared?)
}

async fn prepare_with(client: &Client) -> Result<Prepared, Error> {
    // Large tables take their time. Nothing is waited for with a lock that others need.
    client.batch_execute("set statement_timeout = 0").await?;
    let lock = "select pg_try_advisory_lock(1952805750, hashtext(current_schema()))";
    if !client.query_typed_one(lock, &[]).await?.get::<_, bool>(0) {
        return Ok(Prepared::Elsewhere);
    }
    let reason = match extension(client, "pg_trgm").await? {
        Ok(schema) => {
            let with_tenancy = extension(client, "btree_gin").await?.is_ok();
            match by_trigrams(client, &schema, with_tenancy).await? {
                Ok(()) => return Ok(Prepared::Trigrams),
                Err(reason) => reason,
            }
        }
        Err(reason) => reason,
    };
    Ok(match by_prefixes(client).await? {
        Ok(()) => Prepared::Prefixes(reason),
        Err(reason) => Prepared::Nothing(reason),
    })
}

/// The quoted schema of an extension, which is created if it may be.
async fn extension(client: &Client, name: &str) -> Result<Result<String, String>, Error> {
    let find = "select quote_ident(n.nspname) from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = $1";
    let mut refusal = String::new();
    for create in [format!("create extension {name} with schema public"), format!("create extension {name}")]
    {
        let found = client.query_typed(find, &[(&name, Type::TEXT)]).await?;
        if let Some(row) = found.first() {
            return Ok(Ok(row.get(0)));
        }
        match allowed(client.batch_execute(&create).await)? {
            Ok(()) => {}
            Err(reason) => refusal = reason,
        }
    }
    let found = client.query_typed(find, &[(&name, Type::TEXT)]).await?;
    Ok(found.first().map(|row| row.get(0)).ok_or(refusal))
}

async fn by_trigrams(client: &Client, schema: &str, with_tenancy: bool) -> Result<Result<(), String>, Error> {
    let tenancy = if with_tenancy { r#""tenancyId", "# } else { "" };
    let definition = format!(r#"on "UserSearch" using gin ({tenancy}"text" {schema}.gin_trgm_ops)"#);
    index(client, "UserSearch_search", &definition).await
}

/// The first 100 characters of each line; a text that is searched for is not longer.
async fn by_prefixes(client: &Client) -> Result<Result<(), String>, Error> {
    let definition = r#"on "UserSearch" using gin (search_beginnings("tenancyId", "text"))"#;
    index(client, "UserSearch_beginnings", definition).await
}

async fn index(client: &Client, name: &str, definition: &str) -> Result<Result<(), String>, Error> {
    let find = "select i.indisvalid from pg_class c join pg_index i on i.indexrelid = c.oid
        where c.relnamespace = current_schema()::regnamespace and c.relname = $1";
    let found = client.query_typed(find, &[(&name, Type::TEXT)]).await?;
    match found.first().map(|row| row.get::<_, bool>(0)) {
        Some(true) => return Ok(Ok(())),
        Some(false) => {
            let drop = format!(r#"drop index concurrently if exists "{name}""#);
            if let Err(reason) = allowed(client.batch_execute(&drop).await)? {
                return Ok(Err(reason));
            }
        }
        None => {}
    }
    allowed(client.batch_execute(&format!(r#"create index concurrently "{name}" {definition}"#)).await)
}

/// What the server does not allow or have is an answer; all else is an error.
fn allowed(outcome: Result<(), Error>) -> Result<Result<(), String>, Error> {
    let Err(error) = outcome else { return Ok(Ok(())) };
    let refusals = [
        SqlState::INSUFFICIENT_PRIVILEGE,
        SqlState::UNDEFINED_FILE,
        SqlState::FEATURE_NOT_SUPPORTED,
        SqlState::INVALID_SCHEMA_NAME,
        SqlState::UNDEFINED_OBJECT,
        SqlState::DUPLICATE_OBJECT,
    ];
    match error.as_db_error() {
        Some(said) if refusals.contains(said.code()) => Ok(Err(said.message().to_owned())),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(text: &str, indexed: Indexed) -> Term {
        Term::of(Uuid::nil(), text, indexed)
    }

    #[test]
    fn what_means_something_in_a_pattern_or_query_is_escaped() {
        let part = term(r"50%_\", Indexed::Trigrams);
        assert_eq!((part.pattern.as_str(), part.searched), (r"%50\%\_\\%", Searched::Substring));
        let beginning = term(r"o'b\", Indexed::Beginnings);
        let query = format!(r"'{}:o''b\\':*", Uuid::nil());
        assert_eq!(beginning.beginnings.as_deref(), Some(query.as_str()));
    }

    #[test]
    fn short_texts_and_servers_without_trigrams_are_searched_by_their_beginning() {
        assert_eq!(term("añ", Indexed::Trigrams).searched, Searched::Prefix);
        assert_eq!(term("añb", Indexed::Trigrams).searched, Searched::Substring);
        let plain = term("añb", Indexed::Beginnings);
        assert_eq!((plain.pattern.as_str(), plain.lines.as_str()), ("añb%", "%\nañb%"));
        assert_eq!(plain.searched, Searched::Prefix);
    }
}
