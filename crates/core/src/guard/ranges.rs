//! What an address is, by the IANA special-purpose registries.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kind of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Anybody's, on the internet.
    Public,
    /// `0.0.0.0/8`, `::`: on many systems this machine.
    Unspecified,
    /// This machine.
    Loopback,
    /// RFC 1918.
    Private,
    /// `100.64.0.0/10`, between a provider and its customers.
    CarrierNat,
    /// This link; clouds serve their metadata there.
    LinkLocal,
    /// `fc00::/7`.
    UniqueLocal,
    /// `fec0::/10`, deprecated.
    SiteLocal,
    /// `198.18.0.0/15`, `2001:2::/48`.
    Benchmark,
    /// For examples in texts.
    Documentation,
    /// A group of machines.
    Multicast,
    /// `255.255.255.255`.
    Broadcast,
    /// `100::/64`: dropped.
    Discard,
    /// Not given to anybody, or for protocols only.
    Reserved,
    /// `::ffff:0:0/96`: an IPv4 address in other clothes.
    Mapped,
    /// `::/96`, deprecated.
    Compatible,
    /// `64:ff9b::/96`, `64:ff9b:1::/48`, `::ffff:0:0:0/96`: translated to IPv4 by a gateway.
    Translated,
    /// `2002::/16`: a tunnel to the IPv4 address inside.
    SixToFour,
    /// `2001::/32`: a tunnel to the IPv4 addresses inside.
    Teredo,
}

impl Kind {
    /// Classifies an address by its outside only; what is inside is judged by the guard.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => of_v4(v4),
            IpAddr::V6(v6) => of_v6(v6),
        }
    }

    /// What `network.allow_private` allows: addresses that somebody's own network uses. Never those
    /// that no server can have.
    pub(super) fn is_somebodys_own(self) -> bool {
        match self {
            Self::Loopback
            | Self::Private
            | Self::CarrierNat
            | Self::LinkLocal
            | Self::UniqueLocal
            | Self::SiteLocal
            | Self::Benchmark
            | Self::Mapped
            | Self::Compatible
            | Self::Translated
            | Self::SixToFour
            | Self::Teredo => true,
            Self::Public
            | Self::Unspecified
            | Self::Documentation
            | Self::Multicast
            | Self::Broadcast
            | Self::Discard
            | Self::Reserved => false,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::CarrierNat => "carrier-grade NAT",
            Self::LinkLocal => "link-local",
            Self::UniqueLocal => "unique local",
            Self::SiteLocal => "site-local",
            Self::Benchmark => "benchmarking",
            Self::Documentation => "documentation",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Discard => "discard-only",
            Self::Reserved => "reserved",
            Self::Mapped => "IPv4-mapped",
            Self::Compatible => "IPv4-compatible",
            Self::Translated => "translated to IPv4",
            Self::SixToFour => "6to4 tunnel",
            Self::Teredo => "Teredo tunnel",
        })
    }
}

fn of_v4(address: Ipv4Addr) -> Kind {
    match address.octets() {
        [255, 255, 255, 255] => Kind::Broadcast,
        [0, ..] => Kind::Unspecified,
        [127, ..] => Kind::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Kind::Private,
        [100, 64..=127, ..] => Kind::CarrierNat,
        [169, 254, ..] => Kind::LinkLocal,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Kind::Documentation,
        [198, 18..=19, ..] => Kind::Benchmark,
        // Protocol assignments, AMT, the deprecated 6to4 relay, AS112.
        [192, 0, 0, _] | [192, 52, 193, _] | [192, 88, 99, _] | [192, 31, 196, _] | [192, 175, 48, _] => {
            Kind::Reserved
        }
        [224..=239, ..] => Kind::Multicast,
        [240..=255, ..] => Kind::Reserved,
        _ => Kind::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> Kind {
    if address.is_unspecified() {
        return Kind::Unspecified;
    }
    if address.is_loopback() {
        return Kind::Loopback;
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] => Kind::Mapped,
        [0, 0, 0, 0, 0xffff, 0, ..] => Kind::Translated,
        [0, 0, 0, 0, 0, 0, ..] => Kind::Compatible,
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 1, ..] => Kind::Translated,
        [0x100, 0, 0, 0 | 1, ..] => Kind::Discard,
        [0x2001, 0, ..] => Kind::Teredo,
        [0x2001, 2, 0, ..] => Kind::Benchmark,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Kind::Documentation,
        // ORCHID, AMT, AS112 and whatever else is assigned to protocols; AS112's other range.
        [0x2001, 0..=0x1ff, ..] | [0x2620, 0x4f, 0x8000, ..] => Kind::Reserved,
        [0x2002, ..] => Kind::SixToFour,
        [0x2000..=0x3fff, ..] => Kind::Public,
        [0xfc00..=0xfdff, ..] => Kind::UniqueLocal,
        [0xfe80..=0xfebf, ..] => Kind::LinkLocal,
        [0xfec0..=0xfeff, ..] => Kind::SiteLocal,
        [0xff00..=0xffff, ..] => Kind::Multicast,
        _ => Kind::Reserved,
    }
}

/// The IPv4 addresses inside an IPv6 address, where a gateway or this system would unpack them.
pub(super) fn embedded(address: IpAddr) -> Vec<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return Vec::new() };
    let s = v6.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match Kind::of(address) {
        Kind::Mapped | Kind::Compatible | Kind::SixToFour if s[0] == 0x2002 => vec![v4(s[1], s[2])],
        Kind::Mapped | Kind::Compatible => vec![v4(s[6], s[7])],
        // The server, and the client with all bits turned.
        Kind::Teredo => vec![v4(s[2], s[3]), v4(!s[6], !s[7])],
        // Network-specific prefixes put the address at one of several places (RFC 6052).
        Kind::Translated if s[..3] == [0x64, 0xff9b, 1] => local_translations(s),
        Kind::Translated => vec![v4(s[6], s[7])],
        _ => Vec::new(),
    }
}

/// `64:ff9b:1::/48` is divided as its operator likes, into prefixes of 48, 56, 64 or 96 bits.
fn local_translations(s: [u16; 8]) -> Vec<Ipv4Addr> {
    let bits = s.iter().fold(0_u128, |bits, segment| (bits << 16) | u128::from(*segment));
    let byte = |index: u32| u8::try_from((bits >> (120 - 8 * index)) & 0xff).unwrap_or_default();
    // Byte 8 is always zero and belongs to no address.
    let places = [[6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12], [12, 13, 14, 15]];
    let candidates = places.iter().map(|place| Ipv4Addr::from(place.map(byte)));
    // A place that holds 0.x.y.z holds no server's address: the address is at another place.
    let mut found: Vec<Ipv4Addr> = candidates.filter(|v4| v4.octets()[0] != 0).collect();
    if found.is_empty() {
        found.push(Ipv4Addr::UNSPECIFIED);
    }
    found
}
