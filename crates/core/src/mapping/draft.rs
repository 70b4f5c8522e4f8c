//! The text of a mapping file for a tracked table, written from the live table: every watched column, under its own
//! name, in the form in which a target can hold it.

use std::fmt::Write as _;

use tokio_postgres::Client;

use super::carry::carry;
use super::catalog::type_facts;
use super::names::{self, quote_ident};
use crate::db::DbError;

/// Why no file could be written.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// The internal Postgres could not be asked.
    #[error(transparent)]
    Database(#[from] DbError),
    /// No tracked table is called so.
    #[error("{0:?} is not a tracked table; run tenant-sync table track first{1}")]
    NotTracked(String, String),
    /// Tracked tables of several schemas are called so.
    #[error("several tracked tables are called {0:?}: {1}; name one with its schema: --table SCHEMA.TABLE")]
    Ambiguous(String, String),
    /// The mapping's name cannot be one.
    #[error("{0}")]
    Name(String),
}

impl From<tokio_postgres::Error> for DraftError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

/// A tracked table as the registry knows it.
struct Tracked {
    schema: String,
    table: String,
    relation: u32,
    tenant: String,
    key: Vec<String>,
    columns: Option<Vec<String>>,
}

/// A column as the file shall have it.
struct Drafted {
    name: String,
    source: String,
    type_text: String,
    expr: String,
    nullable: bool,
    /// It is text, because a target may not have the type.
    stands_for: bool,
}

/// What a mapping of the tracked table `table` is called, and the file's text. `wanted` is its name; by itself it says
/// the table, too, with or without the schema, which is no part of the mapping's name then.
///
/// # Errors
/// There is no such tracked table or more than one; the name cannot be a mapping's.
pub async fn draft(
    client: &Client,
    wanted: &str,
    table: Option<&str>,
) -> Result<(String, String), DraftError> {
    let (name, table) = named(wanted, table);
    names::check_target_name(name).map_err(DraftError::Name)?;
    let tracked = find(client, table).await?;
    let columns = columns(client, &tracked).await?;
    Ok((name.to_owned(), text(name, &tracked, &columns)))
}

fn named<'w>(wanted: &'w str, table: Option<&'w str>) -> (&'w str, &'w str) {
    let table = table.unwrap_or(wanted);
    let name = if wanted == table { wanted.rsplit('.').next().unwrap_or(wanted) } else { wanted };
    (name, table)
}

async fn find(client: &Client, wanted: &str) -> Result<Tracked, DraftError> {
    let rows = client
        .query(
            r#"select t."name", n.nspname::text, c.relname::text, c.oid, t."tenantColumn", t."keyColumns", t."columns"
               from "TrackedTable" t join pg_class c on c.oid = t."relation"::oid
               join pg_namespace n on n.oid = c.relnamespace order by 1"#,
            &[],
        )
        .await?;
    let feed_name = |row: &tokio_postgres::Row| row.get::<_, String>(0);
    let named = |row: &&tokio_postgres::Row| feed_name(row) == wanted || row.get::<_, String>(2) == wanted;
    let found: Vec<_> = rows.iter().filter(named).collect();
    let [row] = found[..] else {
        let list = |rows: &mut dyn Iterator<Item = String>| rows.collect::<Vec<_>>().join(", ");
        if found.is_empty() {
            let known = list(&mut rows.iter().map(feed_name));
            let hint = if known.is_empty() { known } else { format!("; tracked are {known}") };
            return Err(DraftError::NotTracked(wanted.to_owned(), hint));
        }
        return Err(DraftError::Ambiguous(wanted.to_owned(), list(&mut found.into_iter().map(feed_name))));
    };
    Ok(Tracked {
        schema: row.get(1),
        table: row.get(2),
        relation: row.get(3),
        tenant: row.get(4),
        key: row.get(5),
        columns: row.get(6),
    })
}

/// The columns in the table's order, each with the base of its domain, if it has one.
async fn columns(client: &Client, tracked: &Tracked) -> Result<Vec<Drafted>, DraftError> {
    const SQL: &str = "with recursive typed as ( \
                           select a.attnum, a.attname::text as name, a.attnotnull as not_null, t.oid, \
                                  a.atttypmod as modifier, t.typtype, t.typbasetype, t.typtypmod, t.typtype = 'd' as domain \
                             from pg_attribute a join pg_type t on t.oid = a.atttypid \
                            where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped \
                           union all \
                           select d.attnum, d.name, d.not_null, t.oid, d.typtypmod, t.typtype, t.typbasetype, \
                                  t.typtypmod, true \
                             from typed d join pg_type t on t.oid = d.typbasetype where d.typtype = 'd') \
                       select name, not_null, format_type(oid, modifier), modifier, domain from typed \
                        where typtype <> 'd' order by attnum";
    let mut drafted = Vec::new();
    for row in client.query(SQL, &[&tracked.relation]).await? {
        let source: String = row.get(0);
        let always = tracked.key.contains(&source) || source == tracked.tenant;
        if tracked.columns.as_ref().is_some_and(|columns| !always && !columns.contains(&source)) {
            continue;
        }
        let (type_name, modifier, domain): (String, i32, bool) = (row.get(2), row.get(3), row.get(4));
        let facts = type_facts(client, &type_name, modifier).await?;
        let plain = format!("s.{}", quote_ident(&source));
        let portable = carry(&facts).is_ok() && names::check_type(&type_name).is_ok();
        let (type_text, expr) = match (portable, &facts.element) {
            (true, _) if domain => (type_name.clone(), format!("({plain})::{type_name}")),
            (true, _) => (type_name, plain),
            (false, Some(_)) => ("text[]".to_owned(), format!("({plain})::text[]")),
            (false, None) => ("text".to_owned(), format!("({plain})::text")),
        };
        let name = target_name(&source, drafted.len());
        let nullable = !row.get::<_, bool>(1);
        drafted.push(Drafted { name, source, type_text, expr, nullable, stands_for: !portable });
    }
    Ok(drafted)
}

