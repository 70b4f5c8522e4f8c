//! The poller: hands due outgoing requests to RabbitMQ.

use std::process::ExitCode;

use tenant_sync_core::worker::{self, Kind};

fn main() -> ExitCode {
    worker::main_with_once(Kind::Poller, tenant_sync_poller::run, tenant_sync_poller::once)
}
