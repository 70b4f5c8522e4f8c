//! "Fusebox": the operator's switches, honoured by every worker within a second.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::db::{DbError, Internal};

/// How old a switch may be when it is looked at.
const MAX_AGE: Duration = Duration::from_millis(500);
/// Longest time for reading it, so that age and reading stay under a second together.
const READ_TIMEOUT: Duration = Duration::from_millis(400);

/// One switch of "Fusebox".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// `sequencerEnabled`
    Sequencer,
    /// `pollerEnabled`
    Poller,
    /// `syncEngineEnabled`
    SyncEngine,
    /// `requestsEnabled`
    Requests,
}

#[derive(Debug, Clone, Copy)]
struct Switches {
    on: [bool; 4],
}

impl Switches {
    fn is_on(self, switch: Switch) -> bool {
        self.on[switch as usize]
    }
}

#[derive(Debug, Default)]
struct Cache {
    last: Option<Switches>,
    read_at: Option<Instant>,
    /// Reads in a row that failed.
    failures: u32,
}

/// The switches, read at most twice a second however often they are looked at.
#[derive(Debug)]
pub struct Fusebox {
    internal: Internal,
    cache: Mutex<Cache>,
}

impl Fusebox {
    /// Reads nothing yet.
    #[must_use]
    pub fn new(internal: Internal) -> Self {
        Self { internal, cache: Mutex::default() }
    }

    /// Whether a switch is on. If the row cannot be read, what it said last counts; before it was read for
    /// the first time everything is off, because a switch that an operator threw must outlive our restart.
    pub async fn is_on(&self, switch: Switch) -> bool {
        let mut cache = self.cache.lock().await;
        if cache.read_at.is_none_or(|at| at.elapsed() >= MAX_AGE) {
            self.refresh(&mut cache).await;
        }
        cache.last.is_some_and(|switches| switches.is_on(switch))
    }

    /// Returns once the switch is on, `false` if asked to stop before.
    pub async fn wait_until_on(&self, switch: Switch, stopping: &CancellationToken) -> bool {
        while !stopping.is_cancelled() {
            if self.is_on(switch).await {
                return true;
            }
            stopping.run_until_cancelled(tokio::time::sleep(MAX_AGE)).await;
        }
        false
    }

    async fn refresh(&self, cache: &mut Cache) {
        let read = tokio::time::timeout(READ_TIMEOUT, read(&self.internal)).await;
        cache.read_at = Some(Instant::now());
        let reason = match read {
            Ok(Ok(switches)) => {
                cache.last = Some(switches);
                cache.failures = 0;
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        cache.failures = cache.failures.saturating_add(1);
        // One late answer is no news: what the row said last is at most a second old.
        if cache.failures == 2 {
            tracing::warn!(
                reason,
                known = cache.last.is_some(),
                "cannot read the fusebox, what it said last counts"
            );
        }
    }
}

async fn read(internal: &Internal) -> Result<Switches, DbError> {
    let client = internal.get().await?;
    let statement = client
        .prepare_cached(
            r#"select "sequencerEnabled", "pollerEnabled", "syncEngineEnabled", "requestsEnabled"
               from "Fusebox" limit 1"#,
        )
        .await?;
    // No row: nobody ever threw a switch.
    let row = client.query_opt(&statement, &[]).await?;
    Ok(Switches { on: row.map_or([true; 4], |r| std::array::from_fn(|i| r.get(i))) })
}
