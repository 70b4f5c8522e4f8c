//! A tiny receiver of HTTP requests, as a customer would write one: it takes what is signed well and refuses the rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use secrecy::SecretString;
use serde::Serialize;
use tenant_sync_core::http::sign::Signer;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const BODY_BYTES_MAX: usize = 1 << 20;

/// What came so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Came {
    /// Requests.
    pub(super) requests: u64,
    /// Those of them whose signature is good.
    pub(super) verified: u64,
}

/// Listens on a loopback port as long as it is there.
pub(super) struct Receiver {
    listener: Option<TcpListener>,
    url: String,
    counts: Arc<[AtomicU64; 2]>,
    connections: JoinSet<()>,
}

impl Receiver {
    /// Has a URL at once, and answers when it is started.
    pub(super) async fn bind() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}/events", listener.local_addr()?);
        Ok(Self { listener: Some(listener), url, counts: Arc::default(), connections: JoinSet::new() })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Answers from now on, checking by this secret.
    pub(super) fn start(&mut self, secret: &SecretString) -> anyhow::Result<()> {
        let signer = Arc::new(Signer::new([secret])?);
        let Some(listener) = self.listener.take() else { return Ok(()) };
        let counts = Arc::clone(&self.counts);
        self.connections.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (signer, counts) = (Arc::clone(&signer), Arc::clone(&counts));
                open.spawn(async move {
                    // A connection that breaks is the sender's to open again.
                    let _ = serve(socket, &signer, &counts).await;
                });
                while open.try_join_next().is_some() {}
            }
        });
        Ok(())
    }

    pub(super) fn came(&self) -> Came {
        let [requests, verified] = [0, 1].map(|at: usize| self.counts[at].load(Ordering::Relaxed));
        Came { requests, verified }
    }
}

async fn serve(socket: TcpStream, signer: &Signer, counts: &[AtomicU64; 2]) -> std::io::Result<()> {
    let mut stream = BufReader::new(socket);
    loop {
        let (mut id, mut timestamp, mut signature, mut length) = (String::new(), 0, String::new(), 0_usize);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                if line.trim_end().is_empty() {
                    break;
                }
                continue;
            };
            match name.to_ascii_lowercase().as_str() {
                "webhook-id" => value.clone_into(&mut id),
                "webhook-timestamp" => timestamp = value.parse().unwrap_or(0),
                "webhook-signature" => value.clone_into(&mut signature),
                "content-length" => length = value.parse().unwrap_or(0),
                _ => {}
            }
        }
        let mut body = vec![0; length.min(BODY_BYTES_MAX)];
        stream.read_exact(&mut body).await?;
        let good = signer.sign(&id, timestamp, &body).is_some_and(|expected| expected == signature);
        counts[0].fetch_add(1, Ordering::Relaxed);
        counts[1].fetch_add(u64::from(good), Ordering::Relaxed);
        let status = if good { "204 No Content" } else { "401 Unauthorized" };
        stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await?;
    }
}
