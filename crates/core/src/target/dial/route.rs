//! A checked address, and how to open a stream to it: for a session, and again to cancel a statement.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::transport::Transport;
use super::{DialError, Step};
use crate::target::bounded::ProtocolAbuse;
use crate::target::class::TargetFault;
use crate::target::tls::TlsError;
use crate::target::url::{Endpoint, Host, SslMode};

/// Length 8 and the number by which a server recognises the question.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_PROBES: u32 = 3;
/// What was sent and not acknowledged for this long ends the connection.
const USER_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub(super) struct Route {
    pub(super) endpoint: Endpoint,
    pub(super) address: SocketAddr,
    pub(super) level: SslMode,
    pub(super) connector: MakeRustlsConnect,
    pub(super) step: Duration,
}

impl Route {
    /// A TCP connection to the checked address.
    pub(super) async fn tcp(&self) -> Result<TcpStream, DialError> {
        let failed = |error: std::io::Error| DialError::Tcp {
            endpoint: self.endpoint.to_string(),
            kind: error.kind(),
            class: TargetFault::from_io(&error).class,
        };
        let socket = self.within(Step::Tcp, TcpStream::connect(self.address)).await?.map_err(failed)?;
        notice_a_dead_peer(&socket).map_err(failed)?;
        Ok(socket)
    }

    /// Asks for TLS and shakes hands, as far as the level wants it.
    pub(super) async fn secure(&self, mut socket: TcpStream) -> Result<Transport, DialError> {
        if self.level == SslMode::Disable {
            return Ok(Transport::Plain(socket));
        }
        let host = self.endpoint.host.to_string();
        let answer = self.within(Step::Tls, ask_for_tls(&mut socket)).await?;
        match answer.map_err(|error| TlsError::from_handshake(&host, &error))? {
            b'S' => {}
            b'N' if self.level <= SslMode::Prefer => return Ok(Transport::Plain(socket)),
            b'N' => return Err(TlsError::NotOffered { host }.into()),
            _ => {
                let source = ProtocolAbuse::NotTheProtocol;
                return Err(DialError::NotPostgres { endpoint: self.endpoint.to_string(), source });
            }
        }
        let name = match &self.endpoint.host {
            Host::Name(name) => name.clone(),
            Host::Address(address) => address.to_string(),
        };
        let Ok(connect) = MakeTlsConnect::<TcpStream>::make_tls_connect(&mut self.connector.clone(), &name);
        let shaken = self.within(Step::Tls, connect.connect(socket)).await?;
        let stream = shaken.map_err(|error| TlsError::from_handshake(&host, &error))?;
        Ok(Transport::Tls(Box::new(stream)))
    }

    /// Waits for one step as long as it may take.
    pub(super) async fn within<T>(
        &self,
        step: Step,
        future: impl Future<Output = T>,
    ) -> Result<T, DialError> {
        let endpoint = || self.endpoint.to_string();
        let late = |_| DialError::Timeout { endpoint: endpoint(), step, limit: self.step };
        timeout(self.step, future).await.map_err(late)
    }
}

async fn ask_for_tls(socket: &mut TcpStream) -> std::io::Result<u8> {
    socket.write_all(&SSL_REQUEST).await?;
    // One byte and no more: what follows belongs to the handshake.
    socket.read_u8().await
}

fn notice_a_dead_peer(socket: &TcpStream) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    let socket = SockRef::from(socket);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dead_peer_is_noticed_within_half_a_minute() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        notice_a_dead_peer(&socket).unwrap();
        let socket = SockRef::from(&socket);
        assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
        assert!(KEEPALIVE_IDLE + KEEPALIVE_INTERVAL * KEEPALIVE_PROBES <= Duration::from_secs(30));
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_IDLE);
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
    }
}
