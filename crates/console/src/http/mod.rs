//! What of HTTP all handlers share: parameters, bodies, instants, problems, headers.

mod at;
mod body;
pub(crate) mod headers;
mod path;
mod problem;
mod query;

pub(crate) use at::At;
pub(crate) use body::{Body, Json};
pub(crate) use path::PathParameters;
pub(crate) use problem::Fault;
pub use problem::Problem;
pub(crate) use query::Query;
