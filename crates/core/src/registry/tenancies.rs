//! Every statement on "Project" and "Tenancy".

use deadpool_postgres::{GenericClient, Object, Transaction};
use time::OffsetDateTime;
use tokio_postgres::{Error, Row};
use uuid::Uuid;

/// How a tenancy is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenancyRef {
    /// By its id.
    Id(Uuid),
    /// By the value of the application's tenant column.
    Key(String),
}

/// A tenancy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenancy {
    /// "Tenancy".id
    pub id: Uuid,
    /// Whose product it belongs to.
    pub project_id: String,
    /// Branch of the project.
    pub branch_id: String,
    /// Value of the tenant column in tables of the operator's own.
    pub tenant_key: String,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// How many targets it has.
    pub targets: i64,
}

/// A tenancy to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewTenancy<'a> {
    /// Its id.
    pub id: Uuid,
    /// Made if there is none.
    pub project_id: &'a str,
    /// Branch of the project.
    pub branch_id: &'a str,
    /// `None` = the id.
    pub tenant_key: Option<&'a str>,
}

/// What people call a tenancy: its project, and its branch where that is not the usual one.
#[must_use]
pub fn name_of(project_id: &str, branch_id: &str) -> String {
    if branch_id == "main" { project_id.to_owned() } else { format!("{project_id} ({branch_id})") }
}

/// The names of these tenancies, as far as they are there.
///
/// # Errors
/// Postgres does.
pub async fn names<C: GenericClient>(client: &C, ids: &[Uuid]) -> Result<Vec<(Uuid, String)>, Error> {
    let sql = r#"select "id", "projectId", "branchId" from "Tenancy" where "id" = any ($1)"#;
    let rows = client.query(sql, &[&ids]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, name_of(row.try_get(1)?, row.try_get(2)?)))).collect()
}

/// What became of [`create`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creation {
    /// It is there now.
    Created,
    /// The project's branch has a tenancy already: this one.
    BranchTaken(Uuid),
    /// Another tenancy has the tenant key: this one.
    KeyTaken(Uuid),
}

/// What became of [`remove`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// It is gone, and its rows in tables that refer to it.
    Removed,
    /// These targets must be removed first.
    HasTargets(Vec<String>),
    /// There is no such tenancy.
    Unknown,
}

pub(super) const COLUMNS: &str = r#"t."id", t."projectId", t."branchId", t."tenantKey", t."createdAt",
    (select count(*) from "ExternalDatabase" d where d."tenancyId" = t."id")"#;

pub(super) fn read(row: &Row) -> Result<Tenancy, Error> {
    Ok(Tenancy {
        id: row.try_get(0)?,
        project_id: row.try_get(1)?,
        branch_id: row.try_get(2)?,
        tenant_key: row.try_get(3)?,
        created_at: row.try_get(4)?,
        targets: row.try_get(5)?,
    })
}

/// The tenancy, if there is one.
///
/// # Errors
/// Postgres does.
pub async fn find<C: GenericClient>(client: &C, tenancy: &TenancyRef) -> Result<Option<Tenancy>, Error> {
    let row = match tenancy {
        TenancyRef::Id(id) => {
            let sql = format!(r#"select {COLUMNS} from "Tenancy" t where t."id" = $1"#);
            client.query_opt(&sql, &[id]).await?
        }
        TenancyRef::Key(key) => {
            let sql = format!(r#"select {COLUMNS} from "Tenancy" t where t."tenantKey" = $1"#);
            client.query_opt(&sql, &[key]).await?
        }
    };
    row.as_ref().map(read).transpose()
}

/// All tenancies, or those of a project, oldest first.
///
/// # Errors
/// Postgres does.
pub async fn list<C: GenericClient>(client: &C, project_id: Option<&str>) -> Result<Vec<Tenancy>, Error> {
    let sql = format!(
        r#"select {COLUMNS} from "Tenancy" t where $1::text is null or t."projectId" = $1
           order by t."createdAt", t."id""#
    );
    client.query(&sql, &[&project_id]).await?.iter().map(read).collect()
}

/// Makes a tenancy, and its project if need be. Meant for a transaction: what it finds taken it leaves alone,
/// but the project may be new.
///
/// # Errors
/// Postgres does.
pub async fn create<C: GenericClient>(client: &C, new: NewTenancy<'_>) -> Result<Creation, Error> {
    client
        .execute(r#"insert into "Project" ("id") values ($1) on conflict do nothing"#, &[&new.project_id])
        .await?;
    let made = client
        .execute(
            r#"insert into "Tenancy" ("id", "projectId", "branchId", "tenantKey") values ($1, $2, $3, $4)
               on conflict do nothing"#,
            &[&new.id, &new.project_id, &new.branch_id, &new.tenant_key],
        )
        .await?;
    if made == 1 {
        return Ok(Creation::Created);
    }
    let by_branch = client
        .query_opt(
            r#"select "id" from "Tenancy" where "projectId" = $1 and "branchId" = $2"#,
            &[&new.project_id, &new.branch_id],
        )
        .await?;
    if let Some(row) = by_branch {
        return Ok(Creation::BranchTaken(row.try_get(0)?));
    }
    let key = new.tenant_key.map_or_else(|| new.id.to_string(), str::to_owned);
    let by_key = client.query_one(r#"select "id" from "Tenancy" where "tenantKey" = $1"#, &[&key]).await?;
    Ok(Creation::KeyTaken(by_key.try_get(0)?))
}

/// Removes a tenancy that has no targets, and with it its rows in the tables that refer to it, however many
/// they are. A target that is added meanwhile waits for the lock and then finds no tenancy.
///
/// # Errors
/// Postgres does; then nothing was removed.
pub async fn remove(client: &mut Object, id: Uuid) -> Result<Removal, Error> {
    let transaction = client.transaction().await?;
    let removal = remove_in(&transaction, id).await?;
    if removal == Removal::Removed {
        transaction.commit().await?;
    }
    Ok(removal)
}

/// The same in a transaction of the caller's.
///
/// # Errors
/// Postgres does.
pub async fn remove_in(transaction: &Transaction<'_>, id: Uuid) -> Result<Removal, Error> {
    transaction.batch_execute("set local statement_timeout = 0; set local lock_timeout = '10s'").await?;
    let locked = transaction.query_opt(r#"select from "Tenancy" where "id" = $1 for update"#, &[&id]).await?;
    if locked.is_none() {
        return Ok(Removal::Unknown);
    }
    let targets = transaction
        .query(r#"select "id" from "ExternalDatabase" where "tenancyId" = $1 order by 1"#, &[&id])
        .await?;
    if !targets.is_empty() {
        let ids = targets.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        return Ok(Removal::HasTargets(ids));
    }
    transaction.execute(r#"delete from "Tenancy" where "id" = $1"#, &[&id]).await?;
    Ok(Removal::Removed)
}
