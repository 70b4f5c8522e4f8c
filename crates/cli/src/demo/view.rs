//! The live view: a table that is refreshed in place on a terminal, else a line a second.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use tenant_sync_core::registry::targets::Filter;
use tenant_sync_core::status::{self, TargetStatus};

use super::prepare::Stage;
use crate::output::{Output, table};

/// What was shown.
pub(super) struct Seen {
    /// No target lacks anything.
    pub(super) settled: bool,
}

/// The view on the stage's targets.
pub(super) struct View<'a> {
    stage: &'a Stage,
    output: Output,
    began: Instant,
    in_place: bool,
    /// Lines to go up before the next picture.
    lines: usize,
}

impl<'a> View<'a> {
    pub(super) fn new(output: Output, stage: &'a Stage) -> Self {
        let in_place = std::io::stdout().is_terminal() && output.is_for_people();
        Self { stage, output, began: Instant::now(), in_place, lines: 0 }
    }

    /// Shows what is there, again and again.
    pub(super) async fn run(&mut self) -> anyhow::Result<()> {
        loop {
            self.show().await?;
            self.pause().await;
        }
    }

    pub(super) async fn pause(&self) {
        tokio::time::sleep(if self.in_place { Duration::from_millis(250) } else { Duration::from_secs(1) })
            .await;
    }

    /// Shows what is there now.
    pub(super) async fn show(&mut self) -> anyhow::Result<Seen> {
        let mut targets =
            status::read(&self.stage.internal, &self.stage.mappings, &Filter::default()).await?;
        targets.sort_by_cached_key(|target| self.name(target));
        if self.in_place {
            self.redraw(&targets);
        } else {
            self.output.progress(&self.line(&targets));
        }
        let settled = |target: &TargetStatus| {
            target.target.state == "ok"
                && target.mappings.iter().all(|m| m.backlog_rows == 0 && m.lag.is_zero() && !m.filling)
        };
        Ok(Seen { settled: targets.iter().all(settled) })
    }

    fn name(&self, status: &TargetStatus) -> String {
        let known = self.stage.targets.iter().find(|target| target.key == status.target.key);
        known.map_or_else(|| status.target.key.database_id.clone(), |target| target.name.clone())
    }

    fn line(&self, targets: &[TargetStatus]) -> String {
        let each: Vec<String> = targets
            .iter()
            .map(|t| {
                let what = numbers(t);
                format!(
                    "{} {} rows, backlog {}, lag {} ms",
                    self.name(t),
                    t.rows_written,
                    what.backlog,
                    what.lag_millis
                )
            })
            .collect();
        let all: i64 = targets.iter().map(|t| t.rows_written).sum();
        let came = self.stage.receiver.came();
        format!(
            "{:>4} s  {all} rows synced | {} | {} HTTP requests, {} signatures good",
            self.began.elapsed().as_secs(),
            each.join(" | "),
            came.requests,
            came.verified
        )
    }

    fn redraw(&mut self, targets: &[TargetStatus]) {
        let mut rows = vec![["TARGET", "STATE", "ROWS SYNCED", "BACKLOG", "LAG"].map(String::from).to_vec()];
        rows.extend(targets.iter().map(|t| {
            let what = numbers(t);
            vec![
                self.name(t),
                t.target.state.clone(),
                t.rows_written.to_string(),
                what.backlog,
                format!("{} ms", what.lag_millis),
            ]
        }));
        let came = self.stage.receiver.came();
        let text = format!(
            "{}\n{} HTTP requests to a receiver here, {} with a good signature\n{} s, ctrl-C ends it",
            table(&rows),
            came.requests,
            came.verified,
            self.began.elapsed().as_secs()
        );
        let mut stdout = std::io::stdout().lock();
        if self.lines > 0 {
            let _ = write!(stdout, "\x1b[{}A", self.lines);
        }
        self.lines = 0;
        for line in text.lines() {
            let _ = writeln!(stdout, "\x1b[2K{line}");
            self.lines += 1;
        }
        let _ = stdout.flush();
    }
}

struct Numbers {
    backlog: String,
    lag_millis: u128,
}

fn numbers(status: &TargetStatus) -> Numbers {
    let backlog: i64 = status.mappings.iter().map(|m| m.backlog_rows).sum();
    let more = if status.mappings.iter().any(|m| m.backlog_is_at_least) { "+" } else { "" };
    let lag = status.mappings.iter().map(|m| m.lag.as_millis()).max().unwrap_or(0);
    Numbers { backlog: format!("{backlog}{more}"), lag_millis: lag }
}
