//! Sending what has neither keys nor batches: reading ahead, sending and settling go on side by side, and none of them
//! waits for another before it has to.

use std::pin::pin;

use tenant_sync_core::db::DbError;
use tenant_sync_core::outbox::requests::Due;
use tokio::time::{Instant, sleep, sleep_until};

use crate::flow::{Flow, Stop, WAIT_IN_PLACE};
use crate::senders::Senders;
use crate::step::Step;
use crate::turn::Road;

/// Sends `page` and what comes behind it, until a read finds no full page or something with keys, or there is a
/// reason to stop. Returns the flow when all that was sent is settled; `None` = the delivery row is another worker's.
///
/// # Errors
/// Postgres does. What was sent before a read failed is settled.
pub(crate) async fn run(road: Road<'_>, flow: Flow, page: Vec<Due>) -> Result<Option<Flow>, DbError> {
    let (mut dropped, mut all_dropped) = (pin!(flow.drops_calls()), false);
    let mut senders = Senders::new(flow, page);
    let (mut reading, mut settling) = (Step::default(), Step::default());
    let mut broken = None;
    let mut settle_at = pin!(sleep_until(Instant::now()));
    loop {
        let hold_back = senders.start();
        let wait_to_settle = {
            let mut now = senders.progress();
            if now.flow.stop.is_some() {
                now.ahead.close();
            }
            if let Some(wait) = hold_back.filter(|wait| now.under_way == 0 && *wait > WAIT_IN_PLACE) {
                now.flow.stop = Some(Stop::Rest(wait));
                continue;
            }
            if let Some(after) = now.ahead.reads_from().filter(|_| reading.is_idle()) {
                now.reading = true;
                reading.begin(road.read(Some(after)));
            }
            let nothing_else = now.under_way == 0 && now.ahead.is_empty() && reading.is_idle();
            if settling.is_idle() {
                if let Some(attempts) = now.unsettled.due(nothing_else) {
                    let standing = now.flow.standing(&attempts);
                    settling.begin(async move { road.settle(&attempts, standing).await });
                } else if nothing_else {
                    break;
                }
            }
            now.unsettled.due_at().filter(|_| settling.is_idle())
        };
        if let Some(at) = wait_to_settle.filter(|at| *at != settle_at.deadline()) {
            settle_at.as_mut().reset(at);
        }
        tokio::select! {
            biased;
            settled = settling.done() => {
                let settled = settled?;
                let mut now = senders.progress();
                now.unsettled.settled();
                if !now.flow.learns(settled) {
                    return Ok(None);
                }
            }
            page = reading.done() => {
                let mut now = senders.progress();
                now.reading = false;
                match page {
                    Ok(page) => now.ahead.take_in(page),
                    Err(error) => {
                        now.ahead.close();
                        broken = Some(error);
                    }
                }
            }
            () = senders.news() => {}
            () = &mut settle_at, if wait_to_settle.is_some() => {}
            () = sleep(hold_back.unwrap_or_default()), if hold_back.is_some() => {}
            () = &mut dropped, if !all_dropped => {
                // They come again.
                all_dropped = true;
                senders.drop_calls().await;
            }
        }
    }
    let flow = senders.end().await;
    broken.map_or(Ok(flow), Err)
}
