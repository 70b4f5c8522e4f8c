//! In which order requests of a destination are sent: pure.
//!
//! A call is one HTTP request, of one event or of a batch. Calls of a chain go one after the other, each only when
//! the one before it is done; chains go side by side.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use tenant_sync_core::outbox::requests::Due;

/// Requests that are sent together.
pub(crate) type Call = Vec<Due>;
/// Calls that are sent one after the other.
pub(crate) type Chain = Vec<Call>;

/// What a read becomes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) chains: Vec<Chain>,
    /// Keys whose first request is not due, and when it will be.
    pub(crate) blocked: Vec<(String, SystemTime)>,
    /// So much later a batch that is not full is sent.
    pub(crate) wait: Option<Duration>,
}

/// How a destination wants its requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) batch_events: usize,
    pub(crate) batch_wait: Duration,
}

/// Whether some of these requests go one after the other.
pub(crate) fn have_keys(rows: &[Due]) -> bool {
    rows.iter().any(|row| row.order_key.is_some())
}

/// Puts what was read into chains. Where requests have keys, `rows` come by position, with those before due ones.
pub(crate) fn plan(rows: Vec<Due>, manner: Manner) -> Planned {
    let in_order = have_keys(&rows);
    let (rows, blocked) = if in_order { unblocked(rows) } else { (rows, Vec::new()) };
    let mut planned = Planned { blocked, ..Planned::default() };
    if manner.batch_events > 1 {
        // What was tried together is tried together again, so that the receiver knows the batch by its id.
        let (tried, fresh) =
            if in_order { (Vec::new(), rows) } else { rows.into_iter().partition(|row| row.attempts > 0) };
        let mut calls = batches(tried, manner, &mut None);
        calls.extend(batches(fresh, manner, &mut planned.wait));
        planned.chains =
            if in_order { vec![calls] } else { calls.into_iter().map(|call| vec![call]).collect() };
    } else if in_order {
        planned.chains = by_key(rows);
    } else {
        planned.chains = rows.into_iter().map(|row| vec![vec![row]]).collect();
    }
    planned.chains.retain(|chain| !chain.is_empty());
    planned
}

/// Leaves out whatever comes after a request of the same key that is not due yet.
fn unblocked(rows: Vec<Due>) -> (Vec<Due>, Vec<(String, SystemTime)>) {
    let (mut blocked, mut told) = (Vec::new(), HashSet::new());
    let mut kept = Vec::with_capacity(rows.len());
    for row in rows {
        match &row.order_key {
            Some(key) if told.contains(key) => {}
            Some(key) if !row.due_in.is_zero() => {
                told.insert(key.clone());
                blocked.push((key.clone(), row.due_at));
            }
            _ => kept.push(row),
        }
    }
    (kept, blocked)
}

fn by_key(rows: Vec<Due>) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for row in rows {
        let place = row
            .order_key
            .as_ref()
            .map_or(chains.len(), |key| *places.entry(key.clone()).or_insert(chains.len()));
        if place == chains.len() {
            chains.push(Vec::new());
        }
        chains[place].push(vec![row]);
    }
    chains
}

