//! What the programs are: their names, as the workspace says, and what they answer.

use std::collections::BTreeSet;
use std::process::Command;

use tenant_sync_core::config::Config;
use tenant_sync_core::worker::Health;
use tenant_sync_core::worker::health::serve;
use tenant_sync_tests::{http, pids, programs};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The members of the workspace, as folders.
pub(crate) fn members() -> Vec<String> {
    let manifest = std::fs::read_to_string(pids::project_root().join("Cargo.toml")).expect("a workspace");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    let members = manifest["workspace"]["members"].as_array().expect("a list");
    members.iter().map(|member| member.as_str().expect("a folder").to_owned()).collect()
}

/// The programs that are shipped, as their manifests name them.
pub(crate) fn names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for member in members().iter().filter(|member| member.starts_with("crates/")) {
        let path = pids::project_root().join(member).join("Cargo.toml");
        let manifest: toml::Table = std::fs::read_to_string(path).expect("a manifest").parse().expect("TOML");
        let bins = manifest.get("bin").and_then(toml::Value::as_array).cloned().unwrap_or_default();
        names.extend(bins.iter().map(|bin| bin["name"].as_str().expect("a name").to_owned()));
    }
    assert!(names.contains("sync-worker") && names.contains("tenant-sync"), "{names:?}");
    names
}

/// Whether a program of this build takes these arguments.
pub(crate) fn understands(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(programs::path(program));
    command.args(arguments).arg("--help");
    command.output().expect("it starts").status.success()
}

/// Whether every worker's health endpoint has this page.
pub(crate) async fn has_page(path: &str) -> bool {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let stopping = CancellationToken::new();
    let server = tokio::spawn(serve(listener, Health::default(), stopping.clone()));
    let status = http::get(&address, path).await.expect("an answer").status;
    stopping.cancel();
    server.await.expect("joins").expect("served");
    status != 404
}

/// The configuration that a program would read from these variables alone.
pub(crate) fn configuration(variables: &[(String, String)]) -> Result<Config, String> {
    // An empty file, so that none of this folder is read.
    let nothing = std::path::Path::new("/dev/null");
    let known = Config::from_sources(Some(nothing), variables.to_vec()).map_err(|error| error.to_string())?;
    // A name without `__` is taken for somebody else's, and ignored.
    match variables.iter().find(|(name, _)| name.starts_with("TENANT_SYNC_") && !name.contains("__")) {
        Some((name, _)) => Err(format!("{name} is no name of a key: it has no __")),
        None => Ok(known),
    }
}
