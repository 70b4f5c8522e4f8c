//! History for charts: "SyncSample". One console at a time takes a sample; it is kept for seven days.

pub(crate) mod api;
mod sql;
mod take;

pub(crate) use api::routes;
pub(crate) use take::run;
