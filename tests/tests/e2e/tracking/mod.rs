//! The operator's own tables: what tracking records, what the application notices of it (nothing), and the commands.

mod commands;
mod counts;
mod faults;
mod guest;
mod index;
mod keys;
mod kit;
mod live;
mod partitions;
mod refusals;
mod untrack;
mod writes;
