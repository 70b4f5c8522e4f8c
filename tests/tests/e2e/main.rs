//! The end-to-end suites, one module each, in one binary.

#![allow(clippy::expect_used, reason = "a test that cannot go on says why")]

mod mapping;
mod queue;
