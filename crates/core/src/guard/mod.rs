//! Which addresses may be dialled when a stranger names the host.
//!
//! Threat: a customer gives a name that resolves to the operator's own network (another service, a
//! cloud's metadata address, this machine) and lets us talk to it. So every address that a name resolves
//! to must be public, or the whole name is refused; and the caller dials the addresses that were checked
//! and never resolves again. An address that carries an IPv4 address inside (mapped, NAT64, 6to4, Teredo)
//! is judged by itself and by what is inside, because a gateway unpacks it.
//!
//! Knows nothing of Postgres or HTTP: both roads out of the house use it, the dialer of the tenants' databases
//! ([`crate::target::dial`]) and the client for HTTP requests ([`crate::http`]).

mod ranges;
mod resolve;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::Network;
pub use ranges::Kind;
pub use resolve::{ResolveError, Resolver};

/// An address that may not be dialled.
///
/// The text does not say which address it was: a name may resolve differently inside the operator's
/// network, and that is nothing for a customer to learn. `address` is for the operator's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// One of the answers is not allowed.
    #[error("the host resolves to an address that is not public ({kind}), which is not allowed here")]
    NotAllowed {
        /// The address.
        address: IpAddr,
        /// What it is.
        kind: Kind,
    },
    /// There was no answer to check.
    #[error("the host has no address")]
    NoAddress,
}

/// The operator's rules.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    allow_private: bool,
    allow_cidrs: Vec<IpNet>,
}

impl Guard {
    /// The rules of `[network]`.
    #[must_use]
    pub fn from_config(network: &Network) -> Self {
        Self { allow_private: network.allow_private, allow_cidrs: network.allow_cidrs.clone() }
    }

    /// Checks all answers for one name.
    ///
    /// # Errors
    /// If *any* of them is not allowed, or if there is none.
    pub fn check(&self, addresses: &[IpAddr]) -> Result<(), GuardError> {
        if addresses.is_empty() {
            return Err(GuardError::NoAddress);
        }
        match addresses.iter().find_map(|address| Some((address, self.refusal(*address)?))) {
            Some((address, kind)) => Err(GuardError::NotAllowed { address: *address, kind }),
            None => Ok(()),
        }
    }

    /// Why an address is refused.
    fn refusal(&self, address: IpAddr) -> Option<Kind> {
        let kind = Kind::of(address);
        let inside = ranges::embedded(address);
        let named = self.names(address)
            // On the wire a mapped address is the IPv4 address inside.
            || (kind == Kind::Mapped && inside.iter().all(|v4| self.names(IpAddr::V4(*v4))));
        if !(named || kind == Kind::Public || (self.allow_private && kind.is_somebodys_own())) {
            return Some(kind);
        }
        inside.iter().find_map(|v4| self.refusal(IpAddr::V4(*v4)))
    }

    /// Whether the operator allowed this address by its range.
    fn names(&self, address: IpAddr) -> bool {
        self.allow_cidrs.iter().any(|range| range.contains(&address))
    }
}
