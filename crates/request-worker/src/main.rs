//! The request worker: sends HTTP requests.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use tenant_sync_core::worker::{self, Kind};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    worker::main(Kind::RequestWorker, tenant_sync_request_worker::run)
}