/// The column's own name where a target may have one like it.
fn target_name(source: &str, at: usize) -> String {
    if names::check_target_column(source).is_ok() {
        return source.to_owned();
    }
    let tame: String = source.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    let prefixed = format!("column_{tame}");
    if names::check_target_column(&prefixed).is_ok() { prefixed } else { format!("column_{}", at + 1) }
}

fn text(name: &str, tracked: &Tracked, columns: &[Drafted]) -> String {
    let mut key: Vec<&Drafted> =
        tracked.key.iter().filter_map(|key| columns.iter().find(|column| column.source == *key)).collect();
    // A first copy is led by an index, which sorts nothing as its text.
    key.sort_by_key(|column| column.stands_for);
    let key: Vec<&str> = key.into_iter().map(|column| column.name.as_str()).collect();
    let mut text = format!(
        "# {}: what of it goes to the tenants. Take out what they shall not have.\n\n\
         name = {}\nevent = {}\nversion = 1\n\n[source]\nschema = {}\ntable = {}\ntenant = {}\n\n\
         [target]\ntable = {}\nkey = [{}]\n",
        super::feed_name(&tracked.schema, &tracked.table),
        quoted(name),
        quoted(&event(name)),
        quoted(&tracked.schema),
        quoted(&tracked.table),
        quoted(&tracked.tenant),
        quoted(name),
        key.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", "),
    );
    for column in columns {
        let _ = write!(
            text,
            "\n[[column]]\nname = {}\ntype = {}\n",
            quoted(&column.name),
            quoted(&column.type_text)
        );
        if !column.nullable && !key.contains(&column.name.as_str()) {
            text.push_str("nullable = false\n");
        }
        let _ = writeln!(text, "expr = {}", quoted(&column.expr));
    }
    text
}

/// What a change is called: the mapping's name in the letters that an event may have.
fn event(name: &str) -> String {
    let tame: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    if names::check_event(&tame).is_ok() { tame } else { "row".to_owned() }
}

/// A TOML string: as it is, if it can be.
fn quoted(text: &str) -> String {
    if text.contains('\'') || text.chars().any(char::is_control) {
        return serde_json::Value::from(text).to_string();
    }
    if text.contains('"') || text.contains('\\') { format!("'{text}'") } else { format!("\"{text}\"") }
}

#[cfg(test)]
mod tests {
    use super::{Drafted, Tracked, event, named, quoted, target_name, text};
    use crate::mapping::parse;

    fn column(source: &str, type_text: &str, nullable: bool) -> Drafted {
        Drafted {
            name: target_name(source, 0),
            source: source.to_owned(),
            type_text: type_text.to_owned(),
            expr: format!("s.{}", crate::mapping::quote_ident(source)),
            nullable,
            stands_for: false,
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let tracked = Tracked {
            schema: "My \"App\"".to_owned(),
            table: "it's".to_owned(),
            relation: 0,
            tenant: "org id".to_owned(),
            key: vec!["id".to_owned()],
            columns: None,
        };
        let columns =
            [column("id", "bigint", false), column("org id", "integer", false), column("ctid", "text", true)];
        let mapping = parse("invoices.toml", &text("invoices", &tracked, &columns)).expect("a mapping");
        assert_eq!(mapping.source.relation(), "\"My \"\"App\"\"\".\"it's\"");
        assert_eq!(mapping.source.table, "My \"App\".it's");
        assert_eq!(mapping.target.key, ["id"]);
        let names: Vec<_> = mapping.columns.iter().map(|c| (c.name.as_str(), c.nullable)).collect();
        assert_eq!(names, [("id", false), ("column_org_id", false), ("column_ctid", true)]);
    }

    #[test]
    fn a_mapping_is_called_like_its_table() {
        assert_eq!(named("invoices", None), ("invoices", "invoices"));
        assert_eq!(named("app.invoices", None), ("invoices", "app.invoices"));
        assert_eq!(named("app.invoices", Some("app.invoices")), ("invoices", "app.invoices"));
        assert_eq!(named("bills", Some("app.invoices")), ("bills", "app.invoices"));
    }

    #[test]
    fn strings_stay_readable() {
        assert_eq!(quoted("a"), "\"a\"");
        assert_eq!(quoted("s.\"a\""), "'s.\"a\"'");
        assert_eq!(quoted("it's \"a\""), "\"it's \\\"a\\\"\"");
        assert_eq!(event("Invoice Lines"), "invoice_lines");
    }
}
