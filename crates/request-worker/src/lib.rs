//! The request worker: consumes delivery jobs and sends what is due for their destinations.
//!
//! ```text
//! message ─▶ job: take the delivery row ─▶ turn ─▶ end or give back the row ─▶ ack
//!                                           │
//!           read what is due ─▶ chains ─▶ calls, side by side ─▶ settle in one statement ─▶ …
//! ```
//! Who holds the delivery row is the only one that sends for its destination, so parallelism, rate, order and breaker
//! are kept here without asking anybody.

mod ahead;
mod breaker;
mod call;
mod chains;
mod flow;
mod job;
mod meter;
mod pace;
mod retention;
mod senders;
mod spans;
mod start;
mod step;
mod stream;
mod told;
mod turn;

pub use start::run;
