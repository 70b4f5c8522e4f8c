//! Where a request comes from, also through proxies that are trusted.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use ipnet::IpNet;

use crate::state::Console;

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client {
    /// The nearest address that is not a trusted proxy's.
    pub(crate) address: IpAddr,
    /// Whether a trusted proxy says that it came by TLS.
    pub(crate) encrypted: bool,
}

impl FromRequestParts<Console> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip());
        Ok(client(peer, &parts.headers, &console.access.trusted_proxies))
    }
}

/// Proxies append the address that they saw, so the list is read from its end, up to the first stranger.
fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Client {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address.to_canonical()));
    if !is_trusted(peer) {
        return Client { address: peer.to_canonical(), encrypted: false };
    }
    let forwarded: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(','))
        .collect();
    let mut address = peer;
    for hop in forwarded.iter().rev() {
        let Ok(hop) = hop.trim().parse::<IpAddr>() else { break };
        address = hop;
        if !is_trusted(hop) {
            break;
        }
    }
    let encrypted = headers.get("x-forwarded-proto").is_some_and(|value| value.as_bytes() == b"https");
    Client { address: address.to_canonical(), encrypted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted = ["10.0.0.0/8".parse().expect("a range")];
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", "198.51.100.9, 192.0.2.7, 10.0.0.2".parse().expect("a value"));
        headers.insert("x-forwarded-proto", "https".parse().expect("a value"));
        let seen = |peer: &str| client(ip(peer), &headers, &trusted);
        assert_eq!(seen("10.0.0.1"), Client { address: ip("192.0.2.7"), encrypted: true });
        assert_eq!(seen("203.0.113.5"), Client { address: ip("203.0.113.5"), encrypted: false });
        assert_eq!(seen("::ffff:203.0.113.5").address, ip("203.0.113.5"));
        assert_eq!(client(ip("10.0.0.1"), &HeaderMap::new(), &trusted).address, ip("10.0.0.1"));
    }
}
