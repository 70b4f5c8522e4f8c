//! What pages look like: pure functions from plain structs to HTML. Nothing here knows a database or a request.

pub(crate) mod chart;
pub(crate) mod format;
pub(crate) mod frame;
pub(crate) mod login;
pub(crate) mod metrics;
pub(crate) mod overview;
pub(crate) mod parts;
pub(crate) mod queues;
pub(crate) mod refused;
pub(crate) mod requests;
pub(crate) mod road;
pub(crate) mod target;
pub(crate) mod targets;
pub(crate) mod tenants;
pub(crate) mod triggers;
pub(crate) mod users;
