//! The dashboard's pages.

use axum::Router;

use crate::state::Console;

/// Everything outside of `/api/`.
pub(crate) fn router() -> Router<Console> {
    Router::new()
}
