//! The worker's row in "WorkerHeartbeat": who runs, since when, seen when.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::activity::{Activity, Before};
use super::instance::Kind;
use super::rounds::Rounds;
use crate::db::{DbError, Internal};

const BEATS: Rounds = Rounds {
    every: Duration::from_secs(5),
    at_once: true,
    stop_within: Duration::from_secs(2),
    failing: "cannot write the heartbeat",
};
/// A worker that stops deletes its row; the rows of those that were killed go after a day.
const STALE_AFTER: Duration = Duration::from_secs(86_400);
const PURGE_EVERY_BEATS: u32 = 720;
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// What a worker adds to its row, as JSON. Cheap to clone; the next beat writes what was set last.
#[derive(Debug, Clone, Default)]
pub(super) struct Details(Arc<Mutex<Value>>);

impl Details {
    pub(super) fn set(&self, value: Value) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = value;
    }

    fn get(&self) -> Value {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            Value::Null => Value::Object(serde_json::Map::new()),
            value => value,
        }
    }
}

/// One worker's heart.
#[derive(Debug, Clone)]
pub(super) struct Heartbeat {
    pub(super) internal: Internal,
    pub(super) id: Arc<str>,
    pub(super) kind: Kind,
    pub(super) details: Details,
    pub(super) activity: Activity,
}

impl Heartbeat {
    /// Beats until asked to stop. A beat that fails is told once and tried again.
    pub(super) async fn run(self, stopping: CancellationToken) -> Result<(), DbError> {
        let started_at = SystemTime::now();
        let (mut beats, mut before) = (0_u32, Before::now());
        let mut rounds = BEATS.begin(&stopping);
        while rounds.next().await {
            // A beat that is under way must not come after the goodbye.
            rounds.step(self.beat(started_at, &mut before, beats.is_multiple_of(PURGE_EVERY_BEATS))).await;
            beats = beats.wrapping_add(1);
        }
        Ok(())
    }

    async fn beat(&self, started_at: SystemTime, before: &mut Before, purge: bool) -> Result<(), DbError> {
        let client = self.internal.get().await?;
        let upsert = client
            .prepare_cached(
                r#"insert into "WorkerHeartbeat" (id, kind, version, "startedAt", "lastSeenAt", details)
                   values ($1, $2, $3, $4, now(), $5)
                   on conflict (id) do update set "lastSeenAt" = now(), details = excluded.details"#,
            )
            .await?;
        let mut details = self.details.get();
        if let Some(details) = details.as_object_mut() {
            details.extend(self.activity.describe(before));
        }
        client
            .execute(&upsert, &[&&*self.id, &self.kind.name(), &crate::VERSION, &started_at, &details])
            .await?;
        if purge {
            let delete = client
                .prepare_cached(
                    r#"delete from "WorkerHeartbeat" where id in (
                           select id from "WorkerHeartbeat"
                           where "lastSeenAt" < now() - $1::float8 * interval '1 second' for update skip locked)"#,
                )
                .await?;
            client.execute(&delete, &[&STALE_AFTER.as_secs_f64()]).await?;
        }
        Ok(())
    }

    /// Deletes the row, if the database answers within a second.
    pub(super) async fn say_goodbye(&self) {
        let delete = async {
            let client = self.internal.get().await?;
            client.execute(r#"delete from "WorkerHeartbeat" where id = $1"#, &[&&*self.id]).await?;
            Ok::<_, DbError>(())
        };
        if !matches!(tokio::time::timeout(GOODBYE_TIMEOUT, delete).await, Ok(Ok(()))) {
            tracing::debug!("the heartbeat row stays until it is purged");
        }
    }
}
