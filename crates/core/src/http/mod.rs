//! HTTP requests that leave the house: where they may go, how they are signed, and what an answer means.
//!
//! A URL is a stranger's, and so is everything that its server answers. It is checked when it is read
//! ([`Destination`]) and again when it is dialled ([`Client`]: only addresses that the operator allows, no
//! redirects, no proxy but that of `requests.proxy`), and what comes back is bounded in time and bytes. What a status or
//! an error means is decided in one table ([`outcome`]).

mod client;
mod destination;
mod excerpt;
mod failure;
pub mod outcome;
pub mod retry;
pub mod sign;
mod tunnel;

pub use client::{Answer, Client, ClientError, Failure, Limits, Request};
pub use destination::{Destination, HeaderError, UrlError, check_header};
