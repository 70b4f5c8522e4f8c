//! The console: the admin API and the dashboard.

use std::process::ExitCode;

use tenant_sync_core::worker::{self, Kind};

fn main() -> ExitCode {
    worker::main(Kind::Console, tenant_sync_console::run)
}
