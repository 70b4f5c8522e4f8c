//! The end-to-end suites, one module each, in one binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, also in what it calls"
)]

mod advanced;
mod basics;
mod cli;
mod console;
mod dashboard;
mod dial;
mod faults;
mod kit;
mod mapping;
mod migrate;
mod operations;
mod own_tables;
mod queue;
mod races;
mod requests;
mod rolling;
mod sequencing;
mod telemetry;
mod tracking;
mod triggers;
mod versions;
