//! A tenant's external database: its connection string, the way to it, and whether it may be used.
//!
//! A connection string comes from a stranger and so does everything that its server sends. It is read by
//! a parser of our own ([`url`]), only public addresses are dialled unless the operator allows others
//! ([`crate::guard`]), and what a server sends is bounded ([`bounded`]).

pub mod bounded;
pub mod check;
pub mod class;
pub mod dial;
pub mod grants;
pub mod tls;
pub mod url;
pub mod withdraw;
