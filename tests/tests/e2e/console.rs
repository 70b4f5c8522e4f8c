//! The console's API, through HTTP on real data. Each answer is compared with the OpenAPI document on the way.

mod access;
mod actions;
mod contract;
mod events;
mod life;
mod plans;
mod status;
mod targets;
mod tenancies;

use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);
