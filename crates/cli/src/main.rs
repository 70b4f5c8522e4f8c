//! `tenant-sync`, the operator's command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    tenant_sync_cli::run(std::env::args_os())
}
