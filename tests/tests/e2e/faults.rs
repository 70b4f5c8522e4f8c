//! Restarts and faults: whatever dies, hangs or steps back, targets equal their sources afterwards, nothing is stuck, and
//! nobody had to do anything.

mod brokers;
mod hostile;
mod restore;
mod servers;
mod source;
mod support;
mod targets;
mod workers;
