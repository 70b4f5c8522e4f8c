//! The sequencer: gives changed rows their sequence ids.

use std::process::ExitCode;

use tenant_sync_core::worker::{self, Kind};

fn main() -> ExitCode {
    worker::main_with_once(Kind::Sequencer, tenant_sync_sequencer::run, tenant_sync_sequencer::once)
}
