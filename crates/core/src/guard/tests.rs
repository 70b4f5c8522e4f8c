use super::*;

fn network(allow_private: bool, cidrs: &[&str]) -> Guard {
    Guard { allow_private, allow_cidrs: cidrs.iter().map(|c| c.parse().unwrap()).collect() }
}

fn kind(text: &str) -> Kind {
    Kind::of(text.parse().unwrap())
}

fn allowed(guard: &Guard, text: &str) -> bool {
    guard.check(&[text.parse().unwrap()]).is_ok()
}

/// First and last address of every special range, and their public neighbours.
const RANGES: &[(Kind, &[&str])] = &[
    (Kind::Unspecified, &["0.0.0.0", "0.255.255.255", "::"]),
    (Kind::Loopback, &["127.0.0.0", "127.0.0.1", "127.255.255.255", "::1"]),
    (
        Kind::Private,
        &["10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0", "192.168.255.255"],
    ),
    (Kind::CarrierNat, &["100.64.0.0", "100.127.255.255"]),
    (
        Kind::LinkLocal,
        &["169.254.0.0", "169.254.169.254", "169.254.255.255", "fe80::", "fe80::1", "febf:ffff::1"],
    ),
    (Kind::UniqueLocal, &["fc00::", "fd00:ec2::254", "fdff:ffff::1"]),
    (Kind::SiteLocal, &["fec0::", "feff:ffff::1"]),
    (Kind::Benchmark, &["198.18.0.0", "198.19.255.255", "2001:2::", "2001:2:0:ffff::"]),
    (
        Kind::Documentation,
        &[
            "192.0.2.0",
            "192.0.2.255",
            "198.51.100.7",
            "203.0.113.7",
            "2001:db8::",
            "2001:db8:ffff::1",
            "3fff::",
            "3fff:fff:ffff::1",
        ],
    ),
    (Kind::Multicast, &["224.0.0.0", "239.255.255.255", "ff00::", "ff02::1", "ffff::1"]),
    (Kind::Broadcast, &["255.255.255.255"]),
    (Kind::Discard, &["100::", "100::ffff:ffff:ffff:ffff", "100:0:0:1::"]),
    (
        Kind::Reserved,
        &[
            "192.0.0.0",
            "192.0.0.171",
            "192.52.193.1",
            "192.88.99.1",
            "192.31.196.1",
            "192.175.48.1",
            "240.0.0.0",
            "255.255.255.254",
            "2001:1::1",
            "2001:3::",
            "2001:4:112::",
            "2001:10::",
            "2001:20::",
            "2001:1ff:ffff::",
            "2620:4f:8000::1",
            "::1:0:0:0:0",
            "64:ff9a::",
            "64:ff9c::",
            "200::1",
            "1fff::1",
            "4000::1",
            "5f00::1",
            "fe00::1",
            "fe7f::1",
        ],
    ),
    (Kind::Mapped, &["::ffff:0.0.0.0", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "::ffff:255.255.255.255"]),
    (Kind::Compatible, &["::2", "::8.8.8.8", "::127.0.0.1"]),
    (
        Kind::Translated,
        &[
            "64:ff9b::",
            "64:ff9b::127.0.0.1",
            "64:ff9b::8.8.8.8",
            "64:ff9b:1::",
            "64:ff9b:1:ffff::1",
            "::ffff:0:7f00:1",
        ],
    ),
    (Kind::SixToFour, &["2002::", "2002:7f00:1::", "2002:ffff:ffff::1"]),
    (Kind::Teredo, &["2001::", "2001:0:ffff::1"]),
    (
        Kind::Public,
        &[
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2000::1",
            "2001:200::1",
            "2001:db7::1",
            "2001:db9::1",
            "2003::1",
            "2606:4700::1111",
            "3ffe::1",
            "3fff:1000::1",
        ],
    ),
];

#[test]
fn every_range_is_known_at_its_edges() {
    for (expected, addresses) in RANGES {
        for address in *addresses {
            assert_eq!(kind(address), *expected, "{address}");
        }
    }
}

