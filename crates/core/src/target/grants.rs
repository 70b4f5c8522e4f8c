//! SQL for the customer to paste.

use std::fmt::Write as _;

use crate::mapping::names::quote_literal;

/// A quoted identifier.
#[must_use]
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The smallest role and grants with which a target can be synchronised, with comments, as statements for
/// an administrator of the database. Works for administrators that are no superusers. Without a name it is the
/// database in which the statements are run.
///
/// The role gets no right to create schemas: the administrator creates the one that it needs.
#[must_use]
pub fn grants_sql(role: &str, database: Option<&str>, schema: &str, read_roles: &[String]) -> String {
    let (place, connect) = match database {
        Some(name) => (
            format!("the database {}", quoted(name)),
            format!("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {};", quoted(name), quoted(role)),
        ),
        None => (
            "the database that shall be filled".to_owned(),
            format!(
                "DO $$ BEGIN EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO %I', current_database(), \
                 {}); END $$;",
                quote_literal(role)
            ),
        ),
    };
    let mut sql = format!(
        "-- Run this in {place} as its administrator.\n\
         -- A role that can do nothing but fill its own schema. Choose a password of your own.\n\
         CREATE ROLE {role} LOGIN PASSWORD 'CHANGE-ME' NOSUPERUSER NOCREATEDB NOCREATEROLE;\n\
         -- TEMPORARY is for staging tables; without it large copies are slower.\n\
         {connect}\n\
         {}",
        schema_sql(schema, role),
        role = quoted(role),
    );
    if !read_roles.is_empty() {
        sql.push_str("-- Who may read. The privileges on the tables are given by the synchronisation.\n");
    }
    for reader in read_roles {
        let _ = writeln!(sql, "{}", usage_sql(schema, reader));
    }
    sql
}

/// Creates the schema and lets `role` create tables in it.
pub(super) fn schema_sql(schema: &str, role: &str) -> String {
    format!("CREATE SCHEMA IF NOT EXISTS {};\n{}\n", quoted(schema), create_sql(schema, role))
}

pub(super) fn create_sql(schema: &str, role: &str) -> String {
    format!("GRANT USAGE, CREATE ON SCHEMA {} TO {};", quoted(schema), quoted(role))
}

pub(super) fn usage_sql(schema: &str, role: &str) -> String {
    format!("GRANT USAGE ON SCHEMA {} TO {};", quoted(schema), quoted(role))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_readers_follow() {
        let sql = grants_sql("sync", Some("my\"db"), "tenant_sync", &["bi".into()]);
        assert!(sql.contains("CREATE ROLE \"sync\" LOGIN"), "{sql}");
        assert!(sql.contains("ON DATABASE \"my\"\"db\" TO \"sync\";"), "{sql}");
        assert!(sql.contains("GRANT USAGE, CREATE ON SCHEMA \"tenant_sync\" TO \"sync\";"), "{sql}");
        assert!(sql.ends_with("GRANT USAGE ON SCHEMA \"tenant_sync\" TO \"bi\";\n"), "{sql}");
        assert!(!grants_sql("r", None, "s", &[]).contains("Who may read"));
    }
}
