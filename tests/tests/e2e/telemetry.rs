//! What an installation tells of itself: metrics, alerts, traces, log lines and the pages about them.

mod bounded;
mod calls;
mod causes;
mod exported;
mod files;
mod gauges;
mod logs;
mod pages;
mod scraped;
mod secrets;
mod series;
mod traces;
