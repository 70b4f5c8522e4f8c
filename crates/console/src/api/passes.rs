//! `…/sequencer/run` and `…/poller/run`: one pass, and what it did.

use std::time::{Duration, SystemTime};

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use tenant_sync_core::outbox::{self, AskedBy, Claim, ClaimLimits, Claimed};
use tenant_sync_core::queue::{self, Broker, Publisher};
use tenant_sync_core::sequence::{self, Outcome};
use tenant_sync_core::worker;
use tokio_util::sync::CancellationToken;

use super::sync;
use crate::access::Operator;
use crate::audit::{self, Change};
use crate::http::{Json, Problem, Query};
use crate::routes::{Routes, endpoint};
use crate::state::Console;

/// Longest wait for the broker.
const BROKER_TIMEOUT: Duration = Duration::from_secs(10);
const ASKS_MAX: i64 = 5_000;
/// Between visits where `sync.heartbeat` is zero.
const SWEEP: Duration = Duration::from_secs(600);

/// What a pass of the sequencer did.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct SequencerRun {
    /// `done`, `empty`, `standby` (another sequencer is at it) or `disabled` (its switch is off).
    outcome: &'static str,
    /// Rows that got an id.
    rows_given: i64,
    /// Tenancies with something pending.
    tenancies: i64,
    /// Targets that a sync was asked for.
    targets_asked: i64,
    /// Rows that refused their id and were set aside for a while.
    parked: i64,
    /// The highest id ever given.
    last_sequence_id: Option<i64>,
    /// Whether more is pending than one pass takes.
    more: bool,
}

/// What a pass of the poller did.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PollerRun {
    /// Whether the operator's switch is on; nothing is done if not.
    enabled: bool,
    /// Requests claimed.
    claimed: usize,
    /// Messages that RabbitMQ has.
    published: usize,
    /// Requests given back, because their message was not confirmed.
    given_back: u64,
    /// Wishes of applications that were folded into requests to sync or to deliver.
    folded_asks: i64,
    /// Visits of idle targets that were due.
    visits: i64,
}

pub(super) fn routes() -> Routes {
    Routes::default()
        .post(
            sync!("/sequencer/run"),
            sequencer,
            endpoint("One pass of the sequencer, and what it did").answers::<SequencerRun>(),
        )
        .post(
            sync!("/poller/run"),
            poller,
            endpoint("One pass of the poller, and what it did").answers::<PollerRun>(),
        )
}

async fn sequencer(
    State(console): State<Console>,
    operator: Operator,
    query: Query,
) -> Result<Json<SequencerRun>, Problem> {
    query.none()?;
    let client = console.internal.get().await?;
    let enabled = worker::switches(&client).await?.sequencer;
    audit::record(&client, &operator, &Change::of("sequencer.run")).await?;
    drop(client);
    let pass = if enabled {
        sequence::pass(&console.internal, console.config.sequencer.batch_size).await?
    } else {
        sequence::Pass::disabled()
    };
    Ok(Json(SequencerRun {
        outcome: match pass.outcome {
            Outcome::Disabled => "disabled",
            Outcome::Standby => "standby",
            Outcome::Empty => "empty",
            Outcome::Done => "done",
        },
        rows_given: pass.rows_given,
        tenancies: pass.tenancies,
        targets_asked: pass.targets_asked,
        parked: pass.parked,
        last_sequence_id: pass.last_sequence_id,
        more: pass.more,
    }))
}

async fn poller(
    State(console): State<Console>,
    operator: Operator,
    query: Query,
) -> Result<Json<PollerRun>, Problem> {
    query.none()?;
    let client = console.internal.get().await?;
    let switches = worker::switches(&client).await?;
    audit::record(&client, &operator, &Change::of("poller.run")).await?;
    if !switches.poller {
        return Ok(Json(PollerRun::default()));
    }
    let sync = &console.config.sync;
    let folded_asks = outbox::fold_asks(&client, ASKS_MAX, None).await?.asks;
    let interval = if sync.heartbeat.is_zero() { SWEEP } else { sync.heartbeat };
    let visits =
        outbox::enqueue_due_visits(&client, interval, i64::from(sync.visits_per_second), None).await?;
    drop(client);
    let run = PollerRun { enabled: true, folded_asks, visits, ..PollerRun::default() };
    Ok(Json(hand_over(&console, run, switches.requests).await?))
}

/// Nothing is claimed before there is a broker to publish to.
async fn hand_over(console: &Console, mut run: PollerRun, requests: bool) -> Result<PollerRun, Problem> {
    let broker =
        Broker::new(&console.config.rabbitmq, "console").map_err(|error| Problem::internal(&error))?;
    let (mut publisher, link) = queue::publisher(broker);
    let done = CancellationToken::new();
    let end = done.clone().drop_guard();
    let linked = tokio::spawn(link.run(done));
    let up = async {
        while !publisher.is_up() {
            publisher.changed().await;
        }
    };
    if tokio::time::timeout(BROKER_TIMEOUT, up).await.is_err() {
        return Err(Problem::busy("RabbitMQ cannot be reached; nothing was claimed"));
    }
    hand_syncs(console, &publisher, &mut run).await?;
    if requests {
        hand_requests(console, &publisher, &mut run).await?;
    }
    drop(end);
    if let Ok(Err(error)) = linked.await {
        tracing::debug!(%error, "the link to RabbitMQ ended");
    }
    Ok(run)
}

async fn hand_syncs(console: &Console, publisher: &Publisher, run: &mut PollerRun) -> Result<(), Problem> {
    let limits = limits(console);
    let everything = Claimed { live: SystemTime::UNIX_EPOCH, bulk: SystemTime::UNIX_EPOCH };
    let client = console.internal.get().await?;
    let Claimed { live, bulk } = outbox::claim(&client, limits, everything).await?;
    drop(client);
    let claims: Vec<Claim> = live.claims.into_iter().chain(bulk.claims).collect();
    run.claimed += claims.len();
    let published = publisher.publish(claims, limits.lease).await;
    run.published += published.confirmed;
    if !published.failed.is_empty() {
        let client = console.internal.get().await?;
        run.given_back += outbox::give_back_unpublished(&client, &published.failed).await?;
    }
    Ok(())
}

/// Destinations of HTTP requests, in the same way.
async fn hand_requests(console: &Console, publisher: &Publisher, run: &mut PollerRun) -> Result<(), Problem> {
    let limits = limits(console);
    let client = console.internal.get().await?;
    run.folded_asks += outbox::fold_delivery_asks(&client, &AskedBy::default(), ASKS_MAX).await?.asks;
    let claims = outbox::claim_deliveries(&client, limits, SystemTime::UNIX_EPOCH).await?.claims;
    drop(client);
    run.claimed += claims.len();
    let published = publisher.publish(claims, limits.lease).await;
    run.published += published.confirmed;
    if !published.failed.is_empty() {
        let client = console.internal.get().await?;
        run.given_back += outbox::give_back_deliveries(&client, &published.failed).await?;
    }
    Ok(())
}

fn limits(console: &Console) -> ClaimLimits {
    let poller = &console.config.poller;
    ClaimLimits { batch: poller.batch_size, max_queued: poller.max_queued, lease: poller.claim_lease }
}
