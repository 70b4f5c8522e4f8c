//! Outbox, poller and RabbitMQ: the row is the truth, the message a copy.

mod claims;
mod consuming;
mod faults;
mod lifecycle;
mod looks;
mod maintenance;
mod stack;
