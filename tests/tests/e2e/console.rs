//! The console: a tenant's users, metrics, and the cache.

mod cache;
mod metrics;
mod tenant;
mod users;
