//! Passes of the sequencer, in plain SQL on an internal database: each race is forced by an open transaction or a
//! gate in the middle of a statement.

mod changes;
mod cost;
mod epochs;
mod fairness;
mod gate;
mod isolation;
mod keys;
mod order;
mod parked;
mod source;
mod tombstones;
mod wakeups;
