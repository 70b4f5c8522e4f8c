//! Tables of the operator's own: tracked, mapped, copied and followed, while their application notices nothing.

pub(crate) mod application;
mod checks;
mod cost;
mod derived;
mod feed;
mod first_table;
mod gone;
mod guest;
mod healing;
mod keys;
mod touches;
pub(crate) mod types;
pub(crate) mod values;
