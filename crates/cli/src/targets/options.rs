//! The options that `target add` and `target update` share.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use secrecy::SecretString;

/// More than any connection string or certificate file has.
const INPUT_BYTES_MAX: u64 = 1 << 20;

/// Settings other than the connection string.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Schema in the target [default: sync.schema of the configuration]
    #[arg(long, value_name = "S")]
    pub(super) schema: Option<String>,
    /// A mapping that goes there; may be repeated [default: all]
    #[arg(long = "mapping", value_name = "M")]
    pub(super) mappings: Vec<String>,
    /// A role there that may read; may be repeated
    #[arg(long = "read-role", value_name = "R")]
    pub(super) read_roles: Vec<String>,
    /// The server's own root certificate (PEM)
    #[arg(long, value_name = "F")]
    ca_file: Option<PathBuf>,
    /// Store it even if it cannot be used now
    #[arg(long)]
    pub(super) no_check: bool,
}

impl Options {
    pub(super) fn ca_certificates(&self) -> anyhow::Result<Option<String>> {
        self.ca_file.as_deref().map(read_file).transpose()
    }
}

/// Reads a small text file; `-` is standard input.
pub(crate) fn read_input(path: &Path) -> anyhow::Result<String> {
    if path.as_os_str() == "-" {
        return read_text(std::io::stdin().lock()).context("standard input cannot be read");
    }
    read_file(path)
}

fn read_file(path: &Path) -> anyhow::Result<String> {
    let what = || format!("{} cannot be read", path.display());
    read_text(std::fs::File::open(path).with_context(what)?).with_context(what)
}

fn read_text(input: impl std::io::Read) -> std::io::Result<String> {
    let mut text = String::new();
    input.take(INPUT_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// A connection string from the command line, a file, or standard input.
pub(super) fn read_url(url: Option<&str>, file: Option<&Path>) -> anyhow::Result<Option<SecretString>> {
    let text = match (url, file) {
        (Some("-"), _) => read_input(Path::new("-"))?,
        (Some(url), _) => url.to_owned(),
        (None, Some(file)) => read_input(file)?,
        (None, None) => return Ok(None),
    };
    Ok(Some(SecretString::from(text.trim())))
}
