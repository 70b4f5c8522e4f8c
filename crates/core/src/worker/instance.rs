//! Which worker this is: its kind, and a name that no other process has.

use std::fmt;

/// The kinds of workers. The name is what logs, heartbeats and the RabbitMQ UI show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Gives changed rows their sequence ids.
    Sequencer,
    /// Hands due requests to RabbitMQ.
    Poller,
    /// Writes to external databases.
    SyncWorker,
    /// Sends HTTP requests.
    RequestWorker,
    /// Serves the admin API and the dashboard.
    Console,
}

impl Kind {
    /// The program's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sequencer => "sequencer",
            Self::Poller => "poller",
            Self::SyncWorker => "sync-worker",
            Self::RequestWorker => "request-worker",
            Self::Console => "console",
        }
    }

    /// One line for `--help`.
    pub(super) fn about(self) -> &'static str {
        match self {
            Self::Sequencer => {
                "Gives every changed row its sequence id and asks for a sync of each changed target"
            }
            Self::Poller => "Hands due outgoing requests to RabbitMQ",
            Self::SyncWorker => "Consumes tenant sync jobs and writes what changed to external databases",
            Self::RequestWorker => {
                "Consumes delivery jobs and sends HTTP requests: events, signed, and plain ones"
            }
            Self::Console => "Serves the admin API and the dashboard",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A new name for one run of a worker: `<host>-<pid>-<random>`. Host and process alone do not do: in a
/// container every process has id 1, and a restarted one keeps its host's name.
#[must_use]
pub fn instance_id() -> String {
    format!("{}-{}-{:08x}", host_name(), std::process::id(), rand::random::<u32>())
}

fn host_name() -> String {
    let name =
        std::fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
    name.map(|n| n.trim().to_owned()).filter(|n| !n.is_empty()).unwrap_or_else(|| "host".to_owned())
}
