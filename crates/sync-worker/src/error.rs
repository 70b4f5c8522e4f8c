//! What can end a turn early.

use tenant_sync_core::target::class::{ErrorClass, TargetFault};

use crate::source::SourceError;

/// Why a turn did not do what it was to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TurnError {
    /// The target answered a statement with an error, or its connection broke.
    #[error("a statement failed in the target")]
    Statement(#[from] tokio_postgres::Error),
    /// The target is at fault, in words that may be shown.
    #[error("{0}")]
    Fault(TargetFault),
    /// More rows refused than `sync.quarantine_rows`.
    #[error("the target refuses more rows than sync.quarantine_rows")]
    TooManyRefused,
    /// The target shows a watermark that the source has never given.
    #[error("the target is ahead of the source")]
    Ahead(i64),
    /// Another worker's mapping is newer; it will take the target.
    #[error("the target was written with a newer version of mapping {0}")]
    NewerMapping(String),
    /// Reading the source failed: no fault of the target's.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A slice could not be put on the wire.
    #[error("encoding a slice: {0}")]
    Encode(Box<dyn std::error::Error + Sync + Send>),
    /// The request is another worker's by now, or the worker stops.
    #[error("the job was given up")]
    GivenUp,
}

impl TurnError {
    /// The fault that is recorded for the target; `None` if the target did nothing wrong.
    pub(crate) fn fault(&self) -> Option<TargetFault> {
        match self {
            Self::Statement(error) => Some(TargetFault::from_postgres(error)),
            Self::Fault(fault) => Some(fault.clone()),
            Self::TooManyRefused => Some(TargetFault::new(ErrorClass::RowRefused)),
            Self::Ahead(_) | Self::NewerMapping(_) | Self::Source(_) | Self::Encode(_) | Self::GivenUp => {
                None
            }
        }
    }

    /// Whether a row was refused, so that a careful try may find which.
    pub(crate) fn refuses_row(&self) -> bool {
        matches!(self, Self::Statement(error) if TargetFault::from_postgres(error).class.policy().quarantines)
    }
}

/// The target's own tables hold what we would never write.
pub(crate) fn abuse() -> TurnError {
    TurnError::Fault(TargetFault::new(ErrorClass::ProtocolAbuse))
}

/// A table of that name is there, and it is not ours.
pub(crate) fn foreign_table(name: &str) -> TurnError {
    TurnError::Fault(TargetFault { table: Some(name.into()), ..TargetFault::new(ErrorClass::ForeignTable) })
}
