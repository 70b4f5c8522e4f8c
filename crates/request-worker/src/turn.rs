//! A destination's turn: read, send, settle, until nothing is due or there is a reason to stop.

use std::time::{Duration, SystemTime};

use deadpool_postgres::Object;
use tenant_sync_core::db::{DbError, Internal};
use tenant_sync_core::outbox::requests::{
    self, Attempted, Cursor, Delivery, Due, Fate, Next, Settled, Standing,
};
use tenant_sync_core::trace::{Span, SpanKind};
use tenant_sync_core::worker::{Activity, failpoint};

use crate::chains::{self, Manner};
use crate::flow::{Flow, Stop};
use crate::stream;
use crate::told::Told;

/// Requests of one read.
const READ_ROWS: i64 = 1_000;
/// Where they have keys: they are settled together.
const READ_IN_ORDER_ROWS: i64 = 500;
/// What was sent and is not settled comes again, so it is tried for a while.
const SETTLE_AGAIN: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2)];

/// What a turn works with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Road<'a> {
    pub(crate) internal: &'a Internal,
    pub(crate) worker: &'a str,
    pub(crate) activity: &'a Activity,
    pub(crate) delivery: &'a Delivery,
    pub(crate) manner: Manner,
    pub(crate) span: &'a Span,
    pub(crate) told: &'a Told,
}

/// What has come of a turn.
#[derive(Debug)]
pub(crate) enum Turn {
    /// The delivery row is another worker's.
    Lost,
    /// All that was there is sent; there may be more by now.
    Sent(Flow),
    /// It is over, though something may be left.
    Ended(Ended, Flow),
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Nothing more is to be done now.
    Over(Next),
    /// The receiver wants nothing more.
    Gone,
    /// A fault of ours, or the worker stops.
    GivenUp(Option<String>),
}

/// Runs a turn. What was sent and not settled when it is cancelled comes again.
pub(crate) async fn run(road: Road<'_>, mut flow: Flow) -> Result<Turn, DbError> {
    let mut page = road.read(None).await?;
    while !page.is_empty() {
        if road.manner.batch_events > 1 || chains::have_keys(&page) {
            if !planned(road, &mut flow, page).await? {
                return Ok(Turn::Lost);
            }
        } else {
            let Some(same) = stream::run(road, flow, page).await? else { return Ok(Turn::Lost) };
            flow = same;
        }
        if flow.stop.is_some() {
            break;
        }
        if flow.failed.is_none() {
            return Ok(Turn::Sent(flow));
        }
        page = road.read(None).await?;
    }
    let ended = match flow.stop.take() {
        None | Some(Stop::Share) => Ended::Over(Next::NotBefore(Duration::ZERO)),
        Some(Stop::Rest(wait)) => Ended::Over(Next::NotBefore(wait)),
        Some(Stop::Fill(wait)) => Ended::Over(Next::Within(wait)),
        Some(Stop::Gone) => Ended::Gone,
        Some(Stop::Ours(reason)) => Ended::GivenUp(Some(reason)),
        Some(Stop::Shutdown) => Ended::GivenUp(None),
    };
    Ok(Turn::Ended(ended, flow))
}

/// Sends a page of requests with keys, or in batches, to its end, and settles it: what may be sent next depends on it.
/// `false` = the delivery row is another worker's.
async fn planned(road: Road<'_>, flow: &mut Flow, mut page: Vec<Due>) -> Result<bool, DbError> {
    if chains::have_keys(&page) {
        page = road.read_in_order().await?;
    }
    let planned = chains::plan(page, road.manner);
    road.put_behind(&planned.blocked).await?;
    if planned.chains.is_empty() && planned.blocked.is_empty() {
        flow.stop = flow.stop.take().or(Some(planned.wait.map_or(Stop::Share, Stop::Fill)));
    }
    let attempts = flow.send(planned.chains).await;
    Ok(flow.learns(road.settle(&attempts, flow.standing(&attempts)).await?))
}

impl Road<'_> {
    async fn client(&self) -> Result<Object, DbError> {
        self.internal.get().await
    }

    pub(crate) async fn read(self, after: Option<Cursor>) -> Result<Vec<Due>, DbError> {
        let _reading = self.span.child("read", SpanKind::Client);
        let (client, destination) = (self.client().await?, self.delivery.destination_id);
        Ok(requests::due(&client, destination, after, READ_ROWS).await?)
    }

    async fn read_in_order(&self) -> Result<Vec<Due>, DbError> {
        let _reading = self.span.child("read", SpanKind::Client);
        let (client, destination) = (self.client().await?, self.delivery.destination_id);
        Ok(requests::due_in_order(&client, destination, READ_IN_ORDER_ROWS).await?)
    }

    async fn put_behind(&self, blocked: &[(String, SystemTime)]) -> Result<(), DbError> {
        if !blocked.is_empty() {
            requests::wait_behind(&self.client().await?, self.delivery.destination_id, blocked).await?;
        }
        Ok(())
    }

    pub(crate) async fn settle(self, attempts: &[Attempted], standing: Standing) -> Result<Settled, DbError> {
        if attempts.is_empty() {
            return Ok(Settled::Ours);
        }
        let _settling = self.span.child("settle", SpanKind::Client);
        // The receivers have them; whether the rows say so, too, is not sure yet.
        let _ = failpoint::reach("requests.before_settle").await;
        let mut pauses = SETTLE_AGAIN.into_iter();
        let settled = loop {
            match (self.try_to_settle(attempts, standing).await, pauses.next()) {
                (Ok(settled), _) => break settled,
                (Err(error), None) => return Err(error),
                (Err(error), Some(pause)) => {
                    tracing::debug!(destination = %self.delivery.destination_id, %error, "not settled yet");
                    tokio::time::sleep(pause).await;
                }
            }
        };
        let delivered = attempts.iter().filter(|attempt| attempt.fate == Fate::Delivered).count();
        self.activity.note(delivered as u64);
        let dead = attempts.iter().filter(|attempt| attempt.fate == Fate::Dead).count();
        if settled != Settled::Lost && dead > 0 {
            metrics::counter!("tenant_sync_requests_dead_total").increment(dead as u64);
            self.told.given_up(self.delivery, dead);
        }
        Ok(settled)
    }

    async fn try_to_settle(&self, attempts: &[Attempted], standing: Standing) -> Result<Settled, DbError> {
        Ok(requests::settle(&self.client().await?, self.delivery, self.worker, attempts, standing).await?)
    }
}

/// Whether there may be more behind a page.
pub(crate) fn is_whole(page: &[Due]) -> bool {
    i64::try_from(page.len()).is_ok_and(|rows| rows >= READ_ROWS)
}
