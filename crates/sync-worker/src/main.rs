//! The sync worker: brings targets up to date.

use std::process::ExitCode;

use tenant_sync_core::worker::{self, Kind};

fn main() -> ExitCode {
    worker::main(Kind::SyncWorker, tenant_sync_sync_worker::run)
}
