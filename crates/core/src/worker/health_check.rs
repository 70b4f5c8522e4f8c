//! `--health-check`: asks the worker of the same configuration whether it is ready, as an orchestrator would.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Longest wait for each step. A worker asks its own dependencies for 2 s.
const TIMEOUT: Duration = Duration::from_secs(3);
/// More than any answer has.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Asks `/readyz` at `health.listen`. Blocks for at most a few seconds.
///
/// # Errors
/// There is no such address, nobody answers there, or the worker is not ready: what it said.
pub(super) fn ask(listen: Option<SocketAddr>) -> Result<(), String> {
    let listen = listen.ok_or("--health-check needs health.listen, where the worker serves /readyz")?;
    let address = reachable(listen);
    let answer = fetch(address).map_err(|error| format!("no answer from {address}: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(()),
        Some(status) => Err(format!("not ready ({status}): {}", body.trim())),
        None => Err(format!("{address} does not speak HTTP")),
    }
}

fn fetch(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(stream, "GET /readyz HTTP/1.0\r\nhost: {address}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Who listens on all addresses is reached by the loopback one.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;

    use super::super::health::{self, Health};

    #[tokio::test(flavor = "multi_thread")]
    async fn it_says_what_the_worker_says() {
        let (health, stopping) = (Health::default(), CancellationToken::new());
        let up = Arc::new(AtomicBool::new(true));
        let probe = Arc::clone(&up);
        health.add("broker", move || {
            let up = probe.load(Ordering::SeqCst);
            async move { if up { Ok(()) } else { Err("is away".to_owned()) } }
        });
        // On all addresses, as in a container.
        let listener = TcpListener::bind("0.0.0.0:0").await.expect("bind");
        let listen = listener.local_addr().expect("address");
        let server = tokio::spawn(health::serve(listener, health, stopping.clone()));
        let ask = || tokio::task::spawn_blocking(move || super::ask(Some(listen)));

        assert_eq!(ask().await.expect("joins"), Ok(()));
        up.store(false, Ordering::SeqCst);
        let reason = ask().await.expect("joins").expect_err("not ready");
        assert!(reason.contains("503") && reason.contains("\"broker\":\"is away\""), "{reason}");
        stopping.cancel();
        server.await.expect("task").expect("served");
        let reason = ask().await.expect("joins").expect_err("gone");
        assert!(reason.contains("no answer from 127.0.0.1"), "{reason}");
    }

    #[test]
    fn it_needs_an_address() {
        assert!(super::ask(None).expect_err("no address").contains("health.listen"));
    }
}
