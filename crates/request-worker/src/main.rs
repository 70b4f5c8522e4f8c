//! The request worker: sends HTTP requests.

use std::process::ExitCode;

use tenant_sync_core::worker::{self, Kind};

fn main() -> ExitCode {
    worker::main(Kind::RequestWorker, tenant_sync_request_worker::run)
}
