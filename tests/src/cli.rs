//! The operator's command line, as a process.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::pids;
use crate::programs;

/// What a command printed, and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it said beside that.
    pub stderr: String,
}

impl Output {
    /// Its standard output as JSON.
    ///
    /// # Panics
    /// The command failed, or printed something else.
    #[must_use]
    pub fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "the command failed: {self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs `tenant-sync` in a configuration.
#[derive(Debug, Clone)]
pub struct Cli {
    environment: BTreeMap<String, String>,
    folder: PathBuf,
}

impl Cli {
    pub(crate) fn new(environment: BTreeMap<String, String>, folder: PathBuf) -> Self {
        Self { environment, folder }
    }

    /// Another configuration key, such as `database.auto_migrate`.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.environment.insert(crate::worker::variable(key), value.to_string());
        self
    }

    /// The variables that it is configured with.
    #[must_use]
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// The program is missing.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        self.run_with_input(arguments, "").await
    }

    /// Runs a command with `--json` and returns what it printed.
    ///
    /// # Panics
    /// The command fails, or prints something else.
    pub async fn json(&self, arguments: &[&str]) -> Value {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        self.run(&arguments).await.json()
    }

    /// Runs a command that reads `input`, such as `target add --url -`.
    ///
    /// # Panics
    /// The program is missing.
    pub async fn run_with_input(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = Command::new(programs::path("tenant-sync"));
        pids::bare_environment(&mut command, &self.folder);
        command.args(arguments).envs(&self.environment).current_dir(&self.folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let input = input.to_owned();
        tokio::task::spawn_blocking(move || run(command, &input)).await.expect("the command runs")
    }
}

fn run(mut command: Command, input: &str) -> Output {
    let mut child = command.spawn().expect("starting tenant-sync");
    // A command that does not read its input may be gone already.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("waiting for tenant-sync");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Output { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}
