//! A vhost of a test's own.

use lapin::options::{BasicGetOptions, QueueDeclareOptions};
use lapin::protocol::AMQPSoftError;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties, ErrorKind};

use crate::cleanup;
use crate::management::Management;
use crate::scratch::short_id;
use crate::services::Services;
use crate::urls;

/// Removed with everything in it when dropped.
#[derive(Debug)]
pub struct Vhost {
    name: String,
    url: String,
    management: Management,
}

impl Vhost {
    /// Makes one on the shared node.
    ///
    /// # Panics
    /// The node refuses.
    pub async fn create(services: &Services) -> Self {
        Self::create_on(&services.amqp_url, Management::new(&services.management_url, &services.amqp_url))
            .await
    }

    /// Makes one on any node.
    ///
    /// # Panics
    /// The node refuses.
    pub async fn create_on(amqp_url: &str, management: Management) -> Self {
        let name = format!("t-{}", short_id());
        management.put_vhost(&name).await.expect("making a vhost");
        Self { url: urls::with_path(amqp_url, &name), name, management }
    }

    /// Its name; needs no encoding.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// For `rabbitmq.url`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The node's API, for what an operator might do.
    #[must_use]
    pub fn management(&self) -> &Management {
        &self.management
    }

    /// A connection as any client has it.
    ///
    /// # Panics
    /// The node refuses.
    pub async fn connect(&self) -> Connection {
        Connection::connect(&self.url, ConnectionProperties::default()).await.expect("connecting to RabbitMQ")
    }

    /// How many messages of a queue wait for a consumer, at this moment; `None` when there is no such queue.
    ///
    /// # Panics
    /// The node does not answer.
    pub async fn ready_messages(&self, queue: &str) -> Option<u32> {
        let connection = self.connect().await;
        let channel = connection.create_channel().await.expect("a channel");
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = channel.queue_declare(queue.into(), passive, FieldTable::default()).await;
        let ready = match declared {
            Ok(queue) => Some(queue.message_count()),
            Err(error) if is_not_found(&error) => None,
            Err(error) => panic!("looking at {queue}: {error}"),
        };
        let _ = connection.close(200, "done".into()).await;
        ready
    }

    /// Takes one message off a queue and returns its body.
    ///
    /// # Panics
    /// The node does not answer, or there is no such queue.
    pub async fn take_message(&self, queue: &str) -> Option<Vec<u8>> {
        let connection = self.connect().await;
        let channel = connection.create_channel().await.expect("a channel");
        let taken = channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.expect("a queue");
        let body = taken.map(|message| message.delivery.data.to_vec());
        let _ = connection.close(200, "done".into()).await;
        body
    }
}

fn is_not_found(error: &lapin::Error) -> bool {
    let not_found = AMQPSoftError::NOTFOUND.get_id();
    matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() == not_found)
}

impl Drop for Vhost {
    fn drop(&mut self) {
        cleanup::now(&self.name, || self.management.delete_vhost(&self.name));
    }
}
