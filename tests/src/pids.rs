//! Processes by their id: signals, children, and the user that a server runs as.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What tests send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ask to stop.
    Term,
    /// Ask to stop, as ctrl-C does.
    Int,
    /// PostgreSQL: stop at once without a checkpoint.
    Quit,
    /// End, without a chance to clean up.
    Kill,
    /// Freeze.
    Stop,
    /// Thaw.
    Cont,
    /// Read the configuration again.
    Hup,
}

/// Sends `signal` to all `pids` at once. A process that is already gone is fine.
///
/// # Panics
/// There is no `kill`.
pub fn send(signal: Signal, pids: &[u32]) {
    let name = format!("{signal:?}").to_uppercase();
    let pids = pids.iter().map(ToString::to_string);
    // The shell has a kill of its own, so that no package is needed.
    let script =
        Command::new("sh").args(["-c", "kill -\"$0\" \"$@\" 2>/dev/null", &name]).args(pids).status();
    script.expect("a shell");
}

/// The process and everything below it.
#[must_use]
pub fn tree(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(parent) = all.get(next).copied() {
        all.extend(children(parent));
        next += 1;
    }
    all
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = threads.flatten().filter_map(|t| std::fs::read_to_string(t.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|p| p.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

/// Whether the process runs; one that ended and was not waited for does not.
#[must_use]
pub fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Whom a server runs as.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    /// Servers refuse root, so root lends them to `user` or to `nobody`. `None`: everybody else runs them as
    /// himself.
    #[must_use]
    pub fn of_server(user: &str) -> Option<Self> {
        if id(&["-u"])? != 0 {
            return None;
        }
        let of = |name: &str| Some(Self { uid: id(&["-u", name])?, gid: id(&["-g", name])? });
        Some(of(user).or_else(|| of("nobody")).expect("a user that may run a server"))
    }

    /// Makes `command` run as this user.
    pub fn run(self, command: &mut Command) {
        use std::os::unix::process::CommandExt as _;
        command.uid(self.uid).gid(self.gid);
    }

    /// Gives `path` to this user.
    ///
    /// # Panics
    /// The system refuses.
    pub fn take(self, path: &Path) {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid)).expect("root may give files away");
    }
}

fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// What a started program keeps of our environment: nothing that could configure it, and the mark by which
/// `deploy/with-services` finds what a killed test left running.
pub fn bare_environment(command: &mut Command, home: &Path) {
    command.env_clear().env("HOME", home);
    for name in ["PATH", "TMPDIR", "TENANT_SYNC_TEST_RUN"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
}

/// The root of the project.
#[must_use]
pub fn project_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are in the project").to_owned()
}
