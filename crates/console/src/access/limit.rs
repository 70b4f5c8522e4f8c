//! A bound on guessing keys: failed logins of each address in a minute.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered; those beyond share one count.
const ADDRESSES_MAX: usize = 10_000;

#[derive(Debug, Clone, Copy)]
struct Failures {
    since: Instant,
    count: u32,
}

/// Failed logins. One that is as many as allowed makes its address wait until the minute is over.
#[derive(Debug)]
pub(super) struct FailedLogins {
    allowed: u32,
    by_address: Mutex<HashMap<IpAddr, Failures>>,
}

impl FailedLogins {
    pub(super) fn new(allowed: u32) -> Self {
        Self { allowed, by_address: Mutex::default() }
    }

    /// How long an address has to wait before it may try again.
    pub(super) fn must_wait(&self, from: IpAddr, now: Instant) -> Option<Duration> {
        let known = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = known.get(&neighbourhood(from)).or_else(|| {
            // There was no room to remember it by itself.
            (known.len() >= ADDRESSES_MAX).then(|| known.get(&OTHERS)).flatten()
        })?;
        let over = failures.since + WINDOW;
        (failures.count >= self.allowed && now < over).then(|| over - now)
    }

    pub(super) fn note(&self, from: IpAddr, now: Instant) {
        let mut known = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let mut address = neighbourhood(from);
        if !known.contains_key(&address) && known.len() >= ADDRESSES_MAX {
            known.retain(|_, failures| now < failures.since + WINDOW);
            if known.len() >= ADDRESSES_MAX {
                address = OTHERS;
            }
        }
        let failures = known.entry(address).or_insert(Failures { since: now, count: 0 });
        if now >= failures.since + WINDOW {
            *failures = Failures { since: now, count: 0 };
        }
        failures.count = failures.count.saturating_add(1);
    }
}

const OTHERS: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// Who has an IPv6 address usually has 2^64 of them.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => {
            let [a, b, c, d, ..] = six.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 1))
        }
        four => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_waits_after_too_many_and_others_do_not() {
        let (failed, now) = (FailedLogins::new(3), Instant::now());
        for _ in 0..3 {
            assert_eq!(failed.must_wait(address("192.0.2.1"), now), None);
            failed.note(address("192.0.2.1"), now);
        }
        assert_eq!(failed.must_wait(address("192.0.2.1"), now), Some(WINDOW));
        assert!(failed.must_wait(address("::ffff:192.0.2.1"), now).is_some(), "the same one");
        assert_eq!(failed.must_wait(address("192.0.2.2"), now), None);
        assert_eq!(failed.must_wait(address("192.0.2.1"), now + WINDOW), None);
        failed.note(address("192.0.2.1"), now + WINDOW);
        assert_eq!(failed.must_wait(address("192.0.2.1"), now + WINDOW), None, "counted anew");
    }

    #[test]
    fn a_network_of_version_6_counts_as_one() {
        let (failed, now) = (FailedLogins::new(2), Instant::now());
        failed.note(address("2001:db8:1:2::1"), now);
        failed.note(address("2001:db8:1:2:ffff::9"), now);
        assert!(failed.must_wait(address("2001:db8:1:2::77"), now).is_some());
        assert_eq!(failed.must_wait(address("2001:db8:1:3::1"), now), None);
    }

    #[test]
    fn memory_is_bounded_and_a_crowd_is_bounded_too() {
        let (failed, now) = (FailedLogins::new(2), Instant::now());
        for number in 0..ADDRESSES_MAX + 10 {
            let four = std::net::Ipv4Addr::from(u32::try_from(number).expect("small") + 0x0A00_0000);
            failed.note(IpAddr::V4(four), now);
        }
        assert!(failed.by_address.lock().expect("a lock").len() <= ADDRESSES_MAX + 1);
        assert!(failed.must_wait(address("192.0.2.1"), now).is_some(), "a newcomer shares the count");
        failed.note(address("192.0.2.1"), now + WINDOW);
        assert_eq!(failed.by_address.lock().expect("a lock").len(), 1);
    }
}
