//! An HTTP server that keeps what it is sent, and misbehaves on request.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// What it does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers with this status.
    Status(u16),
    /// Answers with a status, one more header, and a body.
    Answer(u16, String, String),
    /// Answers 200 after a while.
    Slow(Duration),
    /// Answers 200 once two requests have been under way at once; never if that does not happen.
    InCompany,
    /// Never answers.
    Silent,
    /// Resets the connection.
    Reset,
    /// Answers with this status and a body that never ends, as fast as it is read.
    Endless(u16),
    /// Answers 200, and never sends the body that it promised.
    Stalled,
    /// Answers something that is no HTTP.
    Garbage,
}

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct Received {
    /// `POST`, …
    pub method: String,
    /// With the query.
    pub path: String,
    /// By names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body as text.
    pub body: String,
    /// When it had arrived.
    pub at: Instant,
}

impl Received {
    /// A header's value; empty if there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The id that stays the same over retries.
    #[must_use]
    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }
}

#[derive(Debug)]
struct State {
    usual: Mutex<Behaviour>,
    next: Mutex<VecDeque<Behaviour>>,
    received: Mutex<Vec<Received>>,
    keeps: AtomicBool,
    count: AtomicUsize,
    open: AtomicUsize,
    most_open: watch::Sender<usize>,
}

/// Listens on a loopback port until it is dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    scheme: &'static str,
    state: Arc<State>,
    task: AbortHandle,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Receiver {
    /// One that answers 200.
    ///
    /// # Panics
    /// There is no free port.
    pub async fn start() -> Self {
        Self::listen(None).await
    }

    /// The same with TLS, by a certificate and its key as PEM.
    ///
    /// # Panics
    /// The certificate cannot be used.
    pub async fn start_tls(chain: &str, key: &str) -> Self {
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>().expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a certificate");
        Self::listen(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn listen(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            usual: Mutex::new(Behaviour::Status(200)),
            next: Mutex::default(),
            received: Mutex::default(),
            keeps: AtomicBool::new(true),
            count: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            most_open: watch::Sender::new(0),
        });
        let scheme = if tls.is_some() { "https" } else { "http" };
        let task = tokio::spawn(accept(listener, tls, Arc::clone(&state))).abort_handle();
        Self { address, scheme, state, task }
    }

    /// Where it listens, with a path.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("127.0.0.1")
    }

    /// The same by another name of this machine.
    #[must_use]
    pub fn url_of(&self, host: &str) -> String {
        format!("{}://{host}:{}/hook", self.scheme, self.address.port())
    }

    /// What it does from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        *lock(&self.state.usual) = behaviour;
    }

    /// What it does with the next requests, before it is itself again.
    pub fn next(&self, behaviours: impl IntoIterator<Item = Behaviour>) {
        lock(&self.state.next).extend(behaviours);
    }

    /// It only counts, for a bench.
    pub fn keep_nothing(&self) {
        self.state.keeps.store(false, Ordering::Relaxed);
    }

    /// What arrived so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        lock(&self.state.received).clone()
    }

    /// How many requests arrived.
    #[must_use]
    pub fn count(&self) -> usize {
        self.state.count.load(Ordering::Relaxed)
    }

    /// Most requests that were under way at the same time.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        *self.state.most_open.borrow()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let (tls, state) = (tls.clone(), Arc::clone(&state));
        let _ = socket.set_nodelay(true);
        connections.spawn(async move {
            let control = socket.as_fd().try_clone_to_owned().map(std::net::TcpStream::from);
            let Ok(control) = control else { return };
            match tls {
                None => serve::<TcpStream>(socket, &control, &state).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(socket).await {
                        serve(stream, &control, &state).await;
                    }
                }
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    control: &std::net::TcpStream,
    state: &State,
) {
    let mut buffer = Vec::new();
    while let Some(received) = read(&mut stream, &mut buffer).await {
        state.count.fetch_add(1, Ordering::Relaxed);
        let open = state.open.fetch_add(1, Ordering::Relaxed) + 1;
        state.most_open.send_if_modified(|most| {
            let more = open > *most;
            *most = open.max(*most);
            more
        });
        if state.keeps.load(Ordering::Relaxed) {
            lock(&state.received).push(received);
        }
        let behaviour = lock(&state.next).pop_front().unwrap_or_else(|| lock(&state.usual).clone());
        let goes_on = act(behaviour, &mut stream, control, state).await;
        state.open.fetch_sub(1, Ordering::Relaxed);
        if !goes_on {
            return;
        }
    }
}

/// `false` = the connection ends.
async fn act<S: AsyncWrite + Unpin>(
    behaviour: Behaviour,
    stream: &mut S,
    control: &std::net::TcpStream,
    state: &State,
) -> bool {
    match behaviour {
        Behaviour::Status(status) => answer(stream, status, "", "").await,
        Behaviour::Answer(status, header, body) => answer(stream, status, &header, &body).await,
        Behaviour::Slow(pause) => {
            tokio::time::sleep(pause).await;
            answer(stream, 200, "", "").await
        }
        Behaviour::InCompany => {
            let met = state.most_open.subscribe().wait_for(|most| *most > 1).await.is_ok();
            met && answer(stream, 200, "", "").await
        }
        Behaviour::Silent => std::future::pending().await,
        Behaviour::Reset => {
            let _ = SockRef::from(control).set_linger(Some(Duration::ZERO));
            false
        }
        Behaviour::Endless(status) => {
            let head = format!("HTTP/1.1 {status} X\r\ntransfer-encoding: chunked\r\n\r\n");
            let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
            let mut written = stream.write_all(head.as_bytes()).await;
            while written.is_ok() {
                written = stream.write_all(chunk.as_bytes()).await;
            }
            false
        }
        Behaviour::Stalled => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegin").await;
            std::future::pending().await
        }
        Behaviour::Garbage => {
            let _ = stream.write_all(b"220 mail.example.com ESMTP\r\n\r\n").await;
            false
        }
    }
}

async fn answer<S: AsyncWrite + Unpin>(stream: &mut S, status: u16, header: &str, body: &str) -> bool {
    let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
    let text = format!("HTTP/1.1 {status} X\r\n{header}content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).await.is_ok()
}

/// The next request of a connection; `None` = it is closed.
async fn read<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut Vec<u8>) -> Option<Received> {
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(Some(0), |text| text.parse().ok())?;
    let end = head_end + 4 + length;
    while buffer.len() < end {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8_lossy(&buffer[head_end + 4..end]).into_owned();
    buffer.drain(..end);
    Some(Received { method, path, headers, body, at: Instant::now() })
}
