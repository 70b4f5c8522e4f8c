//! A RabbitMQ node of a test's own: for tests that kill, restart or wipe it.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::management::Management;
use crate::pids::{self, Signal, project_root};
use crate::scratch::Scratch;
use crate::wait::eventually_blocking;

/// A node on loopback ports, which it keeps over restarts; killed and removed when dropped.
#[derive(Debug)]
pub struct PrivateBroker {
    amqp_url: String,
    management_url: String,
    pid: u32,
    scratch: Scratch,
}

impl PrivateBroker {
    /// Whether this machine has RabbitMQ. Where the shared servers run in Docker it may not.
    #[must_use]
    pub fn available() -> bool {
        Command::new(script()).arg("find").status().is_ok_and(|status| status.success())
    }

    /// Makes a node and waits until it answers, for some seconds.
    ///
    /// # Panics
    /// RabbitMQ is missing, or does not start.
    pub async fn start() -> Self {
        let (amqp_url, management_url) = (String::new(), String::new());
        let mut broker = Self { amqp_url, management_url, pid: 0, scratch: Scratch::new() };
        broker.launch().await;
        broker
    }

    /// Starts it again, after it was killed, with the data that it had.
    ///
    /// # Panics
    /// It does not start.
    pub async fn launch(&mut self) {
        let command = self.script("start");
        let lines = tokio::task::spawn_blocking(move || run(command)).await.expect("the script runs");
        let [amqp_url, management_url, pid] = lines.as_slice() else { panic!("unexpected answer {lines:?}") };
        self.amqp_url.clone_from(amqp_url);
        self.management_url.clone_from(management_url);
        self.pid = pid.parse().expect("a process id");
    }

    /// An administrator's URL without a vhost; the vhost `%2f` is there from the start.
    #[must_use]
    pub fn amqp_url(&self) -> &str {
        &self.amqp_url
    }

    /// The management UI and API.
    #[must_use]
    pub fn management_url(&self) -> &str {
        &self.management_url
    }

    /// The API.
    #[must_use]
    pub fn management(&self) -> Management {
        Management::new(&self.management_url, &self.amqp_url)
    }

    /// SIGKILL; it is down until [`PrivateBroker::launch`].
    ///
    /// # Panics
    /// It does not die.
    pub fn kill9(&mut self) {
        pids::send(Signal::Kill, &[self.pid]);
        assert!(eventually_blocking(Duration::from_secs(10), || !pids::is_running(self.pid)));
        run(self.script("stop"));
    }

    /// Kills it and removes everything that it knew: vhosts, queues, messages. It is down until
    /// [`PrivateBroker::launch`].
    ///
    /// # Panics
    /// It does not die.
    pub fn wipe(&mut self) {
        run(self.script("wipe"));
    }

    /// Freezes it, until [`PrivateBroker::resume`].
    pub fn pause(&self) {
        pids::send(Signal::Stop, &[self.pid]);
    }

    /// Thaws it.
    pub fn resume(&self) {
        pids::send(Signal::Cont, &[self.pid]);
    }

    fn folder(&self) -> PathBuf {
        self.scratch.path().join("node")
    }

    fn script(&self, verb: &str) -> Command {
        let mut command = Command::new(script());
        command.arg(verb).arg(self.folder()).stdin(Stdio::null());
        command
    }
}

impl Drop for PrivateBroker {
    fn drop(&mut self) {
        let _ = self.script("stop").status();
    }
}

fn script() -> PathBuf {
    project_root().join("deploy/private-rabbitmq")
}

/// The lines that the script printed.
fn run(mut command: Command) -> Vec<String> {
    let output = command.output().expect("the script is there");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}
