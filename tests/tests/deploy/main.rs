//! What `deploy/` says about the programs, held against the programs: manifests, images, Compose and releases. Nothing
//! here needs a server; what needs tools that pip brings says so where it cannot have them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, also in what it calls"
)]

mod compose;
mod custom;
mod documents;
mod images;
mod kubernetes;
mod network;
mod pods;
mod programs;
mod reach;
mod releases;
mod rules;
mod settings;
mod tools;
