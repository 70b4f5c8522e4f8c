//! The tenants' external databases: lists, one of them, and what can be done with it.

pub(crate) mod actions;
mod change;
pub(crate) mod cursor;
mod document;
pub(crate) mod list;
pub(crate) mod model;
pub(crate) mod refused;
mod waiting;

pub(crate) use list::{Order, key_of, page_of};
pub(crate) use model::{Cause, TargetLine};

use crate::routes::Routes;

pub(crate) fn routes() -> Routes {
    list::routes().and(change::routes()).and(actions::routes()).and(document::routes()).and(refused::routes())
}
