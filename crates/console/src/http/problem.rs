//! The one shape of all errors: `application/problem+json` (RFC 9457), with the field that is meant.

use std::fmt::Display;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use tenant_sync_core::db::DbError;
use tokio_postgres::error::SqlState;

/// Why a request is not answered as asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Problem {
    /// Which kind of problem it is; stays the same.
    #[serde(rename = "type")]
    kind: String,
    /// The kind in words.
    title: &'static str,
    /// As the answer's status.
    status: u16,
    /// What happened here, and what to do.
    detail: String,
    /// The parameter or field that is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip)]
    retry_after: Option<Duration>,
    /// What went wrong on our side, for the log.
    #[serde(skip)]
    fault: Option<Box<Fault>>,
}

/// A fault of ours that an answer does not show; [`crate::told`] writes it into the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault(pub(crate) String);

impl Problem {
    fn new(status: StatusCode, kind: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:tenant-sync:problem:{kind}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            field: None,
            retry_after: None,
            fault: None,
        }
    }

    /// 400: this parameter or field cannot be used.
    pub(crate) fn invalid(field: impl Into<String>, reason: impl Display) -> Self {
        let field = field.into();
        let detail = format!("{field}: {reason}");
        Self {
            field: Some(field),
            ..Self::new(StatusCode::BAD_REQUEST, "invalid", "The request cannot be used", detail)
        }
    }

    /// 401
    pub(crate) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Nobody known asks", detail)
    }

    /// 403
    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not from there", detail)
    }

    /// 404
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "It is not there", detail)
    }

    /// 405
    pub(crate) fn method_not_allowed() -> Self {
        let detail = "this address takes other methods; the Allow header names them";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Not with this method", detail)
    }

    /// 409: it is well said, and what there is stands against it.
    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "It does not fit what there is", detail)
    }

    /// 413
    pub(crate) fn too_large(bytes_max: usize) -> Self {
        let detail = format!("the body is longer than console.max_body_bytes ({bytes_max})");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too long", detail)
    }

    /// 415
    pub(crate) fn media_type() -> Self {
        let detail = "send the body with Content-Type: application/json";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", "The body is not JSON", detail)
    }

    /// 422: the target does not pass its check.
    pub(crate) fn check_failed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "check-failed", "The target cannot be used", detail)
    }

    /// 429
    pub(crate) fn too_many_logins(wait: Duration) -> Self {
        let detail = format!("too many wrong keys from this address; try again in {} s", wait.as_secs() + 1);
        let problem =
            Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-logins", "Too many wrong keys", detail);
        Self { retry_after: Some(wait), ..problem }
    }

    /// 503: not now.
    pub(crate) fn busy(detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not at the moment", detail);
        Self { retry_after: Some(Duration::from_secs(1)), ..problem }
    }

    /// 500: a fault of ours; the reason goes to the log and not to the caller.
    pub(crate) fn internal(error: &dyn Display) -> Self {
        let detail = "this is a fault of the console; its log says more";
        let problem = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "It went wrong", detail);
        Self { fault: Some(Box::new(Fault(error.to_string()))), ..problem }
    }

    /// What went wrong on our side.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.fault.as_ref().map(|fault| fault.0.as_str())
    }

    /// Notes the fault at an answer that is made of this.
    pub(crate) fn note_at(&self, answer: &mut Response) {
        if let Some(fault) = &self.fault {
            answer.extensions_mut().insert(Fault::clone(fault));
        }
    }

    pub(crate) fn is_unauthorized(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED.as_u16()
    }

    /// HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// What happened, for pages.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// The parameter or field that is meant.
    pub(crate) fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status(), kind, body).into_response();
        if let Some(wait) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        }
        if self.is_unauthorized() {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        self.note_at(&mut response);
        response
    }
}

/// What the internal Postgres could not do. That it is away, slow or not migrated is told; all else is ours to look at.
impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        let state = match &error {
            DbError::Connect(_) => return Self::busy("the internal Postgres cannot be reached"),
            DbError::Query(query) if query.is_closed() => {
                return Self::busy("the internal Postgres has closed the connection");
            }
            DbError::Query(query) => query.code().cloned(),
            _ => None,
        };
        match state {
            Some(SqlState::QUERY_CANCELED) => {
                Self::busy("the internal Postgres took longer than console.query_timeout")
            }
            Some(SqlState::LOCK_NOT_AVAILABLE) => {
                Self::busy("somebody holds a lock that is needed; try again")
            }
            Some(SqlState::UNDEFINED_TABLE | SqlState::UNDEFINED_COLUMN | SqlState::UNDEFINED_FUNCTION) => {
                Self::busy(
                    "the schema of the internal Postgres is not that of this version: run `db migrate`",
                )
            }
            Some(SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN | SqlState::CANNOT_CONNECT_NOW) => {
                Self::busy("the internal Postgres is starting or stopping")
            }
            _ => Self::internal(&error),
        }
    }
}

impl From<tokio_postgres::Error> for Problem {
    fn from(error: tokio_postgres::Error) -> Self {
        DbError::from(error).into()
    }
}
