//! Sessions in targets, kept and reused across jobs: with thousands of mostly idle tenants connecting costs more
//! than the work.

mod slots;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tenant_sync_core::config::Sync as SyncConfig;
use tenant_sync_core::db::Internal;
use tenant_sync_core::outbox::TargetKey;
use tenant_sync_core::target::class::{ErrorClass, TargetFault};
use tenant_sync_core::target::dial::{Dialer, Session};
use tenant_sync_core::target::url::TargetUrl;

use crate::error::TurnError;
use crate::source::SourceError;
use crate::target::Means;

pub(crate) use slots::CHANNEL;
use slots::{Slot, Used};

/// An open session and the slot that allows it.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) session: Session,
    pub(crate) means: Means,
    /// No turn has used it yet.
    pub(crate) fresh: bool,
    slot: Slot,
    /// Of the settings that it was opened with: others want another session.
    opened_with: [u8; 32],
    used: Instant,
}

/// Sessions of one worker.
#[derive(Debug)]
pub(crate) struct Sessions {
    internal: Internal,
    dialer: Dialer,
    worker: Arc<str>,
    idle: Mutex<HashMap<TargetKey, Held>>,
    slots: i32,
    used: Used,
    idle_max: usize,
    idle_timeout: Duration,
    /// After the login; the dialer bounds what comes before.
    answer_within: Duration,
}

/// How to reach a target.
#[derive(Debug)]
pub(crate) struct Way<'a> {
    pub(crate) url: &'a str,
    pub(crate) root_certificates: Option<&'a str>,
    pub(crate) readers: &'a [String],
}

impl Sessions {
    pub(crate) fn new(internal: Internal, dialer: Dialer, worker: Arc<str>, config: &SyncConfig) -> Self {
        Self {
            internal,
            dialer,
            worker,
            idle: Mutex::default(),
            slots: config.target_connections,
            used: Used::default(),
            idle_max: config.idle_connections,
            idle_timeout: config.idle_timeout,
            answer_within: config.connect_timeout,
        }
    }

    /// A session in the target: the kept one, or a new one within the target's bound.
    pub(crate) async fn get(&self, target: &TargetKey, way: &Way<'_>) -> Result<Held, TurnError> {
        let opened_with = fingerprint(way);
        let kept = self.idle().remove(target);
        if let Some(kept) = kept {
            if kept.opened_with == opened_with && !kept.session.is_closed() {
                return Ok(kept);
            }
            self.close(kept).await;
        }
        let slot = self.take_slot(target).await?;
        match self.dial(target, way).await {
            Ok((session, means)) => {
                Ok(Held { session, means, fresh: true, slot, opened_with, used: Instant::now() })
            }
            Err(fault) => {
                self.release(slot).await;
                Err(TurnError::Fault(fault))
            }
        }
    }

    async fn dial(&self, target: &TargetKey, way: &Way<'_>) -> Result<(Session, Means), TargetFault> {
        let url = TargetUrl::parse(way.url)
            .map_err(|error| TargetFault::new(ErrorClass::Configuration).with_detail(error.to_string()))?;
        let session = self
            .dialer
            .connect(&url, way.root_certificates, "tenant-sync")
            .await
            .map_err(|error| error.fault())?;
        let means = tokio::time::timeout(self.answer_within, means(&session)).await.unwrap_or_else(|_| {
            Err(TargetFault::new(ErrorClass::Unreachable)
                .with_detail("It stopped answering after the login."))
        })?;
        tracing::debug!(tenancy = %target.tenancy_id, target = target.database_id, ?means, "connected");
        Ok((session, means))
    }

