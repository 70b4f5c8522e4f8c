//! A real browser, driven by a script of ours with packages from npm, whose versions are pinned.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::pids::project_root;

const CHROMIUMS: [&str; 4] = [
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome",
    "/usr/bin/google-chrome-stable",
];
/// The driver's package asks for it.
const NODE_MAJOR_MIN: u32 = 20;
const INSTALL_WITHIN: Duration = Duration::from_secs(300);
/// Longest time between two lines of a script.
const LINE_WITHIN: Duration = Duration::from_secs(180);

/// What is needed to drive a browser.
#[derive(Debug)]
pub struct Browser {
    chromium: PathBuf,
    /// Holds `node_modules`.
    modules: PathBuf,
}

/// A script that runs.
#[derive(Debug)]
pub struct Walk {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    input: ChildStdin,
}

impl Browser {
    /// Looks for Chromium and Node, and installs the packages if they are not there yet.
    ///
    /// # Errors
    /// What cannot be had.
    pub async fn find() -> Result<Self, String> {
        let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
        let known = CHROMIUMS.iter().map(PathBuf::from);
        let chromium = named.into_iter().chain(known).find(|path| path.is_file());
        let chromium = chromium.ok_or("Chromium is not installed (apt-get install chromium)")?;
        let version =
            output(Command::new("node").arg("--version")).await.map_err(|e| format!("node: {e}"))?;
        let major =
            version.trim().trim_start_matches('v').split('.').next().and_then(|text| text.parse().ok());
        if major.is_none_or(|major: u32| major < NODE_MAJOR_MIN) {
            return Err(format!("node is {}, and must be {NODE_MAJOR_MIN} or later", version.trim()));
        }
        let modules = project_root().join("target/browser");
        install(&modules).await?;
        Ok(Self { chromium, modules })
    }

    /// Where pictures are kept.
    #[must_use]
    pub fn screenshots(&self) -> PathBuf {
        self.modules.join("screenshots")
    }

    /// Starts a script of `tests/browser`.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn walk(&self, script: &str, environment: &[(&str, String)]) -> Walk {
        let mut command = Command::new("node");
        command
            .arg(project_root().join("tests/browser").join(script))
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env("CHROMIUM", &self.chromium)
            .env("MODULES", &self.modules)
            .env("SCREENSHOTS", self.screenshots())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("node starts");
        let lines = BufReader::new(child.stdout.take().expect("stdout is a pipe")).lines();
        let input = child.stdin.take().expect("stdin is a pipe");
        Walk { child, lines, input }
    }
}

impl Walk {
    /// The next line; `None` = the script has come to its end.
    ///
    /// # Panics
    /// It ends without saying so, or says nothing for minutes.
    pub async fn line(&mut self) -> Option<String> {
        let line =
            timeout(LINE_WITHIN, self.lines.next_line()).await.expect("a line in time").expect("a line");
        match line.as_deref() {
            Some("end") => None,
            Some(_) => line,
            None => panic!("the script ended early: {:?}", self.child.wait().await),
        }
    }

    /// Tells the script something.
    ///
    /// # Panics
    /// It is gone.
    pub async fn say(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).await.expect("the script listens");
    }
}

/// The packages are those of the lock file, or are installed anew.
async fn install(modules: &Path) -> Result<(), String> {
    let source = project_root().join("tests/browser");
    let lock = std::fs::read(source.join("package-lock.json")).map_err(|error| error.to_string())?;
    let mark = modules.join("installed-lock.json");
    if std::fs::read(&mark).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    std::fs::create_dir_all(modules).map_err(|error| error.to_string())?;
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(source.join(file), modules.join(file)).map_err(|error| error.to_string())?;
    }
    let mut command = Command::new("npm");
    command.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]).current_dir(modules);
    output(&mut command).await.map_err(|error| format!("npm cannot bring the browser's driver: {error}"))?;
    std::fs::write(mark, lock).map_err(|error| error.to_string())
}

async fn output(command: &mut Command) -> Result<String, String> {
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(INSTALL_WITHIN, running).await.map_err(|_| "it took too long".to_owned())?;
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{}: {}", output.status, said.lines().next().unwrap_or_default()))
    }
}
