//! Worker processes: the real programs, configured by environment variables alone.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::http;
use crate::logs::Logs;
use crate::pids::{self, Signal};
use crate::ports::free_port;
use crate::programs;
use crate::tenant::SOON;
use crate::wait::{eventually, eventually_blocking};

/// Longest time that a worker may take to stop when asked.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// How a worker will be started.
#[derive(Debug, Clone)]
pub struct Setup {
    program: String,
    environment: BTreeMap<String, String>,
    folder: PathBuf,
    allowed: Vec<String>,
    arguments: Vec<String>,
    failpoints: Vec<String>,
}

impl Setup {
    pub(crate) fn new(program: &str, environment: BTreeMap<String, String>, folder: PathBuf) -> Self {
        let program = program.to_owned();
        Self {
            program,
            environment,
            folder,
            allowed: Vec::new(),
            arguments: Vec::new(),
            failpoints: Vec::new(),
        }
    }

    /// A configuration key, such as `sync.batch_rows`.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.environment.insert(variable(key), value.to_string());
        self
    }

    /// Any other environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.environment.insert(name.to_owned(), value.to_string());
        self
    }

    /// A command-line argument.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// A failpoint, such as `poller.after_publish=abort`.
    #[must_use]
    pub fn failpoint(mut self, failpoint: impl Into<String>) -> Self {
        self.failpoints.push(failpoint.into());
        self
    }

    /// WARN and ERROR lines that contain this text are expected.
    #[must_use]
    pub fn allow(mut self, text: &str) -> Self {
        self.allowed.push(text.to_owned());
        self
    }

    /// Starts the process and returns at once.
    ///
    /// # Panics
    /// The program is missing.
    #[must_use]
    pub fn spawn(self) -> Worker {
        let mut worker = Worker {
            health: format!("127.0.0.1:{}", free_port()),
            logs: Logs::default(),
            readers: Vec::new(),
            child: None,
            setup: self,
        };
        worker.launch();
        worker
    }

    /// Starts the process and waits until its dependencies answer.
    ///
    /// # Panics
    /// The program is missing, ends, or is not ready within 30 s.
    pub async fn start(self) -> Worker {
        let mut worker = self.spawn();
        worker.wait_ready().await;
        worker
    }
}

/// The environment variable of a configuration key.
pub(crate) fn variable(key: &str) -> String {
    format!("TENANT_SYNC_{}", key.replace('.', "__").to_uppercase())
}

/// A worker. Killed when dropped; its test fails if it wrote a WARN or ERROR that was not allowed.
#[derive(Debug)]
pub struct Worker {
    setup: Setup,
    health: String,
    logs: Logs,
    readers: Vec<std::thread::JoinHandle<()>>,
    child: Option<Child>,
}

