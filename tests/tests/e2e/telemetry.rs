//! What an installation tells of itself: metrics, alerts, traces, log lines and the pages about them.

mod exported;
mod files;
mod gauges;
mod logs;
mod pages;
mod scraped;
mod traces;
