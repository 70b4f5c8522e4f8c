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
mod turn;

pub use start::run;
