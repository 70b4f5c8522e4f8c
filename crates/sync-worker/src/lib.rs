//! The sync worker: consumes tenant sync jobs and brings targets up to date.
//!
//! ```text
//! message ─▶ job: take the row ─▶ session in the target ─▶ turn ─▶ finish the row ─▶ ack
//!                                                           │
//!              lock the target ─▶ read a slice ─▶ write it ─▶ … ─▶ watermarks ─▶ commit
//! ```
//! A slice is applied to a target in `target/write.rs`.

mod aside;
mod error;
mod job;
mod order;
mod plan;
mod progress;
mod sessions;
mod source;
mod standing;
mod start;
mod target;
mod told;
mod turn;

pub use start::run;

use tenant_sync_core::mapping::CheckedMapping;

/// The statements that read what changed for a mapping, each with a name, for a look at their plans: `$1` is the
/// tenancy; then comes the watermark, unless the name begins with `flagged`; then the limit of rows; and, unless
/// it ends with `gone`, the bytes of the largest row.
#[must_use]
pub fn reading(mapping: &CheckedMapping) -> Vec<(String, String)> {
    plan::Plan::new(mapping).statements.reading()
}
