//! PgBouncer in transaction mode: a session of its client is another one of the server in each transaction.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::database::try_connect;
use crate::pids::{self, Owner, Signal};
use crate::ports::free_port;
use crate::scratch::Scratch;
use crate::urls;
use crate::wait::{eventually, eventually_blocking};

const PROGRAM: &str = "/usr/sbin/pgbouncer";

/// A pooler on a loopback port, stopped when dropped.
#[derive(Debug)]
pub struct Pooler {
    child: Child,
    address: String,
    _scratch: Scratch,
}

impl Pooler {
    /// Whether this machine has it.
    #[must_use]
    pub fn available() -> bool {
        Path::new(PROGRAM).exists()
    }

    /// In front of the server of this URL, with one session there for each database and user.
    ///
    /// # Panics
    /// It is missing, or does not start.
    pub async fn start(url: &str) -> Self {
        let (scratch, port) = (Scratch::new(), free_port());
        let (user, password) = urls::credentials(url);
        let (host, server_port) = urls::address(url).split_once(':').expect("host:port");
        let users = scratch.path().join("users.txt");
        let settings = scratch.path().join("pgbouncer.ini");
        std::fs::write(&users, format!("\"{user}\" \"{password}\"\n")).expect("our own folder");
        let text = format!(
            "[databases]\n* = host={host} port={server_port}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = scram-sha-256\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = 1\n",
            users.display()
        );
        std::fs::write(&settings, text).expect("our own folder");
        let mut command = Command::new(PROGRAM);
        pids::bare_environment(&mut command, scratch.path());
        command.arg(&settings).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(owner) = Owner::of_server("postgres") {
            for path in [scratch.path(), &users, &settings] {
                owner.take(path);
            }
            owner.run(&mut command);
        }
        let child = command.spawn().expect("starting pgbouncer");
        let pooler = Self { child, address: format!("127.0.0.1:{port}"), _scratch: scratch };
        let url = pooler.url(url);
        eventually(Duration::from_secs(20), "pgbouncer", async || try_connect(&url).await.map(drop)).await;
        pooler
    }

    /// The same database through the pooler.
    #[must_use]
    pub fn url(&self, url: &str) -> String {
        urls::with_address(url, &self.address)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        pids::send(Signal::Term, &[self.child.id()]);
        if !eventually_blocking(Duration::from_secs(5), || !matches!(self.child.try_wait(), Ok(None))) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
