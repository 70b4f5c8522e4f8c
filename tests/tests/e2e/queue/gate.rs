//! A TCP proxy that a test can shut: connections are cut, new ones are hung up on.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(super) struct Gate {
    pub(super) address: SocketAddr,
    open: Arc<watch::Sender<bool>>,
}

impl Gate {
    /// A gate in front of `server`.
    pub(super) async fn new(server: SocketAddr, open: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let open = Arc::new(watch::channel(open).0);
        let state = Arc::clone(&open);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *state.borrow() {
                    tokio::spawn(carry(client, server, state.subscribe()));
                }
            }
        });
        Self { address, open }
    }

    pub(super) fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }
}

async fn carry(mut client: TcpStream, server: SocketAddr, mut open: watch::Receiver<bool>) {
    let Ok(mut upstream) = TcpStream::connect(server).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut upstream) => {}
        _ = open.wait_for(|open| !open) => {}
    }
}
