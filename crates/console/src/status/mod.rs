//! How everything is: `…/status`. Its cost is bounded at any number of tenants and rows, and no customer's database is
//! asked. Counts stop at a bound; where they do, `atLeast` says so.

mod api;
pub(crate) mod model;
mod queues;
pub(crate) mod read;

pub(crate) use api::routes;
pub(crate) use model::{Count, MappingLag, Overview};
pub(crate) use queues::Queues;
pub(crate) use read::overview;
