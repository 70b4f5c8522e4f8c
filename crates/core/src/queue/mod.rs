//! RabbitMQ: topology, publishing with confirms, consuming with manual acks.
