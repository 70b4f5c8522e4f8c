//! HTTP requests as an operator looks at them: those that wait, the dead ones, and the delivered ones of the log.

use deadpool_postgres::Object;
use time::OffsetDateTime;
use tokio_postgres::types::Type;
use tokio_postgres::{Error, Row};
use uuid::Uuid;

/// Which requests are meant. Everything that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestFilter {
    /// Of this trigger.
    pub trigger_id: Option<Uuid>,
    /// Of this tenancy.
    pub tenancy_id: Option<Uuid>,
    /// With this event's name.
    pub event_type: Option<String>,
    /// Made at this time or later.
    pub since: Option<OffsetDateTime>,
}

/// Which states are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestState {
    /// It waits for its time.
    Pending,
    /// All attempts are used up.
    Dead,
    /// It arrived, and is known by the log alone.
    Delivered,
}

impl RequestState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Dead, Self::Delivered];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Dead => "dead",
            Self::Delivered => "delivered",
        }
    }

    /// By its name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLine {
    /// `webhook-id`
    pub id: Uuid,
    /// Where it stands.
    pub state: RequestState,
    /// The trigger whose event it is; `None` = a plain request.
    pub trigger_id: Option<Uuid>,
    /// Whose it is.
    pub tenancy_id: Option<Uuid>,
    /// Name of the event; `None` = a plain request.
    pub event_type: Option<String>,
    /// How it is sent.
    pub method: String,
    /// Where it goes; `None` = its trigger is gone.
    pub url: Option<String>,
    /// When it was made.
    pub created_at: Option<OffsetDateTime>,
    /// When it is tried next, if it waits.
    pub due_at: Option<OffsetDateTime>,
    /// Attempts that failed, or with which it arrived.
    pub attempts: i32,
    /// When it was delivered, or given up.
    pub ended_at: Option<OffsetDateTime>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// The last answer's status.
    pub last_status: Option<i32>,
}

/// One attempt, as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptLine {
    /// Which one of its request, from 1.
    pub number: i32,
    /// When it began.
    pub at: OffsetDateTime,
    /// `delivered`, `failed` or `dead`.
    pub outcome: String,
    /// How long it took.
    pub duration_millis: i32,
    /// The answer's status.
    pub status: Option<i32>,
    /// What kind of failure it was.
    pub error_class: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// The first KiB of the answer.
    pub response_excerpt: Option<String>,
}

/// The attempts of a request, oldest first, at most 1,000.
///
/// # Errors
/// Postgres does.
pub async fn attempts(client: &Object, request_id: Uuid) -> Result<Vec<AttemptLine>, Error> {
    let text = r#"
select number, at, outcome, "durationMillis", status, "errorClass", error, "responseExcerpt"
from "HttpAttempt" where "requestId" = $1 order by at limit 1000"#;
    let rows = client.query_typed(text, &[(&request_id, Type::UUID)]).await?;
    let read = |row: &Row| {
        Ok(AttemptLine {
            number: row.try_get(0)?,
            at: row.try_get(1)?,
            outcome: row.try_get(2)?,
            duration_millis: row.try_get(3)?,
            status: row.try_get(4)?,
            error_class: row.try_get(5)?,
            error: row.try_get(6)?,
            response_excerpt: row.try_get(7)?,
        })
    };
    rows.iter().map(read).collect()
}