    async fn take_slot(&self, target: &TargetKey) -> Result<Slot, TurnError> {
        let client = self.internal.get().await.map_err(SourceError::from)?;
        let deadline = Instant::now() + slots::WAIT_FOR_SLOT;
        let mut pause = Duration::from_millis(5);
        loop {
            let slot =
                slots::take(&client, target, &self.worker, self.slots).await.map_err(SourceError::from)?;
            if let Some(slot) = slot {
                return Ok(self.used.note(target, slot));
            }
            if Instant::now() >= deadline {
                return Err(TurnError::GivenUp);
            }
            slots::ask(&client, target, &self.worker).await.map_err(SourceError::from)?;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }

    /// Keeps a session that is in order for the next job of its target.
    pub(crate) async fn put_back(&self, target: &TargetKey, mut held: Held) {
        held.used = Instant::now();
        let surplus = {
            let mut idle = self.idle();
            let oldest = if idle.len() >= self.idle_max { oldest(&idle) } else { None };
            let evicted = oldest.and_then(|key| idle.remove(&key));
            [evicted, idle.insert(target.clone(), held)]
        };
        for held in surplus.into_iter().flatten() {
            self.close(held).await;
        }
    }

    /// Ends a session and frees its slot, which stands for it until the server has ended it, too.
    pub(crate) async fn close(&self, held: Held) {
        let Held { session, slot, .. } = held;
        session.close().await;
        self.release(slot).await;
    }

    async fn release(&self, slot: Slot) {
        // If this fails, or is never reached, the next upkeep does it.
        if let Ok(client) = self.internal.get().await
            && let Err(error) = slots::release(&client, slot, &self.worker).await
        {
            tracing::debug!(%error, "a session's slot could not be given back");
        }
    }

    /// Sets the gauge of open sessions.
    pub(crate) fn export(&self) {
        let (idle, open) = (self.idle().len(), self.used.count());
        let gauge = |state: &'static str, count: usize| {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            metrics::gauge!("tenant_sync_sessions", "state" => state).set(f64::from(count));
        };
        gauge("idle", idle);
        gauge("busy", open.saturating_sub(idle));
    }

    /// Closes what was not used for long, and what other workers wait for.
    pub(crate) async fn upkeep(&self) {
        let old: Vec<(TargetKey, Held)> = {
            let mut idle = self.idle();
            idle.extract_if(|_, held| held.used.elapsed() > self.idle_timeout || held.session.is_closed())
                .collect()
        };
        futures_util::future::join_all(old.into_iter().map(|(_, held)| self.close(held))).await;
        if let Ok(client) = self.internal.get().await
            && let Err(error) = slots::release_unused(&client, &self.used, &self.worker).await
        {
            tracing::debug!(%error, "slots that are not used could not be given back");
        }
        self.give_up_wanted().await;
    }

    /// Closes idle sessions whose slot another worker waits for.
    pub(crate) async fn give_up_wanted(&self) {
        let Ok(client) = self.internal.get().await else { return };
        let Ok(wanted) = slots::wanted(&client, &self.worker).await else { return };
        drop(client);
        let held: Vec<Held> = {
            let mut idle = self.idle();
            wanted.iter().filter_map(|target| idle.remove(target)).collect()
        };
        futures_util::future::join_all(held.into_iter().map(|held| self.close(held))).await;
    }

    /// Closes all idle sessions and frees every slot of this worker: it stops.
    pub(crate) async fn close_all(&self) {
        self.idle().clear();
        if let Ok(client) = self.internal.get().await
            && let Err(error) = slots::release_all(&client, &self.worker).await
        {
            tracing::debug!(%error, "the sessions' slots could not be given back");
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, HashMap<TargetKey, Held>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What may be done in this session.
async fn means(session: &Session) -> Result<Means, TargetFault> {
    let pooled = session.behind_pooler().await?;
    let sql = "select pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMP')";
    let temporary = session
        .client()
        .query_typed(sql, &[])
        .await
        .and_then(|rows| rows.first().map_or(Ok(false), |row| row.try_get(0)))
        .map_err(|error| session.fault(&error))?;
    Ok(Means { copy: !pooled, stage: !pooled && temporary })
}

fn oldest(idle: &HashMap<TargetKey, Held>) -> Option<TargetKey> {
    idle.iter().min_by_key(|(_, held)| held.used).map(|(target, _)| target.clone())
}

fn fingerprint(way: &Way<'_>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(way.url);
    hash.update([0]);
    hash.update(way.root_certificates.unwrap_or_default());
    for reader in way.readers {
        hash.update([0]);
        hash.update(reader);
    }
    hash.finalize().into()
}
