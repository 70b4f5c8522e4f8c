//! One job: take the destination's delivery row, give it its turn, say in the row what comes next.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::Object;
use tenant_sync_core::config::Config;
use tenant_sync_core::db::{DbError, Internal};
use tenant_sync_core::http::Client;
use tenant_sync_core::http::sign::Signer;
use tenant_sync_core::outbox::requests::{self, Delivery, Limits, Next, TriggerCall};
use tenant_sync_core::outbox::{self, Finished, Renewed};
use tenant_sync_core::queue::{DeliveryJob, Places};
use tenant_sync_core::secrets::Keyring;
use tenant_sync_core::trace::Span;
use tenant_sync_core::triggers;
use tenant_sync_core::worker::{Activity, failpoint};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::breaker::Breaker;
use crate::call::{self, Common};
use crate::chains::Manner;
use crate::flow::Flow;
use crate::meter::Meter;
use crate::pace::Paces;
use crate::spans;
use crate::told::Told;
use crate::turn::{self, Ended, Road, Turn};

/// After a fault of ours the destination is due again a little later, so that nothing spins.
const OUR_FAULT_WAIT: Duration = Duration::from_secs(5);
/// A destination that fails and finds no place comes again after this.
const CROWDED_WAIT: Duration = Duration::from_secs(1);

/// What the jobs of one worker share.
#[derive(Debug)]
pub(crate) struct Jobs {
    pub(crate) config: Arc<Config>,
    pub(crate) internal: Internal,
    pub(crate) worker: Arc<str>,
    pub(crate) keyring: Keyring,
    pub(crate) client: Client,
    pub(crate) paces: Paces,
    /// The places of this worker.
    pub(crate) places: Places,
    /// Places that destinations which fail may have: half of all.
    pub(crate) failing: Semaphore,
    pub(crate) told: Told,
    pub(crate) activity: Activity,
    pub(crate) stopping: CancellationToken,
}

/// What became of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The row was gone or is another's.
    Stale,
    /// The destination is gone or paused.
    NoDestination,
    /// Nothing is left to send.
    Done,
    /// There is more, now or later.
    More,
    /// The destination fails, and all places for such are taken.
    Crowded,
    /// The trigger was paused.
    Paused,
    /// We could not go on.
    GivenBack,
}

impl Outcome {
    /// As it is counted.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::NoDestination => "no_destination",
            Self::Done => "done",
            Self::More => "more",
            Self::Crowded => "crowded",
            Self::Paused => "paused",
            Self::GivenBack => "given_back",
        }
    }
}

impl Jobs {
    /// Runs a job to its end. Errors of ours are logged here, once.
    pub(crate) async fn run(&self, job: &DeliveryJob) -> Outcome {
        let mut span = spans::of_job(job);
        match self.try_run(job, &span).await {
            Ok(outcome) => {
                span.set("tenant_sync.outcome", || outcome.name());
                outcome
            }
            Err(error) => {
                span.fail(|| error.to_string());
                // The row's lease lapses and it is due again.
                self.told.unfinished(job, &error);
                Outcome::GivenBack
            }
        }
    }

    async fn try_run(&self, job: &DeliveryJob, span: &Span) -> Result<Outcome, DbError> {
        let lease = self.config.requests.run_lease;
        let client = self.internal.get().await?;
        let Some(delivery) = requests::take_delivery(&client, job.held, &self.worker, lease).await? else {
            return Ok(Outcome::Stale);
        };
        let Some(limits) = &delivery.destination else {
            requests::drop_delivery(&client, delivery.held).await?;
            return Ok(Outcome::NoDestination);
        };
        if limits.trigger.as_ref().is_some_and(|trigger| !trigger.active) {
            requests::drop_delivery(&client, delivery.held).await?;
            return Ok(Outcome::NoDestination);
        }
        if let Some(rest) = limits.rests_for {
            return end(&client, &delivery, Next::NotBefore(rest)).await;
        }
        let _place = if limits.failures > 0 {
            let Ok(place) = self.failing.try_acquire() else {
                outbox::give_back(&client, delivery.held, CROWDED_WAIT).await?;
                return Ok(Outcome::Crowded);
            };
            Some(place)
        } else {
            None
        };
        drop(client);
        let common =
            match limits.trigger.as_ref().map_or(Ok(Common::default()), |trigger| {
                self.common(delivery.destination_id, trigger, limits)
            }) {
                Ok(common) => common,
                Err(reason) => {
                    self.told.sealed(&delivery, &reason);
                    outbox::give_back(&self.internal.get().await?, delivery.held, OUR_FAULT_WAIT).await?;
                    return Ok(Outcome::GivenBack);
                }
            };
        self.turn(&delivery, limits, common, span).await
    }

