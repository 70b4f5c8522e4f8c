//! `…/sequencer/run` and `…/poller/run`: one pass, and what it did.

use std::time::{Duration, SystemTime};

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use tenant_sync_core::db::DbError;
use tenant_sync_core::outbox::{self, AskedBy, ClaimLimits, Claimed};
use tenant_sync_core::queue::{self, Broker, HandError, HandedOver, Publisher};
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
    /// Destinations of HTTP requests with requests that nobody knew of.
    woken: i64,
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
    drop(client);
    let maintained =
        outbox::maintain(&console.internal, &console.config, &mut outbox::Place::default()).await?;
    let run = PollerRun {
        enabled: true,
        folded_asks: maintained.asks,
        visits: maintained.visits,
        woken: maintained.woken,
        ..PollerRun::default()
    };
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
    let handed = hand(console, &publisher, requests, &mut run).await;
    drop(end);
    if let Ok(Err(error)) = linked.await {
        tracing::debug!(%error, "the link to RabbitMQ ended");
    }
    handed.map_err(|error| match error {
        HandError::Database(error) => error.into(),
        HandError::Failpoint(_) => Problem::internal(&error),
    })?;
    Ok(run)
}

/// What a tick of the poller does, from the beginning of everything that is due.
async fn hand(
    console: &Console,
    publisher: &Publisher,
    requests: bool,
    run: &mut PollerRun,
) -> Result<(), HandError> {
    let (internal, poller) = (&console.internal, &console.config.poller);
    let limits =
        ClaimLimits { batch: poller.batch_size, max_queued: poller.max_queued, lease: poller.claim_lease };
    let from = SystemTime::UNIX_EPOCH;
    let syncs = queue::hand_syncs(internal, publisher, limits, Claimed { live: from, bulk: from }).await?;
    run.add(syncs.claimed.live.rows + syncs.claimed.bulk.rows, &syncs);
    if requests {
        let client = internal.get().await?;
        let folded = outbox::fold_delivery_asks(&client, &AskedBy::default(), ASKS_MAX).await;
        run.folded_asks += folded.map_err(DbError::from)?.asks;
        drop(client);
        let deliveries = queue::hand_deliveries(internal, publisher, limits, from).await?;
        run.add(deliveries.claimed.rows, &deliveries);
    }
    Ok(())
}

impl PollerRun {
    fn add<S>(&mut self, claimed: usize, handed: &HandedOver<S>) {
        self.claimed += claimed;
        self.published += handed.published;
        self.given_back += handed.given_back;
    }
}
