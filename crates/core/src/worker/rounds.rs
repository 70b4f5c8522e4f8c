//! What a worker does again and again until it is asked to stop.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::shutdown::finish_step;

/// How a step is repeated.
#[derive(Debug, Clone, Copy)]
pub struct Rounds {
    /// From the beginning of one step to that of the next; a step that takes longer delays those after it.
    pub every: Duration,
    /// Whether the first step comes at once, and not only after [`Rounds::every`].
    pub at_once: bool,
    /// A step that is still running this long after the worker was asked to stop is dropped.
    pub stop_within: Duration,
    /// What is logged when steps begin to fail: once, until one succeeds again.
    pub failing: &'static str,
}

/// Rounds that are under way: `while rounds.next().await { rounds.step(…).await }`.
#[derive(Debug)]
pub struct Rounding<'a> {
    how: Rounds,
    stopping: &'a CancellationToken,
    ticks: Interval,
    told: bool,
    ended: bool,
}

impl Rounds {
    /// Begins; they end when `stopping` is cancelled.
    #[must_use]
    pub fn begin(self, stopping: &CancellationToken) -> Rounding<'_> {
        let first = Instant::now() + if self.at_once { Duration::ZERO } else { self.every };
        let mut ticks = interval_at(first, self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Rounding { how: self, stopping, ticks, told: false, ended: false }
    }
}

impl Rounding<'_> {
    /// Waits for the next round; `false` = the worker was asked to stop.
    pub async fn next(&mut self) -> bool {
        !self.ended && self.stopping.run_until_cancelled(self.ticks.tick()).await.is_some()
    }

    /// Runs a step to its end. One that fails is told, and tried again in the next round.
    pub async fn step<E: Display>(&mut self, step: impl Future<Output = Result<(), E>>) {
        match finish_step(self.stopping, self.how.stop_within, step).await {
            Some(Ok(())) => self.told = false,
            Some(Err(error)) if !self.told => {
                self.told = true;
                tracing::warn!(%error, "{}", self.how.failing);
            }
            Some(Err(_)) => {}
            None => self.ended = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUNDS: Rounds = Rounds {
        every: Duration::from_millis(1),
        at_once: true,
        stop_within: Duration::from_millis(1),
        failing: "a test fails",
    };

    #[tokio::test]
    async fn steps_are_repeated_whatever_becomes_of_them_until_the_end_is_asked_for() {
        let (stopping, mut steps) = (CancellationToken::new(), 0);
        let mut rounds = ROUNDS.begin(&stopping);
        while rounds.next().await {
            steps += 1;
            if steps == 4 {
                stopping.cancel();
            }
            rounds.step(async { if steps == 2 { Err("no luck") } else { Ok(()) } }).await;
        }
        assert_eq!(steps, 4);
    }

    #[tokio::test]
    async fn a_step_that_does_not_end_is_dropped() {
        let (stopping, mut steps) = (CancellationToken::new(), 0);
        let mut rounds = Rounds { at_once: false, ..ROUNDS }.begin(&stopping);
        while rounds.next().await {
            stopping.cancel();
            steps += 1;
            rounds.step(std::future::pending::<Result<(), &str>>()).await;
        }
        assert_eq!(steps, 1);
    }
}
