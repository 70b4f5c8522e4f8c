//! One job: take the request's row, run a turn on its target, say what came of it.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tenant_sync_core::config::Config;
use tenant_sync_core::db::{DbError, Internal};
use tenant_sync_core::outbox::{self, Finished, Held as Request, Renewed, Taken};
use tenant_sync_core::queue::Job;
use tenant_sync_core::registry::quarantine;
use tenant_sync_core::secrets::Keyring;
use tenant_sync_core::target::class::{ErrorClass, TargetFault};
use tenant_sync_core::trace::{Span, SpanKind};
use tenant_sync_core::worker::Activity;
use tenant_sync_core::worker::backoff::full_jitter;
use tenant_sync_core::worker::failpoint;
use tokio_util::sync::CancellationToken;

use crate::aside::{self, Aside};
use crate::error::TurnError;
use crate::plan::Plan;
use crate::progress::{self, Settings};
use crate::sessions::{Sessions, Way};
use crate::source::{Bounds, Reader, SourceError};
use crate::target::state::Owner;
use crate::told::{Failures, Told};
use crate::turn::{Report, Turn};

/// After a fault of ours the row is due again a little later, so that nothing spins.
const OUR_FAULT_WAIT: Duration = Duration::from_secs(1);
/// A turn that is still running this long after the worker was asked to stop is dropped.
const STOP_WITHIN: Duration = Duration::from_secs(4);

/// What jobs of one worker share.
#[derive(Debug)]
pub(crate) struct Jobs {
    pub(crate) config: Arc<Config>,
    pub(crate) internal: Internal,
    pub(crate) worker: Arc<str>,
    pub(crate) keyring: Keyring,
    pub(crate) plans: Vec<Plan>,
    pub(crate) sessions: Sessions,
    pub(crate) aside: Aside,
    pub(crate) told: Told,
    pub(crate) stopping: CancellationToken,
    pub(crate) activity: Activity,
}

/// What became of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The row was gone or is another's: the message was stale.
    Stale,
    /// The target is gone or paused.
    NoTarget,
    /// The target is up to date.
    UpToDate,
    /// It was asked for again, or there is more; the row is pending.
    More,
    /// The target failed; the row is due later.
    Failed,
    /// We could not go on; the row is pending, without an attempt counted.
    GivenBack,
}

impl Outcome {
    /// As it is counted.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::NoTarget => "no_target",
            Self::UpToDate => "up_to_date",
            Self::More => "more",
            Self::Failed => "failed",
            Self::GivenBack => "given_back",
        }
    }
}

impl Jobs {
    /// Runs a job to its end. Errors of ours are logged here, once.
    pub(crate) async fn run(&self, job: &Job) -> Outcome {
        let mut span = Span::of("sync", SpanKind::Consumer, job.traceparent.as_deref());
        span.set("messaging.system", || "rabbitmq");
        span.set("tenant_sync.request", || job.held.request_id.to_string());
        span.set("tenant_sync.claim", || job.held.claim);
        span.set("tenant_sync.tenancy", || job.target.tenancy_id.to_string());
        span.set("tenant_sync.target", || job.target.database_id.clone());
        match self.try_run(job, &span).await {
            Ok(outcome) => {
                span.set("tenant_sync.outcome", || outcome.name());
                outcome
            }
            Err(error) => {
                span.fail(|| error.to_string());
                // The row's lease lapses and it is due again.
                if let Some(not_told) = self.told.inside.tell(&()) {
                    tracing::warn!(tenancy = %job.target.tenancy_id, target = job.target.database_id,
                        request = %job.held.request_id, %error, not_told,
                        "a job could not be finished in the internal database");
                }
                Outcome::GivenBack
            }
        }
    }

    async fn try_run(&self, job: &Job, span: &Span) -> Result<Outcome, DbError> {
        let client = self.internal.get().await?;
        // On one connection: the settings are read after the row was taken, without waiting for that to be told.
        let (taken, settings) = tokio::join!(
            outbox::take(&client, job.held, &self.worker, self.config.sync.run_lease),
            progress::settings(&client, &job.target, &self.config.sync),
        );
        let Some(taken) = taken? else { return Ok(Outcome::Stale) };
        // Whose row it is, the row says, not the message.
        let settings = if taken.target == job.target {
            settings?
        } else {
            progress::settings(&client, &taken.target, &self.config.sync).await?
        };
        drop(client);
        let Some(settings) = settings.filter(|settings| !settings.paused) else {
            Self::end(&self.internal.get().await?, &taken, true).await?;
            return Ok(Outcome::NoTarget);
        };
        let mut plans = self.plans_of(&settings);
        let began = std::time::Instant::now();
        let turned = loop {
            let turned = self.turn_with_lease(&taken, &settings, &plans, span).await;
            // What one mapping reads is not there: the others go on without it.
            match &turned {
                Err(TurnError::Source(error @ SourceError::Mapping { name, .. })) if plans.len() > 1 => {
                    if error.is_of_schema() {
                        self.aside.put(name, error);
                    }
                    plans.retain(|plan| plan.name() != name);
                }
                _ => break turned,
            }
        };
        metrics::histogram!("tenant_sync_turn_seconds").record(began.elapsed().as_secs_f64());
        match turned {
            Ok(report) => self.succeeded(&taken, &settings, &plans, &report).await,
            Err(error) => self.failed(&taken, &settings, error).await,
        }
    }

