//! The end-to-end suites, all in one binary: one module a suite.

mod dial;
