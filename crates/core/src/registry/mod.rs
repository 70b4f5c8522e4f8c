//! What an operator has registered: tenancies and their targets.
//!
//! Every statement on "Project", "Tenancy" and the settings in "ExternalDatabase" that the command line and
//! other doors for operators share. Progress and state after a turn are the sync worker's business.

pub mod apply;
pub mod browse;
pub mod cursor;
mod desk;
pub mod document;
mod examine;
pub mod quarantine;
mod settings;
pub mod targets;
pub mod tenancies;

pub use desk::{Addition, Checked, Desk};
pub use examine::examine;
pub use settings::{Settings, SettingsError, StoredSettings, target_key};
