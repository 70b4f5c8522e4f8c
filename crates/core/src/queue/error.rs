//! What can go wrong between us and RabbitMQ. All of it is cured by connecting again.

use std::time::Duration;

use super::names::Queue;

/// A fault between us and RabbitMQ. No text repeats the URL.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueueError {
    /// `rabbitmq.url` does not parse.
    #[error("rabbitmq.url is not an AMQP URL; expected amqp://user:password@host:port/vhost")]
    Url,
    /// The broker or the connection to it.
    #[error("RabbitMQ: {0}")]
    Amqp(#[from] lapin::Error),
    /// No answer in time.
    #[error("RabbitMQ: no answer to {what} within {after:?}")]
    Timeout {
        /// What was asked.
        what: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The message came back: no queue is bound there. `NO_ROUTE`, as a rule: somebody deleted the queue.
    #[error("RabbitMQ returned the message: {code} {text}")]
    Returned {
        /// AMQP's reply code.
        code: u16,
        /// The broker's text.
        text: String,
    },
    /// The broker could not store the message.
    #[error("RabbitMQ refused the message")]
    Refused,
    /// Not connected now.
    #[error("not connected to RabbitMQ")]
    NotConnected,
    /// The broker ended our subscription: the queue was deleted, or its leader moved.
    #[error("RabbitMQ cancelled the consumer of {}", .0.name())]
    Cancelled(Queue),
    /// The connection ended.
    #[error("RabbitMQ closed the connection")]
    Closed,
}

/// Waits for `asked`, at most `after`.
pub(super) async fn within<T>(
    after: Duration,
    what: &'static str,
    asked: impl Future<Output = Result<T, lapin::Error>>,
) -> Result<T, QueueError> {
    Ok(tokio::time::timeout(after, asked).await.map_err(|_| QueueError::Timeout { what, after })??)
}
