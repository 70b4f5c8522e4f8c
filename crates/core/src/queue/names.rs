//! The names in RabbitMQ, which operators and dashboards rely on.

use crate::outbox::Lane;

/// The one exchange: direct and durable.
pub const EXCHANGE: &str = "tenant-sync";
/// Property `app_id` of every message.
pub const APP_ID: &str = "tenant-sync";
/// Property `content_type` of every message.
pub const CONTENT_TYPE: &str = "application/x-protobuf";
/// Property `type` of a job for a sync worker.
pub const JOB_TYPE: &str = "tenant_sync.v1.TenantSyncJob";
/// Property `type` of an order for a request worker.
pub const DELIVERY_JOB_TYPE: &str = "tenant_sync.v1.HttpDeliveryJob";
/// Header with the tenancy's id.
pub const TENANCY_HEADER: &str = "tenancy_id";
/// Header of the W3C trace context: that of the pass that asked for the sync, else a new one that is not sampled.
pub const TRACE_HEADER: &str = "traceparent";
/// Header that says why a message lies in the dead queue.
pub const REASON_HEADER: &str = "reason";
/// Header that says which queue such a message came from.
pub const ORIGIN_HEADER: &str = "origin";

/// The queues, all quorum queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// Sync jobs that somebody waits for.
    Live,
    /// Further turns of backfills.
    Bulk,
    /// HTTP requests.
    Requests,
    /// What no worker can read.
    Dead,
}

impl Queue {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Live, Self::Bulk, Self::Requests, Self::Dead];

    /// The queue's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "tenant-sync.live",
            Self::Bulk => "tenant-sync.bulk",
            Self::Requests => "tenant-sync.requests",
            Self::Dead => "tenant-sync.dead",
        }
    }

    /// The routing key that it is bound with: the last part of its name.
    #[must_use]
    pub fn routing_key(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Bulk => "bulk",
            Self::Requests => "requests",
            Self::Dead => "dead",
        }
    }
}

impl From<Lane> for Queue {
    fn from(lane: Lane) -> Self {
        match lane {
            Lane::Live => Self::Live,
            Lane::Bulk => Self::Bulk,
        }
    }
}
