//! A PostgreSQL server of a test's own: for tests that kill it, stop it, copy it, or want it configured otherwise.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::pids::{self, Owner, Signal};
use crate::ports::free_port;
use crate::scratch::{Scratch, short_id};
use crate::services::Services;
use crate::wait::{eventually, eventually_blocking};

const START_DEADLINE: Duration = Duration::from_secs(60);
const STOP_DEADLINE: Duration = Duration::from_secs(15);

/// How a server differs from the usual one.
#[derive(Debug, Clone, Default)]
pub struct Options {
    conf: Vec<String>,
    hba: Vec<String>,
    files: Vec<(String, Vec<u8>)>,
}

impl Options {
    /// A line of `postgresql.conf`, such as `ssl = on`.
    #[must_use]
    pub fn conf(mut self, line: &str) -> Self {
        self.conf.push(line.to_owned());
        self
    }

    /// A line of `pg_hba.conf`, which counts before the usual ones.
    #[must_use]
    pub fn hba(mut self, line: &str) -> Self {
        self.hba.push(line.to_owned());
        self
    }

    /// A file in the data folder that only the server can read, such as `server.key`.
    #[must_use]
    pub fn file(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.to_owned(), content.into()));
        self
    }
}

/// A server on a loopback port, stopped and removed when dropped.
#[derive(Debug)]
pub struct PrivateCluster {
    programs: PathBuf,
    owner: Option<Owner>,
    port: u16,
    password: String,
    child: Option<Child>,
    scratch: Scratch,
}

/// A copy of a server's files, as `pg_basebackup` makes it. It belongs to the server and goes with it.
#[derive(Debug)]
pub struct Backup {
    folder: PathBuf,
}

impl PrivateCluster {
    /// Whether this machine has server programs. Where the shared servers run in Docker it may not.
    #[must_use]
    pub fn available() -> bool {
        Services::from_env().pg_bin.is_some()
    }

    /// Makes a server and waits until it answers.
    ///
    /// # Panics
    /// There are no server programs, or it does not start.
    pub async fn start(options: Options) -> Self {
        let programs =
            Services::from_env().pg_bin.expect("TENANT_SYNC_TEST_PG_BIN: PostgreSQL's server programs");
        Self::start_with(programs, options).await
    }

    /// The same in another version. `None` where its programs could not be had; `deploy/with-services` has said so,
    /// if it was asked for them (`--versions`), and the version is not tested.
    ///
    /// # Panics
    /// It does not start.
    pub async fn start_version(major: u16, options: Options) -> Option<Self> {
        let programs = Services::from_env().pg_versions?.join(major.to_string()).join("bin");
        if !programs.join("postgres").is_file() {
            return None;
        }
        Some(Self::start_with(programs, options).await)
    }

    async fn start_with(programs: PathBuf, options: Options) -> Self {
        let mut cluster = Self::prepare(programs, short_id());
        cluster.initialise();
        cluster.configure(&options);
        cluster.launch().await;
        cluster
    }

    fn prepare(programs: PathBuf, password: String) -> Self {
        let (owner, scratch) = (Owner::of_server("postgres"), Scratch::new());
        if let Some(owner) = owner {
            owner.take(scratch.path());
        }
        Self { programs, owner, port: free_port(), password, child: None, scratch }
    }

    fn initialise(&self) {
        let password_file = self.scratch.path().join("password");
        fs::write(&password_file, &self.password).expect("our own folder");
        self.give(&password_file);
        let mut initdb = self.program("initdb");
        initdb.args([
            "--username=postgres",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        ]);
        initdb.arg("--pgdata").arg(self.data()).arg("--pwfile").arg(&password_file);
        run(initdb);
    }

    /// Settings that a server has for being private come last, so that they win.
    fn configure(&self, options: &Options) {
        for (name, content) in &options.files {
            let path = self.data().join(name);
            fs::write(&path, content).expect("our own folder");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("our own file");
            self.give(&path);
        }
        let hba = self.data().join("pg_hba.conf");
        let usual = fs::read_to_string(&hba).expect("pg_hba.conf");
        fs::write(&hba, format!("{}\n{usual}", options.hba.join("\n"))).expect("our own file");
        let mut lines =
            vec!["fsync = off", "full_page_writes = off", "shared_buffers = '32MB'", "wal_level = logical"];
        lines.extend(options.conf.iter().map(String::as_str));
        let port = format!("port = {}", self.port);
        lines.extend(["listen_addresses = '127.0.0.1'", "unix_socket_directories = ''", &port]);
        self.append_conf(&lines.join("\n"));
    }

    /// Adds lines to `postgresql.conf`; [`PrivateCluster::reload`] or a restart makes them count.
    ///
    /// # Panics
    /// The file cannot be written.
    pub fn append_conf(&self, lines: &str) {
        let file = fs::OpenOptions::new().append(true).open(self.data().join("postgresql.conf"));
        writeln!(file.expect("postgresql.conf"), "{lines}").expect("our own file");
    }

    /// Makes the server read its configuration again. It does so a moment later.
    pub fn reload(&self) {
        pids::send(Signal::Hup, &[self.pid()]);
    }

