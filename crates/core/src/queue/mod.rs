//! RabbitMQ: topology, publishing with confirms, consuming with manual acks.
//!
//! A message is a copy of a row of "OutgoingRequest"; every queue may be purged or deleted at any time and
//! nothing is lost. So there is one way to deal with a fault of whatever kind: drop everything and connect
//! again (`supervisor.rs`), which declares whatever is missing.

mod consumer;
pub mod delivery_job;
mod error;
mod hand;
mod job;
pub mod names;
mod places;
mod publisher;
mod supervisor;
mod topology;

pub use consumer::{Acked, Consumer, FromMessage, JobDelivery};
pub use delivery_job::DeliveryJob;
pub use error::QueueError;
pub use hand::{HandError, HandedOver, LaneClaimed, hand_deliveries, hand_syncs};
pub use job::{Job, Undecodable};
pub use places::Places;
pub use publisher::{Message, Published, Publisher, PublisherLink, publisher};
pub use supervisor::{Broker, LinkState, Session};
