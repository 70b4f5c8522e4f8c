//! What the workers of tenant-sync share. The workers stand side by side on this crate and never import
//! one another.

pub mod config;
pub mod db;
pub mod guard;
pub mod http;
pub mod mapping;
pub mod migrate;
pub mod observe;
pub mod outbox;
pub mod queue;
pub mod registry;
pub mod secrets;
pub mod sequence;
pub mod status;
pub mod target;
pub mod trace;
pub mod tracking;
pub mod triggers;
pub mod worker;

/// Version and commit of this build, as `--version` shows them: `0.1.0 (0123456789ab)`.
pub const VERSION: &str = env!("TENANT_SYNC_VERSION");

/// Messages that travel through RabbitMQ.
pub mod proto {
    #![allow(
        missing_docs,
        clippy::all,
        reason = "generated from proto/tenant_sync.proto, which is documented"
    )]
    include!(concat!(env!("OUT_DIR"), "/tenant_sync.v1.rs"));
}

/// Files that are part of the programs.
pub(crate) mod embedded {
    #![allow(dead_code, reason = "each list is read by one module")]
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}
