//! The tools of `deploy/manifest-tools`: kustomize, published schemas, YAML, and a linter of Dockerfiles.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tenant_sync_tests::pids::project_root;

const YAML_TO_JSON: &str = "import json, sys, yaml; \
    json.dump([d for d in yaml.safe_load_all(sys.stdin) if d is not None], sys.stdout, default=str)";

/// Where they are. `None`, with the reason on standard error: they cannot be had on this machine.
pub(crate) fn folder() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let output =
                Command::new(project_root().join("deploy/manifest-tools")).output().expect("a shell");
            if !output.status.success() {
                eprintln!("NOT TESTED: {}", String::from_utf8_lossy(&output.stderr).trim());
                return None;
            }
            Some(PathBuf::from(String::from_utf8(output.stdout).expect("text").trim()))
        })
        .as_deref()
}

/// Runs one of them to its end.
pub(crate) fn run(tools: &Path, program: &str, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(tools.join(program));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("it was read");
    output
}

/// The documents of a YAML text.
pub(crate) fn yaml(tools: &Path, text: &str) -> Vec<Value> {
    let output = run(tools, "python", &["-c", YAML_TO_JSON], text);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A folder of kustomize as one YAML text.
pub(crate) fn kustomize(tools: &Path, folder: &str) -> String {
    let folder = project_root().join(folder);
    let output = run(tools, "kubectl", &["kustomize", folder.to_str().expect("text")], "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
