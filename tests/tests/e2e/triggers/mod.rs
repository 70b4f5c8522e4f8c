//! Triggers and requests as far as the outbox: what a change, or a statement, leaves there, and what the poller makes
//! of it.

mod commands;
mod conditions;
mod events;
mod faults;
mod kit;
mod many;
mod mappings;
mod own_events;
mod poller;
mod requests;
mod tracked;
mod update;
