//! Making a tenancy's targets what a document says: all of it or nothing.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use uuid::Uuid;

use super::desk::{Checked, Desk};
use super::settings::{Settings, SettingsError, target_key};
use super::targets::{self, Filter, Target};
use crate::db::DbError;
use crate::outbox::TargetKey;

/// A target that the document names.
#[derive(Debug)]
pub struct Wanted {
    /// Which one.
    pub key: TargetKey,
    settings: Settings,
    /// Its settings as they would be stored, and what was found there.
    pub checked: Checked,
}

/// A target whose settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("target {id}: {reason}")]
pub struct Unusable {
    /// Its id in the document.
    pub id: String,
    /// Why.
    pub reason: SettingsError,
}

/// What was done, by ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// New ones.
    pub added: Vec<String>,
    /// Those with other settings than before.
    pub updated: Vec<String>,
    /// Those that were as the document says.
    pub unchanged: Vec<String>,
    /// Those that the document does not name. Their tables stay.
    pub removed: Vec<String>,
}

/// Checks what can be checked without servers first, then looks at all targets at once.
///
/// # Errors
/// The first target whose settings cannot be used.
pub async fn check_all(
    desk: &Desk,
    tenancy_id: Uuid,
    document: BTreeMap<String, Settings>,
    look: bool,
) -> Result<Vec<Wanted>, Unusable> {
    let mut keyed = Vec::new();
    for (id, settings) in document {
        let unusable = |reason| Unusable { id: id.clone(), reason };
        let key = target_key(tenancy_id, &id).map_err(unusable)?;
        settings.checked(&desk.mappings).map_err(unusable)?;
        keyed.push((key, settings));
    }
    let checks = keyed.into_iter().map(|(key, settings)| async move {
        let unusable = |reason| Unusable { id: key.database_id.clone(), reason };
        let checked = desk.check(&key, &settings, look).await.map_err(unusable)?;
        Ok(Wanted { key, settings, checked })
    });
    futures_util::future::join_all(checks).await.into_iter().collect()
}

/// Stores what is wanted. The lock on the tenancy lets two of these take turns, and the application go on.
///
/// # Errors
/// Postgres does.
pub async fn store(
    desk: &Desk,
    transaction: &Transaction<'_>,
    tenancy_id: Uuid,
    wanted: &[Wanted],
) -> Result<Applied, tokio_postgres::Error> {
    let mut applied = Applied::default();
    transaction.execute(r#"select from "Tenancy" where "id" = $1 for no key update"#, &[&tenancy_id]).await?;
    let filter = Filter { tenancy_id: Some(tenancy_id), ..Filter::default() };
    let present = targets::list(transaction, &filter).await?;
    for Wanted { key, settings, checked } in wanted {
        let same = |target: &Target| target.settings.mean(settings, key, &desk.keys);
        let id = key.database_id.clone();
        match present.iter().find(|target| target.key == *key) {
            None => {
                targets::insert(transaction, key, &checked.stored).await?;
                applied.added.push(id);
            }
            Some(target) if same(target) => applied.unchanged.push(id),
            Some(_) => {
                targets::update(transaction, key, &checked.stored).await?;
                applied.updated.push(id);
            }
        }
    }
    for target in present.iter().filter(|target| !wanted.iter().any(|wanted| wanted.key == target.key)) {
        targets::remove(transaction, &target.key).await?;
        applied.removed.push(target.key.database_id.clone());
    }
    Ok(applied)
}

/// Asks for the targets that are new or have other settings, once that is committed.
///
/// # Errors
/// Postgres does.
pub async fn ask(desk: &Desk, wanted: &[Wanted], applied: &Applied) -> Result<(), DbError> {
    let changed = |ids: &[String]| -> Vec<TargetKey> {
        wanted.iter().map(|w| w.key.clone()).filter(|key| ids.contains(&key.database_id)).collect()
    };
    desk.ask("target add", &changed(&applied.added)).await?;
    desk.ask_anew("target update", &changed(&applied.updated)).await
}
