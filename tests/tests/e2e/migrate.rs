//! Migrations: applied once, wholly or not at all, by one migrator at a time, with the application at work.

mod application;
mod basics;
mod commands;
mod crash;
mod reset;
mod scratch;
mod start;
mod together;
