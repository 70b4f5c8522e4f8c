//! Sending what has neither keys nor batches: reading ahead, sending and settling go on side by side, and none of them
//! waits for another before it has to.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tenant_sync_core::db::DbError;
use tenant_sync_core::outbox::requests::Due;
use tokio::time::{Instant, sleep, sleep_until};

use crate::ahead::{Ahead, Unsettled};
use crate::flow::{Flow, Stop, WAIT_IN_PLACE};
use crate::pace::Leave;
use crate::spans;
use crate::step::Step;
use crate::turn::Road;

/// Whether the delivery row is still ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streamed {
    /// All that was sent is settled.
    Settled,
    /// The delivery row is another worker's.
    Lost,
}

/// Sends `page` and what comes behind it, until a read finds no full page or something with keys, or there is a
/// reason to stop.
///
/// # Errors
/// Postgres does. What was sent before a read failed is settled.
pub(crate) async fn run(road: Road<'_>, flow: &mut Flow, page: Vec<Due>) -> Result<Streamed, DbError> {
    let (client, common, trace) = (flow.client.clone(), Arc::clone(&flow.common), flow.trace);
    let (mut ahead, mut unsettled) = (Ahead::of(page), Unsettled::default());
    let mut calls = FuturesUnordered::new();
    let (mut reading, mut settling) = (Step::default(), Step::default());
    let mut broken = None;
    let (mut dropped, mut all_dropped) = (pin!(flow.drops_calls()), false);
    let mut settle_at = pin!(sleep_until(Instant::now()));
    loop {
        let hold_back = loop {
            match may_begin(flow, &ahead, &unsettled, calls.len()) {
                Begin::Now => {
                    calls.extend(ahead.next().map(|row| spans::call(trace, &client, &common, vec![row])));
                }
                Begin::Later(wait) => break Some(wait),
                Begin::Not => break None,
            }
        };
        if flow.stop.is_some() {
            ahead.close();
        }
        if let Some(wait) = hold_back.filter(|wait| calls.is_empty() && *wait > WAIT_IN_PLACE) {
            flow.stop = Some(Stop::Rest(wait));
            continue;
        }
        if let Some(after) = ahead.reads_from().filter(|_| reading.is_idle()) {
            reading.begin(road.read(Some(after)));
        }
        let nothing_else = calls.is_empty() && ahead.is_empty() && reading.is_idle();
        if settling.is_idle() {
            if let Some(attempts) = unsettled.due(nothing_else) {
                let standing = flow.standing(&attempts);
                settling.begin(async move { road.settle(&attempts, standing).await });
            } else if nothing_else {
                break;
            }
        }
        let wait_to_settle = unsettled.due_at().filter(|_| settling.is_idle());
        if let Some(at) = wait_to_settle.filter(|at| *at != settle_at.deadline()) {
            settle_at.as_mut().reset(at);
        }
        tokio::select! {
            biased;
            settled = settling.done() => {
                unsettled.settled();
                if !flow.learns(settled?) {
                    return Ok(Streamed::Lost);
                }
            }
            page = reading.done() => match page {
                Ok(page) => ahead.take_in(page),
                Err(error) => {
                    ahead.close();
                    broken = Some(error);
                }
            },
            Some(called) = calls.next(), if !calls.is_empty() => flow.take_in(called, unsettled.more()),
            () = &mut settle_at, if wait_to_settle.is_some() => {}
            () = sleep(hold_back.unwrap_or_default()), if hold_back.is_some() => {}
            () = &mut dropped, if !all_dropped => {
                // They come again.
                (all_dropped, calls) = (true, FuturesUnordered::new());
            }
        }
    }
    broken.map_or(Ok(Streamed::Settled), Err)
}

/// Whether another call may begin.
enum Begin {
    Now,
    /// The rate says: not yet.
    Later(Duration),
    Not,
}

fn may_begin(flow: &mut Flow, ahead: &Ahead, unsettled: &Unsettled, under_way: usize) -> Begin {
    let room = under_way < flow.at_once() && unsettled.have_room_beside(under_way);
    if ahead.is_empty() || !room || !flow.goes_on() {
        return Begin::Not;
    }
    match flow.pace.ask() {
        Leave::After(wait) => Begin::Later(wait),
        Leave::Now => Begin::Now,
    }
}
