//! The way through the operator's proxy: a tunnel (CONNECT) to an address that was checked here.
//!
//! The proxy itself is the operator's and allowed by being configured. Whom it connects us to is decided here: the name is
//! resolved and judged as without a proxy, and what the proxy is asked for is an address, so that its resolver has no say.
//! TLS is spoken through the tunnel, with the name that was asked for. What goes without TLS goes through a tunnel, too: in
//! the other form of a proxied request the proxy would resolve the name anew.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::client::NoAddress;
use crate::config::Proxy;
use crate::guard::{Guard, Resolver};

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 3;
/// Bytes of the proxy's answer.
const HEAD_BYTES_MAX: usize = 8_192;

/// Why there is no tunnel.
#[derive(Debug, thiserror::Error)]
pub(super) enum TunnelError {
    /// The name may not be called, or is not known.
    #[error(transparent)]
    NoAddress(#[from] NoAddress),
    /// The proxy itself does not answer.
    #[error("the proxy of requests.proxy cannot be reached ({0})")]
    NoProxy(io::ErrorKind),
    /// It does not know us.
    #[error("the proxy of requests.proxy wants other credentials (407)")]
    Credentials,
    /// It leads to nowhere.
    #[error("the proxy of requests.proxy opens no tunnel there (it answered {0})")]
    Refused(u16),
    /// What it answers is no HTTP.
    #[error("the proxy of requests.proxy does not speak HTTP")]
    Garbage,
    /// Name, tunnel and TLS took too long.
    #[error("no connection within {} ms", .0.as_millis())]
    TooLong(Duration),
    /// The stream broke, or TLS failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Makes connections through the proxy.
#[derive(Clone)]
pub(super) struct Tunnels {
    pub(super) proxy: Proxy,
    pub(super) resolver: Arc<Resolver>,
    pub(super) guard: Arc<Guard>,
    pub(super) limit: Duration,
    pub(super) tls: TlsConnector,
}

/// A connection through the proxy.
pub(super) enum Tunnel {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl tower_service::Service<Uri> for Tunnels {
    type Response = TokioIo<Tunnel>;
    type Error = TunnelError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Tunnel>, TunnelError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TunnelError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let tunnels = self.clone();
        Box::pin(async move {
            let tunnel = timeout(tunnels.limit, tunnels.open(&uri)).await;
            tunnel.unwrap_or(Err(TunnelError::TooLong(tunnels.limit))).map(TokioIo::new)
        })
    }
}

impl Tunnels {
    async fn open(&self, uri: &Uri) -> Result<Tunnel, TunnelError> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let is_tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => self.resolver.addresses(host, self.limit).await.map_err(NoAddress::from)?,
        };
        self.guard.check(&addresses).map_err(NoAddress::from)?;
        let mut refused = TunnelError::Garbage;
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            match self.connect(SocketAddr::new(address, port)).await {
                Ok(stream) if !is_tls => return Ok(Tunnel::Plain(stream)),
                Ok(stream) => {
                    let name = ServerName::try_from(host.to_owned())
                        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
                    return Ok(Tunnel::Tls(Box::new(self.tls.connect(name, stream).await?)));
                }
                // Another address may be one that it reaches.
                Err(error @ TunnelError::Refused(_)) => refused = error,
                Err(error) => return Err(error),
            }
        }
        Err(refused)
    }

    /// A tunnel to this address.
    async fn connect(&self, to: SocketAddr) -> Result<TcpStream, TunnelError> {
        let dialled = TcpStream::connect((self.proxy.host.as_str(), self.proxy.port));
        // Half of the time: that the proxy is away is a fault of ours, and must be told apart.
        let mut stream = match timeout(self.limit / 2, dialled).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(TunnelError::NoProxy(error.kind())),
            Err(_) => return Err(TunnelError::NoProxy(io::ErrorKind::TimedOut)),
        };
        stream.set_nodelay(true)?;
        let mut head = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
        if let Some(authorization) = &self.proxy.authorization {
            head.push_str(&format!("Proxy-Authorization: {}\r\n", authorization.expose_secret()));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await?;
        match status(&mut stream).await? {
            200..=299 => Ok(stream),
            407 => Err(TunnelError::Credentials),
            status => Err(TunnelError::Refused(status)),
        }
    }
}

/// Reads the proxy's answer and nothing behind it: whoever is called does not speak first.
async fn status(stream: &mut TcpStream) -> Result<u16, TunnelError> {
    let mut head: Vec<u8> = Vec::new();
    let mut chunk = [0; 1_024];
    while !head.ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut chunk).await?;
        head.extend_from_slice(&chunk[..read]);
        if read == 0 || head.len() > HEAD_BYTES_MAX {
            return Err(TunnelError::Garbage);
        }
    }
    let text = std::str::from_utf8(&head).ok().and_then(|text| text.strip_prefix("HTTP/1."));
    let status = text.and_then(|text| text.split(' ').nth(1)?.split(['\r', ' ']).next()?.parse().ok());
    status.ok_or(TunnelError::Garbage)
}

impl Connection for Tunnel {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
