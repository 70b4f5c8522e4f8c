//! Whether a tenancy's key can be anybody's in the tracked tables.

use deadpool_postgres::GenericClient;

/// A tracked table in which no row can be of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// The name of its feed.
    pub name: String,
    /// Its tenant column, and the column's type.
    pub tenant_column: String,
    /// As Postgres writes it.
    pub type_name: String,
}

/// The tracked tables in which `tenant_key` is the text of no value of the tenant column: `04711` where numbers are
/// kept. Its rows are found nowhere there.
///
/// # Errors
/// Postgres does.
pub async fn strangers<C: GenericClient>(
    client: &C,
    tenant_key: &str,
) -> Result<Vec<Stranger>, tokio_postgres::Error> {
    let tracked = client
        .query(
            r#"select t."name", a.attname::text, format_type(a.atttypid, a.atttypmod)
               from "TrackedTable" t
               join pg_attribute a on a.attrelid = t."relation" and a.attname = t."tenantColumn" and not a.attisdropped
               order by 1"#,
            &[],
        )
        .await?;
    let mut strangers = Vec::new();
    for row in tracked {
        let (name, tenant_column, type_name): (String, String, String) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let sql = format!("select tenant_value($1, null::{type_name}) is null");
        if client.query_one(&sql, &[&tenant_key]).await?.try_get(0)? {
            strangers.push(Stranger { name, tenant_column, type_name });
        }
    }
    Ok(strangers)
}
