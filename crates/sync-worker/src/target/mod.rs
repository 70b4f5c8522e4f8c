//! Everything that happens in a tenant's database.

mod careful;
mod encode;
pub(crate) mod layout;
pub(crate) mod quarantine;
pub(crate) mod settle;
pub(crate) mod setup;
pub(crate) mod state;
mod statements;
pub(crate) mod upgrade;
mod write;

pub(crate) use careful::Refusal;
pub(crate) use statements::Statements;
pub(crate) use write::{Means, Writer};
