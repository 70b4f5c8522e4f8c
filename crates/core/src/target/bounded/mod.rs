//! What a target may send: a stream that fails instead of filling our memory.
//!
//! A client library reads a message completely before it looks at it, and keeps all rows of an answer. A
//! server that announces a message of 2 GiB, or never ends an answer, would take the worker with it. So
//! the bytes are measured as they pass, above TLS, and the connection ends at the first one too many.

mod meter;
#[cfg(test)]
mod tests;

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

use meter::Meter;

/// How much a target may send. What it has to say is always small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message.
    pub message_bytes: u64,
    /// Bytes of everything up to the end of the login, notices included.
    pub startup_bytes: u64,
    /// Bytes of one answer: everything between two "ready for query", notices included.
    pub answer_bytes: u64,
    /// Different settings that the server may report; the client library keeps each of them.
    pub parameters: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes: 16 << 20, startup_bytes: 1 << 20, answer_bytes: 64 << 20, parameters: 64 }
    }
}

/// What a server did that no honest server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolAbuse {
    /// A message announces more bytes than allowed.
    #[error("the server sent a message larger than {max} bytes")]
    Message {
        /// The limit.
        max: u64,
    },
    /// The login does not come to its end.
    #[error("the server sent more than {max} bytes before the login was complete")]
    Startup {
        /// The limit.
        max: u64,
    },
    /// An answer does not come to its end.
    #[error("the server sent an answer larger than {max} bytes")]
    Answer {
        /// The limit.
        max: u64,
    },
    /// More settings than any server reports.
    #[error("the server reported more than {max} settings")]
    Parameters {
        /// The limit.
        max: usize,
    },
    /// Bytes that are no message of the protocol.
    #[error("the server sent something that is not the PostgreSQL protocol")]
    NotTheProtocol,
}

impl From<ProtocolAbuse> for io::Error {
    fn from(abuse: ProtocolAbuse) -> Self {
        Self::new(io::ErrorKind::InvalidData, abuse)
    }
}

/// What was seen on a connection. Shared with whoever holds the session.
#[derive(Debug, Default)]
pub struct Observed {
    bytes_read: AtomicU64,
    backend_pid: AtomicI32,
    login_method: AtomicI32,
    abuse: OnceLock<ProtocolAbuse>,
}

impl Observed {
    /// Bytes received so far, above TLS.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// The process id that the server announced at login; a pooler announces a number of its own.
    #[must_use]
    pub fn backend_pid(&self) -> i32 {
        self.backend_pid.load(Ordering::Relaxed)
    }

    /// The last login method that the server asked for (the number of its `Authentication…` message),
    /// 0 if it asked for none.
    #[must_use]
    pub fn login_method(&self) -> i32 {
        self.login_method.load(Ordering::Relaxed)
    }

    /// Why the connection was ended by us.
    #[must_use]
    pub fn abuse(&self) -> Option<ProtocolAbuse> {
        self.abuse.get().copied()
    }
}

/// A stream from a server that speaks the Postgres protocol, from its first message on.
#[derive(Debug)]
pub struct BoundedStream<S> {
    inner: S,
    meter: Meter,
    observed: Arc<Observed>,
    /// Our side has said its last word.
    shut: bool,
}

impl<S> BoundedStream<S> {
    /// Measures `inner`, which must have sent nothing above TLS yet.
    pub fn new(inner: S, limits: Limits) -> Self {
        Self { inner, meter: Meter::new(limits), observed: Arc::default(), shut: false }
    }

    /// What is seen on this stream.
    #[must_use]
    pub fn observed(&self) -> Arc<Observed> {
        Arc::clone(&self.observed)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for BoundedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(abuse) = self.observed.abuse() {
            return Poll::Ready(Err(abuse.into()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let this = &mut *self;
        let seen = this.meter.feed(&buf.filled()[before..], &this.observed);
        Poll::Ready(seen.map_err(|abuse| {
            let _ = this.observed.abuse.set(abuse);
            abuse.into()
        }))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for BoundedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    /// Ends when the server has hung up, too: then its session is gone, and does not count there any more.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shut {
            ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
            self.shut = true;
        }
        let mut scratch = [MaybeUninit::uninit(); 512];
        loop {
            let mut rest = ReadBuf::uninit(&mut scratch);
            // What it says after our farewell is nobody's; how it ends neither.
            if ready!(Pin::new(&mut self.inner).poll_read(cx, &mut rest)).is_err() || rest.filled().is_empty()
            {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: TlsStream + Unpin> TlsStream for BoundedStream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.inner.channel_binding()
    }
}
