//! Compiles the message format, embeds the migrations and shipped mappings, and tells the programs their commit.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../..").canonicalize()?;
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let proto = root.join("proto/tenant_sync.proto");
    println!("cargo:rerun-if-changed={}", proto.display());
    let descriptors = protox::compile([&proto], [root.join("proto")])?;
    prost_build::Config::new().compile_fds(descriptors)?;

    let mut code = String::new();
    embed(&mut code, "ENGINE_MIGRATIONS", &root.join("migrations/engine"), "sql")?;
    embed(&mut code, "APP_MIGRATIONS", &root.join("migrations/app"), "sql")?;
    embed(&mut code, "MAPPINGS", &root.join("mappings"), "toml")?;
    fs::write(out.join("embedded.rs"), code)?;

    let commit = commit(&root).map(|commit| format!(" ({commit})")).unwrap_or_default();
    println!("cargo:rustc-env=TENANT_SYNC_VERSION={}{commit}", env::var("CARGO_PKG_VERSION")?);
    Ok(())
}

/// What `TENANT_SYNC_COMMIT` says (an image is built without the repository), else the commit that is checked out.
/// `None` where there is neither, as in an unpacked archive.
fn commit(root: &Path) -> Option<String> {
    println!("cargo:rerun-if-env-changed=TENANT_SYNC_COMMIT");
    if let Some(given) = env::var("TENANT_SYNC_COMMIT").ok().filter(|given| !given.is_empty()) {
        return Some(given);
    }
    let commit = git(root, &["rev-parse", "--short=12", "HEAD"])?;
    // An archive that was unpacked inside of some other repository is not at that one's commit.
    if git(root, &["rev-parse", "--show-prefix"]).is_some() {
        return None;
    }
    // HEAD names a branch, whose own file moves with each commit, and with it the log of HEAD. A file that is not
    // there would make this script run each time.
    let branch = git(root, &["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "logs/HEAD"].into_iter().chain(branch.as_deref()) {
        if let Some(path) = git(root, &["rev-parse", "--git-path", name]).map(|path| root.join(path))
            && path.is_file()
        {
            println!("cargo:rerun-if-changed={}", path.display());
        }
    }
    Some(commit)
}

fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// Writes a constant `name` that lists the files of `folder` with `extension`, by name, with their text.
fn embed(code: &mut String, name: &str, folder: &Path, extension: &str) -> io::Result<()> {
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|e| e == extension));
    files.sort();
    let _ = writeln!(code, "pub(crate) const {name}: &[(&str, &str)] = &[");
    for file in files {
        println!("cargo:rerun-if-changed={}", file.display());
        let stem = file.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let _ = writeln!(code, "    ({stem:?}, include_str!({:?})),", file);
    }
    let _ = writeln!(code, "];");
    Ok(())
}
