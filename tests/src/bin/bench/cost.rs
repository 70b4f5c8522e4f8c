//! What a run takes, by what does not depend on who else uses the machine: CPU of each process, statements, WAL.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tenant_sync_tests::pids;
use tokio_postgres::Client;

/// CPU seconds that a process has used, its ended children included; zero if there is none.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    /// What Linux counts in.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ');
    let ticks = fields.skip(11).take(4).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS_PER_SECOND
}

/// Counters at one instant.
#[derive(Debug)]
pub(crate) struct Counters {
    cpu: BTreeMap<&'static str, f64>,
    writes: f64,
    wal_bytes: f64,
}

impl Counters {
    /// Reads them: the processes by the names under which they are shown, and the server of `client` with all of its
    /// children.
    pub(crate) async fn read(client: &Client, processes: &[(&'static str, u32)]) -> Self {
        let text = r#"
select pg_backend_pid(),
    pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
    (pg_current_wal_insert_lsn() - '0/0')::float8"#;
        let row = client.query_one(text, &[]).await.expect("counters");
        let backend = u32::try_from(row.get::<_, i32>(0)).expect("a process");
        let server: f64 = pids::tree(parent(backend)).into_iter().map(cpu_seconds).sum();
        let mut cpu: BTreeMap<_, _> =
            processes.iter().map(|(name, pid)| (*name, cpu_seconds(*pid))).collect();
        cpu.insert("Postgres", server);
        Self { cpu, writes: row.get::<_, i64>(1) as f64, wal_bytes: row.get(2) }
    }

    /// What each of `count` took from here to `after`.
    pub(crate) fn until(&self, after: &Self, count: usize) -> Cost {
        let each = |before: f64, after: f64| (after - before) / count as f64;
        let cpu = self.cpu.iter().map(|(name, before)| {
            (*name, each(*before, after.cpu.get(name).copied().unwrap_or(*before)) * 1e6)
        });
        Cost {
            cpu_micros: cpu.collect(),
            writes_per_thousand: each(self.writes, after.writes) * 1000.0,
            wal_bytes: each(self.wal_bytes, after.wal_bytes),
        }
    }
}

fn parent(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the server is on this machine");
    let (_, rest) = stat.rsplit_once(") ").expect("as Linux writes it");
    rest.split(' ').nth(1).and_then(|field| field.parse().ok()).expect("a parent")
}

/// What each took.
#[derive(Debug)]
pub(crate) struct Cost {
    cpu_micros: BTreeMap<&'static str, f64>,
    writes_per_thousand: f64,
    wal_bytes: f64,
}

impl Cost {
    pub(crate) fn line(&self) -> String {
        let cpu = self.cpu_micros.iter().map(|(name, micros)| format!("{name} {micros:.1}"));
        format!(
            "CPU for each in us: {}; {:.1} writing transactions a thousand, {:.0} bytes of WAL each",
            cpu.collect::<Vec<_>>().join(", "),
            self.writes_per_thousand,
            self.wal_bytes
        )
    }

    pub(crate) fn json(&self) -> Value {
        json!({"cpuMicros": self.cpu_micros, "writingTransactionsPerThousand": self.writes_per_thousand, "walBytes": self.wal_bytes})
    }
}
