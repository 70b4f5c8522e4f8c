//! End-to-end suites, one module each.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, also in what it calls")]

mod migrate;
