//! The end-to-end suites, one module each, in one binary.

mod mapping;
mod queue;
