//! The bound on sessions in one target over all workers: a row a session in "TargetSession".
//!
//! A worker takes a slot before it dials and keeps it as long as the session lives. Where all are taken by
//! others' idle sessions, it asks for one (a NOTIFY among our own processes) and the holder closes it. The slots of
//! a worker without a heartbeat are free.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool_postgres::Object;
use tenant_sync_core::outbox::TargetKey;
use tokio_postgres::Error;
use uuid::Uuid;

/// Channel on which holders are told that somebody waits.
pub(crate) const CHANNEL: &str = "tenant_sync_slot_wanted";

/// How long to wait for a slot that another worker is to give up.
pub(super) const WAIT_FOR_SLOT: Duration = Duration::from_secs(5);

/// The slots that this worker uses. A row of ours that is not among them was lost on the way: its job was dropped
/// in the middle, or the database could not be reached when the slot was given back.
#[derive(Debug, Clone, Default)]
pub(super) struct Used(Arc<Mutex<HashSet<(TargetKey, i32)>>>);

/// A slot in use, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    key: (TargetKey, i32),
    used: Used,
}

impl Used {
    /// Notes a slot that was just taken.
    pub(super) fn note(&self, target: &TargetKey, slot: i32) -> Slot {
        let key = (target.clone(), slot);
        self.slots().insert(key.clone());
        Slot { key, used: self.clone() }
    }

    /// How many are in use.
    pub(super) fn count(&self) -> usize {
        self.slots().len()
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashSet<(TargetKey, i32)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.used.slots().remove(&self.key);
    }
}

/// Takes a free slot; `None` = all are taken.
pub(super) async fn take(
    client: &Object,
    target: &TargetKey,
    worker: &str,
    slots: i32,
) -> Result<Option<i32>, Error> {
    let statement = client
        .prepare_cached(
            r#"with dead as (
                 delete from "TargetSession" t where t."tenancyId" = $1 and t."databaseId" = $2
                   and t."workerId" <> $3
                   and not exists (select from "WorkerHeartbeat" h where h."id" = t."workerId"
                                   and h."lastSeenAt" > now() - interval '30 seconds')
                 returning t."slot")
               insert into "TargetSession" as t ("tenancyId", "databaseId", "slot", "workerId")
               select $1, $2, s.slot, $3 from generate_series(1, $4::int4) as s (slot)
               where not exists (select from "TargetSession" o where o."tenancyId" = $1 and o."databaseId" = $2
                                 and o."slot" = s.slot and o."slot" not in (select "slot" from dead))
                 and s.slot not in (select "slot" from dead)
               order by 3 limit 1
               on conflict do nothing returning t."slot""#,
        )
        .await?;
    let row =
        client.query_opt(&statement, &[&target.tenancy_id, &target.database_id, &worker, &slots]).await?;
    row.map(|row| row.try_get(0)).transpose()
}

/// Asks whoever holds the oldest slot to give it up.
pub(super) async fn ask(client: &Object, target: &TargetKey, worker: &str) -> Result<(), Error> {
    let statement = client
        .prepare_cached(
            r#"with asked as (
                 update "TargetSession" t set "wantedBy" = $3
                 where (t."tenancyId", t."databaseId", t."slot") in (
                   select o."tenancyId", o."databaseId", o."slot" from "TargetSession" o
                   where o."tenancyId" = $1 and o."databaseId" = $2 order by o."takenAt" limit 1)
                 returning t."workerId")
               select pg_notify($4, asked."workerId") from asked"#,
        )
        .await?;
    client.query(&statement, &[&target.tenancy_id, &target.database_id, &worker, &CHANNEL]).await?;
    Ok(())
}

/// Gives a slot back.
pub(super) async fn release(client: &Object, slot: Slot, worker: &str) -> Result<(), Error> {
    let statement = client
        .prepare_cached(
            r#"delete from "TargetSession"
               where "tenancyId" = $1 and "databaseId" = $2 and "slot" = $3 and "workerId" = $4"#,
        )
        .await?;
    let (target, number) = &slot.key;
    client.execute(&statement, &[&target.tenancy_id, &target.database_id, number, &worker]).await?;
    Ok(())
}

/// Gives back what this worker holds and does not use; what was taken just now is left alone.
pub(super) async fn release_unused(client: &Object, used: &Used, worker: &str) -> Result<u64, Error> {
    let used: Vec<(TargetKey, i32)> = used.slots().iter().cloned().collect();
    let tenancies: Vec<Uuid> = used.iter().map(|(target, _)| target.tenancy_id).collect();
    let databases: Vec<&str> = used.iter().map(|(target, _)| target.database_id.as_str()).collect();
    let slots: Vec<i32> = used.iter().map(|(_, slot)| *slot).collect();
    let statement = client
        .prepare_cached(
            r#"delete from "TargetSession" t
               where t."workerId" = $1 and t."takenAt" < now() - interval '10 seconds'
                 and (t."tenancyId", t."databaseId", t."slot") not in (
                   select u.tenancy, u.database, u.slot
                   from unnest($2::uuid[], $3::text[], $4::int4[]) as u (tenancy, database, slot))"#,
        )
        .await?;
    client.execute(&statement, &[&worker, &tenancies, &databases, &slots]).await
}

/// Gives all slots of a worker back.
pub(super) async fn release_all(client: &Object, worker: &str) -> Result<(), Error> {
    client.execute(r#"delete from "TargetSession" where "workerId" = $1"#, &[&worker]).await?;
    Ok(())
}

/// Targets whose slot somebody else wants from this worker.
pub(super) async fn wanted(client: &Object, worker: &str) -> Result<Vec<TargetKey>, Error> {
    let statement = client
        .prepare_cached(
            r#"select "tenancyId", "databaseId" from "TargetSession" where "workerId" = $1 and "wantedBy" is not null"#,
        )
        .await?;
    let rows = client.query(&statement, &[&worker]).await?;
    rows.iter()
        .map(|row| Ok(TargetKey { tenancy_id: row.try_get(0)?, database_id: row.try_get(1)? }))
        .collect()
}