#[test]
fn by_default_only_public_addresses_are_dialled() {
    for (kind, addresses) in RANGES {
        for address in *addresses {
            assert_eq!(allowed(&Guard::default(), address), *kind == Kind::Public, "{address}");
        }
    }
}

#[test]
fn allow_private_allows_what_somebodys_network_uses_and_nothing_absurd() {
    let guard = network(true, &[]);
    for address in [
        "10.0.0.1",
        "127.0.0.1",
        "169.254.1.1",
        "100.64.0.1",
        "198.18.0.1",
        "192.168.1.1",
        "::1",
        "fd00::1",
        "fe80::1",
        "fec0::1",
        "8.8.8.8",
        "::ffff:10.0.0.1",
        "::ffff:8.8.8.8",
        "64:ff9b::10.0.0.1",
        "2002:a00:1::1",
    ] {
        assert!(allowed(&guard, address), "{address}");
    }
    for address in [
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "192.0.2.1",
        "ff02::1",
        "100::1",
        "2001:db8::1",
        "::ffff:0.0.0.0",
        "::ffff:224.0.0.1",
        "64:ff9b::255.255.255.255",
        "2002:e000:1::1",
    ] {
        assert!(!allowed(&guard, address), "{address}");
    }
}

#[test]
fn a_named_range_allows_just_itself() {
    let guard = network(false, &["10.1.0.0/16", "fd12::/16", "192.0.2.7/32"]);
    for address in ["10.1.0.0", "10.1.255.255", "fd12::1", "192.0.2.7", "8.8.8.8", "::ffff:10.1.2.3"] {
        assert!(allowed(&guard, address), "{address}");
    }
    for address in [
        "10.0.255.255",
        "10.2.0.0",
        "fd13::1",
        "127.0.0.1",
        "192.0.2.8",
        "::ffff:10.2.0.1",
        "64:ff9b::10.1.2.3",
        "2002:a01:203::1",
        "::10.1.2.3",
    ] {
        assert!(!allowed(&guard, address), "{address}");
    }
}

#[test]
fn what_is_inside_an_address_is_judged_too() {
    // The operator's network has a NAT64 gateway: the whole IPv4 internet is behind it, and its own network.
    let guard =
        network(false, &["64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::ffff:0:0/96"]);
    for address in [
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::8.8.8.8",
        "64:ff9b:1:808:8:800::",
        "2002:808:808::1",
        // Teredo with server 8.8.8.8 and client 8.8.4.4.
        "2001:0:808:808:0:0:f7f7:fbfb",
        "::ffff:8.8.8.8",
    ] {
        assert!(allowed(&guard, address), "{address}");
    }
    for address in [
        "64:ff9b::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::10.0.0.1",
        // 10.0.0.1 under a prefix of 48, 56 and 64 bits.
        "64:ff9b:1:a00:0:100::",
        "64:ff9b:1:a:0:1::",
        "64:ff9b:1:0:a:0:100:0",
        "64:ff9b:1::",
        "2002:7f00:1::",
        "2002:c0a8:101::1",
        // Teredo with a private server, then with a private client.
        "2001:0:a00:1:0:0:f7f7:fbfb",
        "2001:0:808:808:0:0:f5ff:fffe",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
    ] {
        assert!(!allowed(&guard, address), "{address}");
    }
}

#[test]
fn one_bad_answer_refuses_the_name() {
    let parse = |text: &str| text.parse::<IpAddr>().unwrap();
    let answers = [parse("8.8.8.8"), parse("2606:4700::1"), parse("169.254.169.254")];
    let error = Guard::default().check(&answers).unwrap_err();
    assert_eq!(error, GuardError::NotAllowed { address: answers[2], kind: Kind::LinkLocal });
    assert!(!error.to_string().contains("169.254"), "{error}");
    assert!(Guard::default().check(&answers[..2]).is_ok());
    assert_eq!(Guard::default().check(&[]), Err(GuardError::NoAddress));
}
