//! Compiles the message format and embeds the migrations and shipped mappings.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
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
    Ok(())
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
