//! What every worker process has: shutdown, health, metrics, heartbeat, switches.
//!
//! A worker's `main.rs` calls [`main`] with its `run(config, shutdown)`; `run` calls [`Worker::start`],
//! spawns its named tasks on it and ends with [`Worker::run`]. Several workers can live in one process:
//! nothing here but logging, metrics and failpoints belongs to the process.

mod activity;
pub mod backoff;
pub mod failpoint;
pub mod fuse;
pub mod health;
mod health_check;
mod heartbeat;
mod instance;
mod lifecycle;
pub mod listen;
pub mod logging;
pub mod metrics;
pub mod patience;
mod repeats;
mod rounds;
mod run;
mod schema;
mod shutdown;
mod switches;
mod tasks;

pub use activity::Activity;
pub use fuse::{Fusebox, Switch};
pub use health::Health;
pub use instance::{Kind, instance_id};
pub use lifecycle::{Worker, WorkerError};
pub use repeats::Repeats;
pub use rounds::{Rounding, Rounds};
pub use run::{main, main_with_once};
pub use shutdown::finish_step;
pub use switches::{SwitchChange, Switches, switches, throw_switches};
pub use tasks::{TaskError, Tasks};