    fn plans_of(&self, settings: &Settings) -> Vec<&Plan> {
        let wanted = |plan: &&Plan| {
            settings.mappings.as_ref().is_none_or(|names| names.iter().any(|name| name == plan.name()))
        };
        let wanted: Vec<&Plan> = self.plans.iter().filter(wanted).collect();
        let readable: Vec<&Plan> =
            wanted.iter().copied().filter(|plan| !self.aside.contains(plan.name())).collect();
        if readable.is_empty() { wanted } else { readable }
    }

    /// Runs the turn while the row's lease is renewed. A lost lease or the end of the worker ends it.
    async fn turn_with_lease(
        &self,
        taken: &Taken,
        settings: &Settings,
        plans: &[&Plan],
        span: &Span,
    ) -> Result<Report, TurnError> {
        let stop = async {
            self.stopping.cancelled().await;
            tokio::time::sleep(STOP_WITHIN).await;
        };
        tokio::select! {
            turned = Box::pin(self.turn(taken, settings, plans, span)) => turned,
            () = self.keep_lease(taken.held) => Err(TurnError::GivenUp),
            () = stop => Err(TurnError::GivenUp),
        }
    }

    /// Renews the lease; returns when it is lost.
    async fn keep_lease(&self, request: Request) {
        let lease = self.config.sync.run_lease;
        let mut ticks = tokio::time::interval(lease / 3);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let Ok(client) = self.internal.get().await else { continue };
            match outbox::renew(&client, request, lease).await {
                Ok(Renewed::Lost) => return,
                Ok(Renewed::Ours) => {}
                Err(error) => tracing::debug!(%error, "a lease could not be renewed"),
            }
        }
    }

    async fn turn(
        &self,
        taken: &Taken,
        settings: &Settings,
        plans: &[&Plan],
        span: &Span,
    ) -> Result<Report, TurnError> {
        let target = &taken.target;
        let url = self.unseal(taken, settings)?;
        let way = Way {
            url: url.expose_secret(),
            root_certificates: settings.root_certificates.as_deref(),
            readers: &settings.readers,
        };
        let connecting = span.child("session", SpanKind::Client);
        let mut held = self.sessions.get(target, &way).await?;
        drop(connecting);
        let owner = Owner {
            deployment: self.config.deployment.name.clone(),
            tenancy: target.tenancy_id,
            target: target.database_id.clone(),
        };
        let sync = &self.config.sync;
        let bounds =
            Bounds { rows: sync.batch_rows, bytes: sync.batch_bytes, largest_row: sync.max_row_bytes };
        let compare = settings.compare_in(plans);
        let turn = Turn {
            client: held.session.client(),
            means: held.means,
            schema: settings.schema.as_deref().unwrap_or(&sync.schema),
            owner: &owner,
            plans,
            readers: &settings.readers,
            fresh: held.fresh,
            reader: Reader {
                internal: &self.internal,
                tenancy: target.tenancy_id,
                plans,
                bounds,
                compare: compare.as_ref(),
            },
            config: sync,
            fill_requested: &settings.fill_requested,
            refused_digests: &settings.refused_digests,
            stopping: &self.stopping,
            span,
            told: &self.told,
        };
        let turned = turn.run().await;
        let reason = match &turned {
            Err(TurnError::Statement(error)) => Some(held.session.fault(error)),
            _ => None,
        };
        match &turned {
            Ok(_) => {
                held.fresh = false;
                self.sessions.put_back(target, held).await;
            }
            Err(error) => {
                if matches!(error, TurnError::Fault(fault) if fault.class == ErrorClass::StatementTimeout) {
                    // A COMMIT that waits for a lost standby would hold its session for ever.
                    if let Err(error) = held.session.cancel().await {
                        tracing::debug!(%error, "a waiting statement could not be cancelled");
                    }
                }
                self.sessions.close(held).await;
            }
        }
        // The session knows better than the statement why it ended.
        turned.map_err(|error| match (error, reason) {
            (TurnError::Statement(_), Some(reason)) => TurnError::Fault(reason),
            (error, _) => error,
        })
    }

    fn unseal(&self, taken: &Taken, settings: &Settings) -> Result<SecretString, TurnError> {
        let unusable =
            |why: String| TurnError::Fault(TargetFault::new(ErrorClass::Configuration).with_detail(why));
        let Some((key, sealed)) = &settings.sealed else {
            return Err(unusable("It has no connection string.".into()));
        };
        let aad =
            tenant_sync_core::secrets::target_binding(taken.target.tenancy_id, &taken.target.database_id);
        self.keyring.decrypt(key, sealed, &aad).map_err(|error| unusable(error.to_string()))
    }

    async fn succeeded(
        &self,
        taken: &Taken,
        settings: &Settings,
        plans: &[&Plan],
        report: &Report,
    ) -> Result<Outcome, DbError> {
        metrics::counter!("tenant_sync_rows_written_total").increment(report.rows);
        self.activity.note(report.rows);
        // The target has it; whether the request's row says so, too, is not sure yet.
        let _ = failpoint::reach("sync.before_finish").await;
        let client = self.internal.get().await?;
        let refuses_rows = report.refused.iter().any(|rows| *rows > 0);
        progress::prepare(&client).await?;
        let since_given = async {
            match report.oldest_change {
                Some(id) => progress::since_given(&client, id).await,
                None => Ok(None),
            }
        };
        // On one connection, in this order, without waiting in between. The row comes last.
        let (since_given, recorded, copied, succeeded, ended) = tokio::join!(
            since_given,
            progress::record(&client, &taken.target, plans, settings, report),
            quarantine::replace(&client, &taken.target, &report.quarantine),
            progress::succeeded(&client, &taken.target, refuses_rows),
            Self::end(&client, taken, report.finished),
        );
        recorded?;
        copied?;
        succeeded?;
        if let Some(seconds) = since_given? {
            // What was committed right after a pass waited for the next one.
            let at_most = seconds + self.config.sequencer.poll_interval.as_secs_f64();
            metrics::histogram!("tenant_sync_lag_seconds").record(at_most);
        }
        if settings.failures > 0 {
            tracing::info!(tenancy = %taken.target.tenancy_id, target = taken.target.database_id,
                request = %taken.held.request_id, failures = settings.failures, "the target works again");
        }
        Ok(ended?)
    }

    /// Says in the request's row that the turn is over.
    async fn end(
        client: &deadpool_postgres::Object,
        taken: &Taken,
        finished: bool,
    ) -> Result<Outcome, tokio_postgres::Error> {
        let outcome = if finished {
            match outbox::finish(client, taken.held, taken.counter).await? {
                Finished::Gone => return Ok(Outcome::UpToDate),
                Finished::Lost => return Ok(Outcome::Stale),
                Finished::AskedAgain => Outcome::More,
            }
        } else {
            outbox::continue_bulk(client, taken.held).await?;
            Outcome::More
        };
        outbox::notify(client).await?;
        Ok(outcome)
    }

    async fn failed(&self, taken: &Taken, settings: &Settings, error: TurnError) -> Result<Outcome, DbError> {
        let client = self.internal.get().await?;
        let (tenancy, target) = (taken.target.tenancy_id, taken.target.database_id.as_str());
        let request = taken.held.request_id;
        if let TurnError::Ahead(watermark) = error {
            if progress::note_rewound(&client, watermark).await? {
                metrics::counter!("tenant_sync_source_rewound_total").increment(1);
                tracing::error!(%tenancy, target, %request, watermark,
                    "the internal database has stepped back: a target was ahead of it; targets are compared and mended");
            }
            outbox::give_back(&client, taken.held, Duration::ZERO).await?;
            outbox::notify(&client).await?;
            return Ok(Outcome::GivenBack);
        }
        let Some(fault) = error.fault() else {
            let wait = match &error {
                _ if self.stopping.is_cancelled() => Duration::ZERO,
                TurnError::Source(SourceError::Mapping { .. }) => aside::FOR,
                _ => OUR_FAULT_WAIT,
            };
            match error {
                TurnError::GivenUp => {}
                TurnError::Source(_) | TurnError::Encode(_) => {
                    let mapping = match &error {
                        TurnError::Source(SourceError::Mapping { name, .. }) => Some(name.as_str()),
                        _ => None,
                    };
                    if let Some(not_told) = self.told.turns.tell(&taken.target) {
                        tracing::warn!(%tenancy, target, %request, mapping, %error, not_told,
                            "a turn failed on our side; it is tried again");
                    }
                }
                other => {
                    if let Some(not_told) = self.told.left.tell(&taken.target) {
                        tracing::info!(%tenancy, target, %request, reason = %other, not_told,
                            "a turn was left to others");
                    }
                }
            }
            outbox::give_back(&client, taken.held, wait).await?;
            return Ok(Outcome::GivenBack);
        };
        self.target_failed(&client, taken, settings, &fault).await
    }

    async fn target_failed(
        &self,
        client: &deadpool_postgres::Object,
        taken: &Taken,
        settings: &Settings,
        fault: &TargetFault,
    ) -> Result<Outcome, DbError> {
        let sync = &self.config.sync;
        let policy = fault.class.policy();
        let failures = u32::try_from(taken.attempts).unwrap_or(0);
        let backoff = full_jitter(sync.retry_base, sync.retry_max, failures, rand::random());
        let wait = backoff.max(policy.min_wait);
        metrics::counter!("tenant_sync_target_failures_total", "class" => fault.class.code()).increment(1);
        let broken_at = self.config.sync.breaker_failures;
        self.told.failure(taken, fault, wait, Failures { before: settings.failures, broken_at });
        progress::failed(client, &taken.target, fault, wait, sync.breaker_failures).await?;
        if policy.counts() {
            outbox::failed(client, taken.held, wait).await?;
        } else {
            outbox::give_back(client, taken.held, wait).await?;
        }
        Ok(Outcome::Failed)
    }
}
