//! A private Postgres cluster with TLS settings of its own, on a free port of the loopback interface.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tenant_sync_core::config::TlsFloor;
use tenant_sync_core::target::dial::Session;
use uuid::Uuid;

use super::certificates::Certificate;

pub(super) const PASSWORD: &str = "p@ss/word";
const ENCODED_PASSWORD: &str = "p%40ss%2Fword";
const START_ATTEMPTS: usize = 5;

pub(super) struct Cluster {
    pub(super) port: u16,
    // Ends before its folder is removed.
    _server: Server,
    folder: Folder,
}

impl Cluster {
    /// Starts a cluster, with TLS if there is a certificate. The superuser is `postgres`.
    pub(super) fn start(certificate: Option<&Certificate>) -> Self {
        let folder = Folder::new();
        let data = folder.0.join("data");
        std::fs::write(folder.0.join("password"), PASSWORD).unwrap();
        folder.give_away();
        run(as_postgres(&postgres_bin("initdb")).arg("--no-sync").arg("-D").arg(&data).args([
            "--username=postgres",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            &format!("--pwfile={}", folder.0.join("password").display()),
        ]));
        let mut settings = vec!["fsync=off".to_owned()];
        if let Some(certificate) = certificate {
            std::fs::write(folder.0.join("server.crt"), &certificate.chain).unwrap();
            std::fs::write(folder.0.join("server.key"), &certificate.key).unwrap();
            std::fs::set_permissions(folder.0.join("server.key"), PermissionsExt::from_mode(0o600)).unwrap();
            folder.give_away();
            settings.push("ssl=on".into());
            settings.push(format!("ssl_cert_file={}", folder.0.join("server.crt").display()));
            settings.push(format!("ssl_key_file={}", folder.0.join("server.key").display()));
        }
        for _ in 0..START_ATTEMPTS {
            let port = free_port();
            let mut command = as_postgres(&postgres_bin("postgres"));
            command.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-p", &port.to_string(), "-k", ""]);
            command.args(settings.iter().flat_map(|s| ["-c", s.as_str()]));
            if let Some(server) = Server::start(command, "ready to accept connections") {
                return Self { port, _server: server, folder };
            }
        }
        panic!("no Postgres server could be started");
    }

    /// A connection string of the superuser.
    pub(super) fn url(&self, host: &str, query: &str) -> String {
        format!("postgres://postgres:{ENCODED_PASSWORD}@{host}:{}/postgres?{query}", self.port)
    }

    /// A session of the superuser, however it is encrypted.
    pub(super) async fn admin(&self) -> Session {
        super::connect(&super::dialer(TlsFloor::Disable), &self.url("127.0.0.1", ""), None).await.unwrap()
    }

    /// A folder that is removed with the cluster.
    pub(super) fn scratch(&self) -> &Folder {
        &self.folder
    }
}

/// A server process; dropping it ends it.
pub(super) struct Server(Child);

impl Server {
    /// Starts a server and waits until it says `ready` on its standard error. None if it ends before.
    pub(super) fn start(mut command: Command, ready: &str) -> Option<Self> {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let server = Self(child);
        let said = lines.any(|line| line.contains(ready));
        // What it says later is read away, so that it never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        said.then_some(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGINT: a fast shutdown, without waiting for sessions.
        let _ = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

/// A folder of its own, for the user that runs the servers.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("tenant-sync-dial-{}", Uuid::new_v4()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Servers refuse to run as root, and to read keys of others.
    pub(super) fn give_away(&self) {
        if is_root() {
            run(Command::new("chown").args(["-R", "postgres:"]).arg(&self.0));
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A command that runs as `postgres` where we are root, and ends if the test's thread ends.
pub(super) fn as_postgres(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "INT"]);
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    }
    command.arg("--").arg(program).current_dir(std::env::temp_dir());
    command
}

fn postgres_bin(program: &str) -> PathBuf {
    let folder = std::env::var_os("TENANT_SYNC_TEST_PG_BIN")
        .map_or_else(|| PathBuf::from("/usr/lib/postgresql/15/bin"), PathBuf::from);
    let path = folder.join(program);
    assert!(path.exists(), "{} does not exist: set TENANT_SYNC_TEST_PG_BIN", path.display());
    path
}

pub(super) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
