//! A TCP proxy that passes, cuts, holds, slows or refuses, and counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::ports::free_port;
use crate::urls;

/// What happens to bytes and connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Pass,
    Cut,
    Refuse,
    Hold,
    HoldAnswers,
    Slow { bytes_per_second: u32, latency: Duration },
}

/// What every connection watches. A connection ends when `generation` is no longer the one that it started with.
#[derive(Debug, Clone)]
struct Rule {
    mode: Mode,
    generation: u64,
    target: Arc<str>,
}

/// What went through.
#[derive(Debug, Default)]
struct Counters {
    opened: AtomicU64,
    open: AtomicU64,
    to_server: AtomicU64,
    to_client: AtomicU64,
}

/// What went through a proxy so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Connections that were accepted and forwarded.
    pub opened: u64,
    /// Those that are open now.
    pub open: u64,
    /// Bytes forwarded to the server.
    pub to_server: u64,
    /// Bytes forwarded to the client.
    pub to_client: u64,
}

/// Listens on a loopback port until it is dropped; dropping it closes its connections. Changes reach open connections
/// at once.
#[derive(Debug)]
pub struct Proxy {
    address: String,
    rule: watch::Sender<Rule>,
    counters: Arc<Counters>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts to pass everything to `target` (`host:port`).
    ///
    /// # Panics
    /// The port that was free a moment ago is not.
    pub async fn start(target: &str) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let rule = Rule { mode: Mode::Pass, generation: 0, target: target.into() };
        let (sender, receiver) = watch::channel(rule);
        let counters = Arc::new(Counters::default());
        let listener = TcpListener::bind(&address).await.expect("a free port");
        let task = tokio::spawn(serve(listener, address.clone(), receiver, counters.clone()));
        Self { address, rule: sender, counters, task }
    }

    /// In front of the server of a connection string.
    ///
    /// # Panics
    /// As [`Proxy::start`].
    pub async fn for_url(url: &str) -> Self {
        Self::start(urls::address(url)).await
    }

    /// `host:port` of the proxy.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The same connection string by way of the proxy.
    #[must_use]
    pub fn url(&self, url: &str) -> String {
        urls::with_address(url, &self.address)
    }

    /// Everything goes through; what was held goes on.
    pub fn pass(&self) {
        self.change(|rule| rule.mode = Mode::Pass);
    }

    /// Closes all connections, and from now on each new one as soon as it is accepted.
    pub fn cut(&self) {
        self.change(|rule| (rule.mode, rule.generation) = (Mode::Cut, rule.generation + 1));
    }

    /// Closes all connections and stops listening: new ones are refused.
    pub fn refuse(&self) {
        self.change(|rule| (rule.mode, rule.generation) = (Mode::Refuse, rule.generation + 1));
    }

    /// Closes the connections that are open now; new ones work.
    pub fn cut_connections(&self) {
        self.change(|rule| rule.generation += 1);
    }

    /// Forwards nothing in either direction and keeps connections open, as when a machine is gone without a word. New
    /// connections are accepted and hang.
    pub fn hold(&self) {
        self.change(|rule| rule.mode = Mode::Hold);
    }

    /// Forwards requests and holds the answers: the client cannot know whether its request was carried out.
    pub fn hold_answers(&self) {
        self.change(|rule| rule.mode = Mode::HoldAnswers);
    }

    /// Forwards each connection at this rate, every byte `latency` late (in each direction).
    pub fn slow(&self, bytes_per_second: u32, latency: Duration) {
        self.change(|rule| rule.mode = Mode::Slow { bytes_per_second, latency });
    }

    /// Sends new connections elsewhere, as after a failover.
    pub fn point_at(&self, target: &str) {
        self.change(|rule| rule.target = target.into());
    }

    /// What went through.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let get = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        let c = &self.counters;
        Counts {
            opened: get(&c.opened),
            open: get(&c.open),
            to_server: get(&c.to_server),
            to_client: get(&c.to_client),
        }
    }

    fn change(&self, how: impl FnOnce(&mut Rule)) {
        self.rule.send_modify(how);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    listener: TcpListener,
    address: String,
    mut rule: watch::Receiver<Rule>,
    counters: Arc<Counters>,
) {
    let mut listener = Some(listener);
    // Connections end with this task.
    let mut connections = JoinSet::new();
    loop {
        let now = rule.borrow_and_update().clone();
        if now.mode == Mode::Refuse {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind(&address).await.ok();
        }
        let accept = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = rule.changed() => if changed.is_err() { return },
            Ok((client, _)) = accept => {
                if now.mode != Mode::Cut {
                    connections.spawn(connect(client, rule.clone(), counters.clone(), now));
                }
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// One connection, from accept to its end.
async fn connect(client: TcpStream, rule: watch::Receiver<Rule>, counters: Arc<Counters>, start: Rule) {
    let mut watcher = rule.clone();
    let forward = async {
        let mut gate = rule.clone();
        if gate.wait_for(|rule| rule.mode != Mode::Hold).await.is_err() {
            return;
        }
        let Ok(server) = TcpStream::connect(&*start.target).await else { return };
        counters.opened.fetch_add(1, Ordering::SeqCst);
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let up = Pipe { rule: rule.clone(), answers: false, forwarded: &counters.to_server };
        let down = Pipe { rule, answers: true, forwarded: &counters.to_client };
        // An error in one direction ends both.
        let _ = tokio::try_join!(up.run(from_client, to_server), down.run(from_server, to_client));
    };
    let _open = Open::new(&counters);
    tokio::select! {
        () = forward => {}
        _ = watcher.wait_for(|rule| rule.generation != start.generation) => {}
    }
}

/// Counts a connection as open while it exists.
struct Open<'a>(&'a Counters);

impl<'a> Open<'a> {
    fn new(counters: &'a Counters) -> Self {
        counters.open.fetch_add(1, Ordering::SeqCst);
        Self(counters)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One direction of a connection.
struct Pipe<'a> {
    rule: watch::Receiver<Rule>,
    answers: bool,
    forwarded: &'a AtomicU64,
}

impl Pipe<'_> {
    async fn run(&self, from: OwnedReadHalf, to: OwnedWriteHalf) -> std::io::Result<()> {
        // Bounded, so that a slow direction slows its sender down. Latency delays bytes without thinning them out.
        let (sender, receiver) = mpsc::channel(64);
        tokio::try_join!(self.read(from, sender), self.write(to, receiver))?;
        Ok(())
    }

    async fn read(
        &self,
        mut from: OwnedReadHalf,
        sender: mpsc::Sender<(Instant, Vec<u8>)>,
    ) -> std::io::Result<()> {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            self.open_gate().await?;
            let length = from.read(&mut buffer).await?;
            if length == 0 || sender.send((Instant::now(), buffer[..length].to_vec())).await.is_err() {
                return Ok(());
            }
        }
    }

    async fn write(
        &self,
        mut to: OwnedWriteHalf,
        mut receiver: mpsc::Receiver<(Instant, Vec<u8>)>,
    ) -> std::io::Result<()> {
        while let Some((arrived, bytes)) = receiver.recv().await {
            self.open_gate().await?;
            let mode = self.rule.borrow().mode;
            let Mode::Slow { bytes_per_second, latency } = mode else {
                self.forward(&mut to, &bytes).await?;
                continue;
            };
            tokio::time::sleep_until(arrived + latency).await;
            // Small pieces, so that a reader sees a trickle and not a burst every second.
            for piece in bytes.chunks((bytes_per_second as usize / 50).clamp(1, 16 * 1024)) {
                let time = Duration::from_secs_f64(piece.len() as f64 / f64::from(bytes_per_second.max(1)));
                self.forward(&mut to, piece).await?;
                tokio::time::sleep(time).await;
            }
        }
        to.shutdown().await
    }

    async fn forward(&self, to: &mut OwnedWriteHalf, bytes: &[u8]) -> std::io::Result<()> {
        to.write_all(bytes).await?;
        self.forwarded.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        Ok(())
    }

    /// Waits while this direction is held.
    async fn open_gate(&self) -> std::io::Result<()> {
        let held = |mode| mode == Mode::Hold || (mode == Mode::HoldAnswers && self.answers);
        let mut rule = self.rule.clone();
        rule.wait_for(|rule| !held(rule.mode))
            .await
            .map(drop)
            .map_err(|_| std::io::ErrorKind::ConnectionAborted.into())
    }
}