    /// Starts the server again, after it was stopped or killed, on the same port.
    ///
    /// # Panics
    /// It still runs, or does not start.
    pub async fn launch(&mut self) {
        assert!(self.child.is_none(), "the server still runs");
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log()).expect("our own folder");
        let mut postgres = self.program("postgres");
        postgres.arg("-D").arg(self.data()).process_group(0).stdin(Stdio::null());
        postgres.stdout(log.try_clone().expect("a log file")).stderr(log);
        let mut child = postgres.spawn().expect("starting postgres");
        let state = self.data().join("postmaster.pid");
        eventually(START_DEADLINE, "a private PostgreSQL server", async || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!(
                    "PostgreSQL ended ({status}):\n{}",
                    fs::read_to_string(self.log()).unwrap_or_default()
                );
            }
            // The first line is the process, the eighth its state. An old file may still be there.
            let text = fs::read_to_string(&state).unwrap_or_default();
            let ours = text.lines().next() == Some(&child.id().to_string());
            match text.lines().nth(7).map(str::trim) {
                Some("ready" | "standby") if ours => Ok(()),
                state => Err(format!("its state is {state:?}")),
            }
        })
        .await;
        self.child = Some(child);
    }

    /// Connection string of the superuser, database `postgres`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres:{}@127.0.0.1:{}/postgres", self.password, self.port)
    }

    /// Its port, which it keeps.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it logged.
    #[must_use]
    pub fn logged(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// SIGKILL for the server and all of its sessions at once, as when the machine dies.
    ///
    /// # Panics
    /// It does not run.
    pub fn kill9(&mut self) {
        // Frozen first: a session that starts while we look would outlive it, and keep it from starting again.
        pids::send(Signal::Stop, &[self.pid()]);
        let processes = pids::tree(self.pid());
        pids::send(Signal::Kill, &processes);
        self.child.take().map(|mut child| child.wait());
        let ended =
            eventually_blocking(STOP_DEADLINE, || !processes.iter().any(|pid| pids::is_running(*pid)));
        assert!(ended, "some of {processes:?} still run");
    }

    /// Stops it in order; sessions are ended.
    ///
    /// # Panics
    /// It does not run, or does not stop within 15 s.
    pub fn stop(&mut self) {
        pids::send(Signal::Int, &[self.pid()]);
        let mut child = self.child.take().expect("it runs");
        assert!(
            eventually_blocking(STOP_DEADLINE, || !matches!(child.try_wait(), Ok(None))),
            "it does not stop"
        );
    }

    /// Freezes the server and all of its sessions, until [`PrivateCluster::resume`].
    pub fn pause(&self) {
        pids::send(Signal::Stop, &pids::tree(self.pid()));
    }

    /// Thaws it.
    pub fn resume(&self) {
        pids::send(Signal::Cont, &pids::tree(self.pid()));
    }

    /// Copies its files while it runs.
    ///
    /// # Panics
    /// It does not run.
    #[must_use]
    pub fn back_up(&self) -> Backup {
        let folder = self.scratch.path().join(format!("backup-{}", short_id()));
        self.copy_to(&folder, &[]);
        Backup { folder }
    }

    /// Stops it if it runs, takes its files back to the backup, and starts it on the same port.
    ///
    /// # Panics
    /// It does not start.
    pub async fn restore(&mut self, backup: &Backup) {
        if self.child.is_some() {
            self.stop();
        }
        fs::remove_dir_all(self.data()).expect("our own folder");
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(&backup.folder).arg(self.data());
        run(copy);
        self.launch().await;
    }

    /// A second server that starts from a copy of this one's files, on another port, and goes its own way.
    ///
    /// # Panics
    /// It does not start.
    pub async fn clone_now(&self) -> Self {
        self.copied(&[]).await
    }

    /// A standby that follows this server, on another port, until its `pg_promote()` is called.
    ///
    /// # Panics
    /// It does not start.
    pub async fn standby(&self) -> Self {
        self.copied(&["--write-recovery-conf"]).await
    }

    async fn copied(&self, options: &[&str]) -> Self {
        let mut copy = Self::prepare(self.programs.clone(), self.password.clone());
        self.copy_to(&copy.data(), options);
        copy.append_conf(&format!("port = {}", copy.port));
        copy.launch().await;
        copy
    }

    /// The server's own user may write to any of our scratch folders.
    fn copy_to(&self, folder: &Path, options: &[&str]) {
        let mut backup = self.program("pg_basebackup");
        backup.env("PGPASSWORD", &self.password).arg("--pgdata").arg(folder).args(options);
        backup.args(["--host=127.0.0.1", "--username=postgres", "--checkpoint=fast", "--no-sync", "--port"]);
        backup.arg(self.port.to_string());
        run(backup);
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        pids::bare_environment(&mut command, self.scratch.path());
        command.env("LC_ALL", "C.UTF-8").current_dir(self.scratch.path());
        if let Some(owner) = self.owner {
            owner.run(&mut command);
        }
        command
    }

    fn give(&self, path: &Path) {
        if let Some(owner) = self.owner {
            owner.take(path);
        }
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server does not run").id()
    }

    fn data(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.scratch.path().join("log")
    }
}

impl Drop for PrivateCluster {
    fn drop(&mut self) {
        if let Some(child) = self.child.as_mut() {
            let processes = pids::tree(child.id());
            pids::send(Signal::Quit, &processes[..1]);
            pids::send(Signal::Cont, &processes);
            if !eventually_blocking(STOP_DEADLINE, || !matches!(child.try_wait(), Ok(None))) {
                pids::send(Signal::Kill, &processes);
                let _ = child.wait();
            }
        }
        // A killed server leaves a small shared memory segment; the seventh line of this file names it.
        let state = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        if let Some(segment) = state.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
            let _ = Command::new("ipcrm").args(["-m", segment]).stderr(Stdio::null()).status();
        }
    }
}

fn run(mut command: Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
