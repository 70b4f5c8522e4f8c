//! The programs under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::pids::project_root;

/// Where the program `name` of this build is, for example `sequencer`.
///
/// # Panics
/// It is missing.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = folder();
        build(&folder);
        folder
    });
    let path = folder.join(name);
    assert!(path.is_file(), "{} is missing: run `cargo build --workspace --bins`", path.display());
    path
}

/// `target/<profile>`; a test's own program lies in `deps` below it.
fn folder() -> PathBuf {
    let own = std::env::current_exe().expect("the test's own path");
    let folder = own.parent().expect("a program is in a folder");
    if folder.ends_with("deps") {
        folder.parent().expect("deps is in a folder").to_owned()
    } else {
        folder.to_owned()
    }
}

/// `cargo test -p tenant-sync-tests` builds this crate and no program, so a test could run yesterday's workers. Cargo
/// has nothing to do when they are fresh; without cargo (a test started by hand) they are taken as they are.
fn build(folder: &Path) {
    let Some(cargo) = std::env::var_os("CARGO") else { return };
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--workspace", "--bins", "--profile", profile]);
    // What cargo says to a test about its package would be news to build scripts that ask (ring's does): they and
    // all that depends on them would be built anew each time that a test runs, and once more afterwards.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_"]
            .iter()
            .any(|of| name.starts_with(of))
        {
            command.env_remove(&*name);
        }
    }
    let status = command.current_dir(project_root()).status().expect("cargo runs");
    assert!(status.success(), "building the programs failed");
}
