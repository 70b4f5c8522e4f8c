//! The console's API, through HTTP on real data. Each answer is compared with the OpenAPI document on the way.

mod access;
mod actions;
mod cache;
mod contract;
mod events;
mod feed;
mod life;
mod lists;
mod methods;
mod metrics;
mod plans;
mod refused;
mod requests;
mod status;
mod targets;
mod tenancies;
mod tenant;
mod triggers;
mod users;

use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);