impl Worker {
    fn launch(&mut self) {
        let mut command = Command::new(programs::path(&self.setup.program));
        pids::bare_environment(&mut command, &self.setup.folder);
        command
            .args(&self.setup.arguments)
            .envs(&self.setup.environment)
            .env("TENANT_SYNC_HEALTH__LISTEN", &self.health)
            .env("RUST_BACKTRACE", "1")
            .current_dir(&self.setup.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if !self.setup.failpoints.is_empty() {
            command.env("TENANT_SYNC_FAILPOINTS", self.setup.failpoints.join(";"));
        }
        let mut child = command.spawn().unwrap_or_else(|e| panic!("starting {}: {e}", self.setup.program));
        self.readers.push(self.logs.collect(child.stderr.take().expect("stderr is a pipe")));
        self.child = Some(child);
    }

    /// Starts it again, after it was killed or stopped, with the same settings and the same health port.
    ///
    /// # Panics
    /// It still runs.
    pub fn launch_again(&mut self) {
        assert!(self.child.is_none(), "{} still runs", self.setup.program);
        self.launch();
    }

    /// Removes all failpoints for the next start.
    pub fn clear_failpoints(&mut self) {
        self.setup.failpoints.clear();
    }

    /// WARN and ERROR lines that contain this text are expected from now on.
    pub fn allow(&mut self, text: &str) {
        self.setup.allowed.push(text.to_owned());
    }

    /// Waits until `/readyz` says 200.
    ///
    /// # Panics
    /// It does not within 30 s, or the process ends.
    pub async fn wait_ready(&mut self) {
        let what = format!("{} to be ready", self.setup.program);
        let health = self.health.clone();
        eventually(Duration::from_secs(30), &what, async || {
            if let Some(status) = self.exit_status() {
                panic!("{} ended ({status}):\n{}", self.setup.program, self.logs.tail(40));
            }
            let answer = http::get(&health, "/readyz").await?;
            if answer.status == 200 { Ok(()) } else { Err(format!("{}: {}", answer.status, answer.body)) }
        })
        .await;
    }

    /// Prometheus text.
    ///
    /// # Panics
    /// The worker does not answer.
    pub async fn metrics(&self) -> String {
        let answer = http::get(&self.health, "/metrics").await.expect("an answer");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// The value of one series, as it is exported with its labels; `None` = it is not exported.
    ///
    /// # Panics
    /// The worker does not answer.
    pub async fn series(&self, name: &str) -> Option<f64> {
        let text = self.metrics().await;
        let line =
            text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit_once(' ').and_then(|(_, value)| value.parse().ok())
    }

    /// Waits until a series has such a value.
    ///
    /// # Panics
    /// It does not get it soon.
    pub async fn shows(&self, series: &str, what: impl Fn(f64) -> bool) {
        eventually(SOON, series, async || match self.series(series).await {
            Some(value) if what(value) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }

    /// Where it serves `/healthz`, `/readyz` and `/metrics`.
    #[must_use]
    pub fn health_address(&self) -> &str {
        &self.health
    }

    /// What it wrote.
    #[must_use]
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Its process id.
    ///
    /// # Panics
    /// It does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap_or_else(|| panic!("{} does not run", self.setup.program)).id()
    }

    /// How it ended, if it did by itself.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// Waits until it ends by itself, for example at a failpoint.
    ///
    /// # Panics
    /// It does not within `deadline`.
    pub async fn wait_exit(&mut self, deadline: Duration) -> ExitStatus {
        let what = format!("{} to end", self.setup.program);
        let status = eventually(deadline, &what, async || self.exit_status().ok_or("it runs")).await;
        self.gone();
        status
    }

    /// SIGKILL.
    pub fn kill9(&mut self) {
        let Some(child) = self.child.as_mut() else { return };
        let _ = child.kill();
        let _ = child.wait();
        self.gone();
    }

    /// SIGTERM; it must end with code 0 within 10 s.
    ///
    /// # Panics
    /// It does not.
    pub async fn terminate(&mut self) {
        pids::send(Signal::Term, &[self.pid()]);
        let status = self.wait_exit(STOP_DEADLINE).await;
        assert!(status.success(), "{} ended with {status}:\n{}", self.setup.program, self.logs.tail(40));
    }

    /// Freezes it, until [`Worker::resume`].
    pub fn pause(&self) {
        pids::send(Signal::Stop, &[self.pid()]);
    }

    /// Lets it go on after [`Worker::pause`].
    pub fn resume(&self) {
        pids::send(Signal::Cont, &[self.pid()]);
    }

    /// The process is gone: its last lines are read.
    fn gone(&mut self) {
        self.child = None;
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }

    fn report(&self) {
        let program = &self.setup.program;
        if std::thread::panicking() {
            eprintln!("last lines of {program}:\n{}", self.logs.tail(60));
            return;
        }
        let unexpected = self.logs.unexpected(&self.setup.allowed);
        assert!(
            unexpected.is_empty(),
            "{program} wrote what the test did not expect:\n{}",
            unexpected.join("\n")
        );
    }
}

impl Drop for Worker {
    /// Asks first: a worker that is killed in the middle of something could leave a session behind on a server that
    /// other tests share.
    fn drop(&mut self) {
        if let Some(child) = self.child.as_mut() {
            pids::send(Signal::Term, &[child.id()]);
            pids::send(Signal::Cont, &[child.id()]);
            eventually_blocking(STOP_DEADLINE, || !matches!(child.try_wait(), Ok(None)));
        }
        self.kill9();
        self.report();
    }
}
