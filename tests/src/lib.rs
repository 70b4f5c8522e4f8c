//! The test kit: every test gets databases, a vhost and worker processes of its own, on real servers.
//!
//! `make test` brings the servers up and names them in the environment ([`services::Services`]). A test
//! starts a [`stack::Stack`], runs the real programs as [`worker::Worker`]s, and speaks plain SQL to both
//! ends. Whatever it started is gone when it ends, also by a panic. Tests that kill or freeze a server start
//! their own ([`cluster::PrivateCluster`], [`broker::PrivateBroker`]) or put a [`proxy::Proxy`] in front.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test kit fails by panicking"
)]

pub mod broker;
pub mod browser;
pub mod cleanup;
pub mod cli;
pub mod cluster;
pub mod compare;
pub mod console;
pub mod database;
pub mod endpoint;
pub mod forward;
pub mod hold;
pub mod http;
pub mod licenses;
pub mod logs;
pub mod management;
pub mod many;
pub mod mappings;
pub mod openapi;
pub mod otlp;
pub mod pids;
pub mod pooler;
pub mod ports;
pub mod programs;
pub mod prometheus;
pub mod proxy;
pub mod receiver;
pub mod scratch;
pub mod services;
pub mod stack;
pub mod template;
pub mod tenant;
pub mod urls;
pub mod vhost;
pub mod wait;
pub mod worker;
