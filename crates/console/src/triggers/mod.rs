//! Triggers: whom changes are told, how that goes, and stopping it.

pub(crate) mod actions;
pub(crate) mod list;
pub(crate) mod model;

use crate::routes::Routes;

pub(crate) use model::Trigger;

pub(crate) fn routes() -> Routes {
    list::routes().and(actions::routes())
}
