//! Races between real processes, each forced: a worker held at a failpoint or frozen, a transaction held open.

mod backlog;
mod crowd;
mod deletes;
mod freshness;
mod imports;
mod lives;
mod requests;
mod road;
mod tables;
mod takeover;
