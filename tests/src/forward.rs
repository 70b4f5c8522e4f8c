//! A forward proxy for HTTP: opens tunnels (CONNECT), and remembers who asked for what.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What somebody asked of the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The first line, without the version: `CONNECT 127.0.0.1:443`.
    pub line: String,
    /// `Proxy-Authorization`, if it was there.
    pub authorization: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    asked: Mutex<Vec<Asked>>,
    answer: Mutex<Option<u16>>,
}

/// A forward proxy on a port of this machine; ends when dropped.
#[derive(Debug)]
pub struct Forward {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl Forward {
    /// Starts it.
    ///
    /// # Panics
    /// No port is free.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move { serve(stream, &state).await });
            }
        });
        Self { address, state, task }
    }

    /// Where it is, with credentials such as `ann:secret@`.
    #[must_use]
    pub fn url(&self, credentials: &str) -> String {
        format!("http://{credentials}{}", self.address)
    }

    /// Answers this to whoever asks, and opens no tunnel any more; `None` = it does again.
    pub fn answer(&self, status: Option<u16>) {
        *lock(&self.state.answer) = status;
    }

    /// Everything that was asked of it, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.state.asked).clone()
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection. Whatever is no CONNECT is refused: nothing of ours asks for it.
async fn serve(mut stream: TcpStream, state: &State) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let authorization = head.lines().find_map(|line| line.strip_prefix("Proxy-Authorization: "));
    lock(&state.asked).push(Asked { line: line.clone(), authorization: authorization.map(str::to_owned) });
    let refusal = *lock(&state.answer);
    let target = match (line.strip_prefix("CONNECT "), refusal) {
        (Some(to), None) => TcpStream::connect(to).await.map_err(|_| 502),
        (None, None) => Err(405),
        (_, Some(status)) => Err(status),
    };
    match target {
        Ok(mut target) => {
            if stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.is_ok() {
                let _ = copy_bidirectional(&mut stream, &mut target).await;
            }
        }
        Err(status) => {
            let answer = format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    }
}
