//! How old the oldest change is that a target lacks. Pure, but for reading the ledger.

use std::time::Duration;

use deadpool_postgres::Transaction;
use time::OffsetDateTime;
use tokio_postgres::Error;

use super::Progress;
use super::sql::Counts;
use crate::db::kept;

/// The sequencer's passes, oldest first, as far back as they are kept.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    passes: Vec<Pass>,
}

#[derive(Debug, Clone, Copy)]
struct Pass {
    at: OffsetDateTime,
    /// The highest id given up to its end.
    last_id: i64,
    /// Transactions from here on began after its snapshot, or are among those it saw running.
    from_xid: i64,
}

/// Everything that decides the lag of a mapping in a target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) now: OffsetDateTime,
    pub(super) created_at: OffsetDateTime,
    pub(super) standing: &'a Progress,
    pub(super) counts: &'a Counts,
}

impl Ledger {
    pub(super) async fn read(snapshot: &Transaction<'_>) -> Result<Self, Error> {
        let sql =
            r#"select "at", "lastSequenceId", "fromXid"::text::int8 from "SequencerPass" order by "pass""#;
        let rows = kept(snapshot, sql, &[]).await?;
        let pass = |row: &tokio_postgres::Row| {
            Ok(Pass { at: row.try_get(0)?, last_id: row.try_get(1)?, from_xid: row.try_get(2)? })
        };
        Ok(Self { passes: rows.iter().map(pass).collect::<Result<_, Error>>()? })
    }

    /// When this id was given; `None` = before the ledger begins.
    fn given_at(&self, id: i64) -> Option<OffsetDateTime> {
        let at = self.passes.partition_point(|pass| pass.last_id < id);
        // The oldest entry says nothing of what came before it.
        (at > 0).then(|| self.passes.get(at).map(|pass| pass.at)).flatten()
    }

    /// An instant before which this transaction had not begun; `None` = unknown.
    fn not_before(&self, xid: i64) -> Option<OffsetDateTime> {
        self.passes.iter().rev().find(|pass| pass.from_xid <= xid).map(|pass| pass.at)
    }
}

/// Age of the oldest change that is not there; zero if nothing is missing.
pub(super) fn lag(facts: Facts<'_>, ledger: Option<&Ledger>) -> Duration {
    let Facts { now, created_at, standing, counts } = facts;
    // Nothing older than this is missing.
    let complete = standing.complete_as_of.unwrap_or(created_at);
    let mut oldest: Option<OffsetDateTime> = None;
    let mut missing_since = |at: OffsetDateTime| oldest = Some(oldest.map_or(at, |known| known.min(at)));
    if let Some(id) = counts.first_id {
        missing_since(ledger.and_then(|l| l.given_at(id)).map_or(complete, |at| at.max(complete)));
    }
    if let Some(xid) = counts.first_xid {
        missing_since(ledger.and_then(|l| l.not_before(xid)).map_or(complete, |at| at.max(complete)));
    }
    if counts.unknown {
        missing_since(complete);
    }
    if standing.filling || !standing.set_up {
        missing_since(standing.fill_started_at.unwrap_or(created_at));
    }
    oldest.map_or(Duration::ZERO, |at| {
        Duration::try_from(now - at).unwrap_or_default().max(Duration::from_millis(1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds)
    }

    fn ledger() -> Ledger {
        let pass = |seconds, last_id, from_xid| Pass { at: at(seconds), last_id, from_xid };
        Ledger {
            passes: vec![pass(100, 10, 1000), pass(200, 20, 2000), pass(300, 20, 3000), pass(400, 35, 4000)],
        }
    }

    fn following(complete: i64) -> Progress {
        Progress { watermark: 5, complete_as_of: Some(at(complete)), set_up: true, ..Progress::default() }
    }

    fn seconds(standing: &Progress, counts: &Counts) -> u64 {
        let facts = Facts { now: at(1000), created_at: at(50), standing, counts };
        lag(facts, Some(&ledger())).as_secs()
    }

    #[test]
    fn nothing_missing_is_no_lag() {
        assert_eq!(lag_of_nothing(), Duration::ZERO);
    }

    fn lag_of_nothing() -> Duration {
        let standing = following(10);
        lag(
            Facts { now: at(1000), created_at: at(50), standing: &standing, counts: &Counts::default() },
            None,
        )
    }

    #[test]
    fn an_id_is_as_old_as_the_pass_that_gave_it() {
        let counts = |id| Counts { first_id: Some(id), sequenced: 1, ..Counts::default() };
        assert_eq!(seconds(&following(0), &counts(11)), 800);
        assert_eq!(seconds(&following(0), &counts(20)), 800);
        assert_eq!(seconds(&following(0), &counts(21)), 600);
        // Older than the ledger, or given while we look: nothing is missing from before complete_as_of.
        assert_eq!(seconds(&following(90), &counts(7)), 910);
        assert_eq!(seconds(&following(250), &counts(20)), 750);
        assert_eq!(seconds(&following(900), &counts(99)), 100);
    }

    #[test]
    fn a_flagged_row_is_no_older_than_the_pass_that_did_not_see_it() {
        let counts = |xid| Counts { first_xid: Some(xid), flagged: 1, ..Counts::default() };
        assert_eq!(seconds(&following(0), &counts(2500)), 800);
        assert_eq!(seconds(&following(0), &counts(4000)), 600);
        assert_eq!(seconds(&following(990), &counts(4000)), 10);
        assert_eq!(seconds(&following(60), &counts(3)), 940);
    }

    #[test]
    fn a_fill_counts_from_its_beginning() {
        let counts = Counts::default();
        let filling = Progress { filling: true, fill_started_at: Some(at(700)), ..following(0) };
        assert_eq!(seconds(&filling, &counts), 300);
        assert_eq!(seconds(&Progress::default(), &counts), 950);
        let older = Counts { first_id: Some(11), sequenced: 1, ..Counts::default() };
        assert_eq!(seconds(&filling, &older), 800);
    }

    #[test]
    fn the_oldest_of_all_counts_and_a_lag_is_never_zero_while_something_is_missing() {
        let both = Counts { first_id: Some(30), first_xid: Some(2000), ..Counts::default() };
        assert_eq!(seconds(&following(0), &both), 800);
        let standing = following(2000);
        let facts = Facts { now: at(1000), created_at: at(50), standing: &standing, counts: &both };
        assert_eq!(lag(facts, Some(&ledger())), Duration::from_millis(1));
    }
}
