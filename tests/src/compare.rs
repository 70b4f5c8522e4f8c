//! Whether a target holds exactly the rows that it should: each table is computed by plain SQL on the inside, column
//! by column as the contract says, and compared with the whole table on the outside.

use tokio_postgres::Client;

use crate::database::{connect, rows};

/// From this many rows on, a difference is told by counts alone.
const ROWS_SHOWN_MAX: usize = 5000;

/// One table, as both ends show it.
#[derive(Debug, Clone)]
pub struct Compared {
    /// Its name in the target.
    pub table: String,
    /// A query on the internal database, the key first. `{tenancy}` stands for the tenancy's id.
    pub inside: String,
    /// A query on the target, in its schema, with the same columns.
    pub outside: String,
    /// How many columns both have.
    pub columns: usize,
}

/// The tables of the shipped mappings.
#[must_use]
pub fn shipped() -> Vec<Compared> {
    vec![users(), contact_channels()]
}

/// `users`
#[must_use]
pub fn users() -> Compared {
    Compared {
        table: "users".to_owned(),
        inside: r#"select u."projectUserId", u."displayName", u."profileImageUrl",
                     (select c."value" from "ContactChannel" c where c."tenancyId" = u."tenancyId"
                       and c."projectUserId" = u."projectUserId" and c."type" = 'EMAIL' and c."isPrimary"),
                     coalesce((select c."isVerified" from "ContactChannel" c where c."tenancyId" = u."tenancyId"
                       and c."projectUserId" = u."projectUserId" and c."type" = 'EMAIL' and c."isPrimary"), false),
                     coalesce(u."signedUpAt", u."createdAt"), coalesce(u."clientMetadata", '{}'),
                     coalesce(u."clientReadOnlyMetadata", '{}'), coalesce(u."serverMetadata", '{}'), u."isAnonymous"
                   from "ProjectUser" u where u."tenancyId" = '{tenancy}'"#
            .to_owned(),
        outside: "select id, display_name, profile_image_url, primary_email, primary_email_verified, signed_up_at,
                    client_metadata, client_read_only_metadata, server_metadata, is_anonymous from users"
            .to_owned(),
        columns: 10,
    }
}

/// `contact_channels`
#[must_use]
pub fn contact_channels() -> Compared {
    Compared {
        table: "contact_channels".to_owned(),
        inside: r#"select "id", "projectUserId", "type", "value", "isPrimary", "isVerified", "usedForAuth", "createdAt"
                   from "ContactChannel" where "tenancyId" = '{tenancy}'"#
            .to_owned(),
        outside: "select id, user_id, type, value, is_primary, is_verified, used_for_auth, created_at
                  from contact_channels"
            .to_owned(),
        columns: 8,
    }
}

/// Compares the whole tables: same rows, same values, nothing else.
///
/// # Errors
/// What differs, or the words of a server that refuses (a table that is not there yet).
///
/// # Panics
/// The internal database does not answer.
pub async fn equal(inside: &Client, outside: &Client, tables: &[Compared]) -> Result<(), String> {
    for table in tables {
        table.equal(inside, outside).await?;
    }
    Ok(())
}

/// A session in a target whose search path is the target's schema, as its readers have it.
///
/// # Panics
/// The server refuses.
pub async fn reader(url: &str, schema: &str) -> Client {
    let client = connect(url).await;
    client.batch_execute(&format!("set search_path = \"{schema}\"")).await.expect("sets the search path");
    client
}

impl Compared {
    async fn equal(&self, inside: &Client, outside: &Client) -> Result<(), String> {
        // Cheap and often enough different, while many rows are still on their way.
        let numbers = (number(inside, &self.inside).await?, number(outside, &self.outside).await?);
        if numbers.0 != numbers.1 && numbers.0.len().max(numbers.1.len()) > 4 {
            return Err(format!("{}: {} rows instead of {}", self.table, numbers.1, numbers.0));
        }
        let (source, copy) = (digest(&self.inside, self.columns), digest(&self.outside, self.columns));
        let (expected, found) = (
            rows(inside, &source).await.expect("the internal database answers"),
            rows(outside, &copy).await?,
        );
        if expected == found {
            return Ok(());
        }
        let count =
            |digest: &[String]| digest.concat().split('|').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        let (expected, found): (usize, usize) = (count(&expected), count(&found));
        if expected.max(found) > ROWS_SHOWN_MAX {
            return Err(format!("{}: {found} rows differ from the source's {expected}", self.table));
        }
        let expected = rows(inside, &lines(&self.inside, self.columns)).await?;
        let found = rows(outside, &lines(&self.outside, self.columns)).await?;
        let only = |these: &[String], those: &[String]| {
            let rest = these.iter().filter(|line| !those.contains(line)).take(3);
            let rest: Vec<String> = rest.map(|line| line.chars().take(300).collect()).collect();
            format!("{rest:?}")
        };
        let (missing, surplus) = (only(&expected, &found), only(&found, &expected));
        Err(format!("{}: missing {missing}, not in the source {surplus}", self.table))
    }
}

async fn number(client: &Client, query: &str) -> Result<String, String> {
    Ok(rows(client, &format!("select count(*) from ({query}) as t")).await?.concat())
}

/// One line a row; quoted, so that null, '' and a value with a comma differ.
fn lines(query: &str, columns: usize) -> String {
    let names: Vec<String> = (1..=columns).map(|i| format!("c{i}")).collect();
    let quoted: Vec<String> = names.iter().map(|name| format!("quote_nullable({name})")).collect();
    format!(
        "set time zone 'UTC'; select line from (select concat_ws(',', {}) from ({query}) as t ({})) as t (line)
         order by line collate \"C\"",
        quoted.join(", "),
        names.join(", ")
    )
}

fn digest(query: &str, columns: usize) -> String {
    let lines = lines(query, columns).replace("set time zone 'UTC';", "");
    format!(
        "set time zone 'UTC'; select count(*), md5(string_agg(line, E'\\n' order by line collate \"C\")) from ({lines}) t"
    )
}
