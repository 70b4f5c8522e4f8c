//! One process' attempt to have an entry: load it, or wait for who does.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tenant_sync_core::db::Internal;
use tenant_sync_core::worker::Repeats;
use uuid::Uuid;

use super::sql::{self, LEASE};
use super::{CacheError, Cached, Key, Outcome, Ttl, WAIT_MAX};

/// One task of a process looks at an entry that another process loads, this often.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What is longer is served and not kept.
const PAYLOAD_BYTES_MAX: usize = 1 << 20;

pub(super) async fn fly<E, F, L>(
    (internal, told): (&Internal, &Repeats),
    key: &Key,
    (ttl, stale_max): (Ttl, Duration),
    load: F,
) -> Outcome<E>
where
    E: Debug,
    F: FnOnce() -> L,
    L: Future<Output = Result<Value, E>>,
{
    let loader = Uuid::new_v4();
    let began = Instant::now();
    loop {
        let client = internal.get().await?;
        if sql::claim(&client, key, loader).await? {
            drop(client);
            return lead((internal, told), key, loader, ttl, load).await;
        }
        if let Some(cached) = sql::read(&client, key, stale_max).await? {
            return Ok(cached);
        }
        drop(client);
        if began.elapsed() >= WAIT_MAX {
            return Err(CacheError::Waited);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Loads under the lease. No session is held meanwhile.
async fn lead<E, F, L>(
    (internal, told): (&Internal, &Repeats),
    key: &Key,
    loader: Uuid,
    ttl: Ttl,
    load: F,
) -> Outcome<E>
where
    E: Debug,
    F: FnOnce() -> L,
    L: Future<Output = Result<Value, E>>,
{
    let loaded = tokio::select! {
        loaded = load() => loaded,
        never = renewals(internal, key, loader) => match never {},
    };
    match loaded {
        Ok(value) => {
            keep((internal, told), key, loader, &value, ttl).await;
            Ok(Cached { value: Arc::new(value), age: Duration::ZERO, stale: false })
        }
        Err(error) => {
            tracing::debug!(namespace = key.namespace, tenancy = %key.tenancy_id, ?error, "a cache entry could not be loaded");
            if let Ok(client) = internal.get().await {
                // Else the lease ends by itself.
                let _ = sql::give_up(&client, key, loader).await;
            }
            Err(CacheError::Load(error))
        }
    }
}

/// A value that cannot be kept is served all the same.
async fn keep((internal, told): (&Internal, &Repeats), key: &Key, loader: Uuid, value: &Value, ttl: Ttl) {
    let kept = async {
        let client = internal.get().await?;
        if value.to_string().len() > PAYLOAD_BYTES_MAX {
            if let Some(not_told) = told.tell(&(key.namespace, key.tenancy_id)) {
                tracing::warn!(namespace = key.namespace, tenancy = %key.tenancy_id, bytes_max = PAYLOAD_BYTES_MAX, not_told,
                    "an answer is too large to be kept in \"CacheEntry\", so it is worked out each time");
            }
            return Ok(sql::give_up(&client, key, loader).await?);
        }
        Ok::<_, tenant_sync_core::db::DbError>(sql::store(&client, key, loader, value, ttl).await?)
    };
    if let Err(error) = kept.await
        && let Some(not_told) = told.tell(&key.namespace)
    {
        tracing::warn!(namespace = key.namespace, tenancy = %key.tenancy_id, %error, not_told,
            "an answer could not be kept in \"CacheEntry\"");
    }
}

async fn renewals(internal: &Internal, key: &Key, loader: Uuid) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(LEASE / 3).await;
        if let Ok(client) = internal.get().await {
            // One that fails is followed by the next; if none succeeds, another loader takes our place.
            let _ = sql::renew(&client, key, loader).await;
        }
    }
}