/// Full batches, and the rest if its first event has waited long enough or was tried before.
fn batches(rows: Vec<Due>, manner: Manner, wait: &mut Option<Duration>) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut open: Call = Vec::new();
    for row in rows {
        open.push(row);
        if open.len() >= manner.batch_events {
            calls.push(std::mem::take(&mut open));
        }
    }
    let oldest = open.iter().map(|row| row.age).max().unwrap_or_default();
    let left = manner.batch_wait.saturating_sub(oldest);
    if open.iter().any(|row| row.attempts > 0) || left.is_zero() {
        calls.extend(Some(open).filter(|call| !call.is_empty()));
    } else {
        *wait = Some(left);
    }
    calls
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const PLAIN: Manner = Manner { batch_events: 1, batch_wait: Duration::ZERO };
    const BATCH: Manner = Manner { batch_events: 3, batch_wait: Duration::from_secs(2), ..PLAIN };

    fn row(position: i64, key: Option<&str>, due: bool) -> Due {
        Due {
            id: Uuid::from_u128(u128::from(position.unsigned_abs())),
            position,
            due_at: SystemTime::UNIX_EPOCH,
            due_in: if due { Duration::ZERO } else { Duration::from_secs(5) },
            age: Duration::from_secs(1),
            attempts: 0,
            event_type: None,
            body: None,
            order_key: key.map(Into::into),
            method: None,
            url: None,
            headers: None,
            timeout: None,
        }
    }

    fn positions(planned: &Planned) -> Vec<Vec<Vec<i64>>> {
        let calls = |chain: &Chain| {
            chain.iter().map(|call| call.iter().map(|row| row.position).collect()).collect::<Vec<_>>()
        };
        planned.chains.iter().map(calls).collect()
    }

    #[test]
    fn without_a_key_each_goes_by_itself() {
        let planned = plan(vec![row(1, None, true), row(2, None, true)], PLAIN);
        assert_eq!(positions(&planned), [[[1]], [[2]]]);
    }

    #[test]
    fn a_key_goes_in_order_and_waits_for_its_first() {
        let rows = vec![
            row(1, Some("a"), true),
            row(2, Some("b"), false),
            row(3, Some("a"), true),
            row(4, Some("b"), true),
            row(5, None, true),
        ];
        let planned = plan(rows, PLAIN);
        assert_eq!(positions(&planned), vec![vec![vec![1], vec![3]], vec![vec![5]]]);
        assert_eq!(planned.blocked, [("b".to_owned(), SystemTime::UNIX_EPOCH)]);
    }

    #[test]
    fn a_batch_is_sent_when_it_is_full_or_old_or_was_tried_before() {
        let rows = |n| (1..=n).map(|p| row(p, None, true)).collect::<Vec<_>>();
        let planned = plan(rows(5), BATCH);
        assert_eq!(positions(&planned), [[[1, 2, 3]]]);
        assert_eq!(planned.wait, Some(Duration::from_secs(1)));
        let old = Manner { batch_wait: Duration::from_secs(1), ..BATCH };
        assert_eq!(positions(&plan(rows(5), old)), vec![vec![vec![1, 2, 3]], vec![vec![4, 5]]]);
        let mut tried = rows(3);
        tried[1].attempts = 1;
        assert_eq!(positions(&plan(tried, BATCH)), [[[2]]], "and not with those that were not");
        let with_keys = (1..=5).map(|p| row(p, Some("a"), true)).collect();
        assert_eq!(positions(&plan(with_keys, old)), vec![vec![vec![1, 2, 3], vec![4, 5]]]);
    }

    proptest! {
        /// Of each key, what is sent is a beginning of what was read, in its order, and nothing twice.
        #[test]
        fn strict_order_holds(rows in proptest::collection::vec((0_u8..4, any::<bool>()), 0..60), batch in 1_usize..4) {
            let rows: Vec<Due> = rows.iter().enumerate()
                .map(|(at, (key, due))| row(at as i64, Some(&key.to_string()), *due)).collect();
            let manner = Manner { batch_events: batch, ..PLAIN };
            let planned = plan(rows.clone(), manner);
            for key in 0_u8..4 {
                let key = key.to_string();
                let of_key = |row: &&Due| row.order_key.as_deref() == Some(key.as_str());
                let holding: Vec<&Chain> =
                    planned.chains.iter().filter(|chain| chain.iter().flatten().any(|r| of_key(&r))).collect();
                prop_assert!(holding.len() <= 1, "one chain a key");
                let sent: Vec<i64> =
                    planned.chains.iter().flatten().flatten().filter(of_key).map(|r| r.position).collect();
                let may: Vec<i64> = rows.iter().filter(of_key).take_while(|r| r.due_in.is_zero())
                    .map(|r| r.position).collect();
                prop_assert!(sent == may || batch > 1);
                prop_assert_eq!(&sent[..], &may[..sent.len()]);
            }
        }
    }
}
