//! The parts of an address that name something.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use uuid::Uuid;

use super::Problem;
use crate::state::Console;

/// The parameters of a path, as `/tenancies/{tenancy_id}/…` names them.
#[derive(Debug)]
pub(crate) struct PathParameters(Vec<(String, String)>);

impl FromRequestParts<Console> for PathParameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Problem> {
        let raw = RawPathParams::from_request_parts(parts, console)
            .await
            .map_err(|_| Problem::invalid("path", "is not valid UTF-8"))?;
        Ok(Self(raw.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }
}

impl PathParameters {
    /// A part by its name.
    ///
    /// # Errors
    /// The route has no such part.
    pub(crate) fn text(&self, name: &'static str) -> Result<&str, Problem> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).ok_or_else(|| Problem::invalid(name, "is missing"))
    }

    /// A part that must be a UUID.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn uuid(&self, name: &'static str) -> Result<Uuid, Problem> {
        self.text(name)?.parse().map_err(|_| Problem::invalid(name, "expected a UUID"))
    }

    /// `{tenancy_id}`
    ///
    /// # Errors
    /// It is no UUID.
    pub(crate) fn tenancy_id(&self) -> Result<Uuid, Problem> {
        self.uuid("tenancy_id")
    }
}
