//! What must exist in the vhost. Declared on every connection, so that whatever was deleted comes back.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};

use super::names::{EXCHANGE, Queue};

/// The dead queue keeps the latest of these; its messages are for people to look at.
const DEAD_MAX_MESSAGES: i32 = 10_000;

/// Declares the exchange, the queues and their bindings. Changes nothing that is there already.
pub(super) async fn declare(channel: &Channel) -> Result<(), lapin::Error> {
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(EXCHANGE.into(), ExchangeKind::Direct, durable, FieldTable::default()).await?;
    for queue in Queue::ALL {
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue.name().into(), durable, arguments(queue)).await?;
        let (name, key) = (queue.name().into(), queue.routing_key().into());
        channel
            .queue_bind(name, EXCHANGE.into(), key, QueueBindOptions::default(), FieldTable::default())
            .await?;
    }
    Ok(())
}

fn arguments(queue: Queue) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    if queue == Queue::Dead {
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(DEAD_MAX_MESSAGES));
    }
    arguments
}