    /// What all calls of a trigger have in common. A URL or header that cannot be used fails each call; secrets that
    /// do not open are our fault.
    fn common(&self, id: uuid::Uuid, trigger: &TriggerCall, limits: &Limits) -> Result<Common, String> {
        let secrets = triggers::open_secrets(&self.keyring, id, &trigger.key_id, &trigger.secrets)
            .map_err(|error| error.to_string())?;
        let signer = Signer::new(&secrets).map_err(|error| error.to_string())?;
        let mut common = Common {
            signer,
            timeout: trigger.timeout,
            batched: limits.batch_events > 1,
            ..Common::default()
        };
        match self.client.destination(&trigger.url) {
            Ok(destination) => common.destination = Some(destination),
            Err(error) => common.refused = Some(call::refused(&error)),
        }
        match call::read_headers(&trigger.headers) {
            Ok(headers) => common.headers = headers,
            Err(failure) => common.refused = Some(failure),
        }
        Ok(common)
    }

    fn flow(&self, delivery: &Delivery, limits: &Limits, common: Common) -> Flow {
        let settings = &self.config.requests;
        Flow {
            client: self.client.clone(),
            common: Arc::new(common),
            requests: settings.clone(),
            stopping: self.stopping.clone(),
            is_trigger: limits.trigger.is_some(),
            parallelism: usize::try_from(limits.parallelism.unwrap_or(settings.parallelism))
                .unwrap_or(1)
                .max(1),
            breaker: Breaker::new(limits.failures, settings),
            pace: self.paces.of(delivery.destination_id, limits.rate_per_second),
            places: self.places.clone(),
            meter: Meter::default(),
            began: Instant::now(),
            trace: None,
            tried: 0,
            delivered: false,
            failed: None,
            stop: None,
        }
    }

    async fn turn(
        &self,
        delivery: &Delivery,
        limits: &Limits,
        common: Common,
        span: &Span,
    ) -> Result<Outcome, DbError> {
        let settings = &self.config.requests;
        let manner = Manner {
            batch_events: usize::try_from(limits.batch_events).unwrap_or(1),
            batch_wait: limits.batch_wait,
        };
        let mut flow = self.flow(delivery, limits, common);
        flow.trace = span.context();
        let road = Road {
            internal: &self.internal,
            worker: &self.worker,
            activity: &self.activity,
            delivery,
            manner,
            span,
            told: &self.told,
        };
        let began = flow.began;
        let over = self.run_turn(road, flow).await?;
        metrics::histogram!("tenant_sync_request_turn_seconds").record(began.elapsed().as_secs_f64());
        let (ended, flow) = match over {
            Turn::Lost => return Ok(Outcome::Stale),
            Turn::Sent(flow) => (None, flow),
            Turn::Ended(ended, flow) => (Some(ended), flow),
        };
        self.tell(delivery, limits, &flow);
        let Some(ended) = ended else { return Ok(Outcome::Done) };
        let client = self.internal.get().await?;
        match ended {
            Ended::Gone => {
                self.pause(
                    &client,
                    delivery,
                    "The receiver answered that it wants no more requests (410 Gone).",
                )
                .await
            }
            Ended::GivenUp(reason) => {
                let wait = if reason.is_some() { OUR_FAULT_WAIT } else { Duration::ZERO };
                if let Some(reason) = reason {
                    self.told.unsendable_from_here(delivery, &reason);
                }
                outbox::give_back(&client, delivery.held, wait).await?;
                Ok(Outcome::GivenBack)
            }
            Ended::Over(next) => match limits.failing_for {
                Some(since)
                    if flow.is_trigger
                        && flow.failed.is_some()
                        && !flow.delivered
                        && since + flow.began.elapsed() >= settings.pause_after =>
                {
                    let reason = format!(
                        "There were only failures for {}.",
                        humantime::format_duration(Duration::from_secs(since.as_secs()))
                    );
                    self.pause(&client, delivery, &reason).await
                }
                _ => end(&client, delivery, next).await,
            },
        }
    }

