//! Free loopback ports.

use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};

static PICKED: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// A port that nobody listens on and that this process has not handed out yet. It lies below 32768: the kernel
/// gives higher ones to outgoing connections, and a client that reconnects to a stopped server can get the
/// server's own.
///
/// # Panics
/// There is none.
#[must_use]
pub fn free_port() -> u16 {
    let mut picked = PICKED.lock().unwrap_or_else(PoisonError::into_inner);
    let picked = picked.get_or_insert_default();
    (0..500)
        .map(|_| rand::random_range(20_000..32_000))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok() && picked.insert(*port))
        .expect("a free port between 20000 and 31999")
}
