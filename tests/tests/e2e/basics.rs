//! The road, end to end: what is written inside by plain SQL is read outside by plain SQL.

mod channels;
mod life;
mod messages;
mod targets;