    /// Runs a turn while the delivery row is ours. What comes while it runs is sent in it, too: it is [`Turn::Sent`] when
    /// nothing is left, and then its delivery row is gone.
    async fn run_turn(&self, road: Road<'_>, mut flow: Flow) -> Result<Turn, DbError> {
        let mut lost = pin!(self.keep_lease(road.delivery));
        loop {
            let turn = tokio::select! {
                turn = Box::pin(turn::run(road, flow)) => turn?,
                () = &mut lost => return Ok(Turn::Lost),
            };
            // What it did is settled; whether its row says so, too, is not sure yet.
            let _ = failpoint::reach("requests.before_end").await;
            match turn {
                Turn::Sent(so_far) if !self.end_if_nothing_waits(road.delivery).await? => flow = so_far,
                over => return Ok(over),
            }
        }
    }

    async fn end_if_nothing_waits(&self, delivery: &Delivery) -> Result<bool, DbError> {
        Ok(requests::end_if_nothing_waits(&self.internal.get().await?, delivery).await?)
    }

    /// Renews the lease; returns when it is lost.
    async fn keep_lease(&self, delivery: &Delivery) {
        let lease = self.config.requests.run_lease;
        let mut ticks = tokio::time::interval(lease / 3);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let Ok(client) = self.internal.get().await else { continue };
            match outbox::renew(&client, delivery.held, lease).await {
                Ok(Renewed::Lost) => return,
                Ok(Renewed::Ours) => {}
                Err(error) => tracing::debug!(%error, "a lease could not be renewed"),
            }
        }
    }

    async fn pause(&self, client: &Object, delivery: &Delivery, reason: &str) -> Result<Outcome, DbError> {
        if triggers::pause(client, delivery.destination_id, reason).await? {
            tracing::warn!(tenancy = delivery.tenancy_id.map(display), trigger = %delivery.destination_id,
                request = %delivery.held.request_id, reason, "a trigger was paused; `trigger resume` ends it");
        }
        requests::drop_delivery(client, delivery.held).await?;
        Ok(Outcome::Paused)
    }

    /// A destination that begins to fail is told once, and so is one that is well again.
    fn tell(&self, delivery: &Delivery, limits: &Limits, flow: &Flow) {
        match (flow.failed, limits.failing_for) {
            (Some(class), None) if !flow.delivered => self.told.fails(delivery, class),
            (Some(class), _) => {
                tracing::debug!(destination = %delivery.destination_id, %class, "requests failed");
            }
            (None, Some(failing_for)) if flow.delivered => self.told.works_again(delivery, failing_for),
            (None, _) => {}
        }
    }
}

/// Says in the delivery row that the turn is over.
async fn end(client: &Object, delivery: &Delivery, next: Next) -> Result<Outcome, DbError> {
    Ok(match requests::end_delivery(client, delivery, next).await? {
        Finished::Gone => Outcome::Done,
        Finished::Lost => Outcome::Stale,
        Finished::AskedAgain => {
            outbox::notify(client).await?;
            Outcome::More
        }
    })
}
