//! `db new`: the next migration file of a checkout.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;
use serde::Serialize;

use crate::context::{Context, Usage};

/// `db new`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What it does, in a few words
    name: String,
    /// Which set it belongs to
    #[arg(long, value_enum, default_value_t = Set::Engine)]
    set: Set,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Set {
    /// What the engine needs
    Engine,
    /// The sample application's tables
    App,
}

#[derive(Debug, Serialize)]
struct Report {
    path: PathBuf,
}

const TEMPLATE: &str = "-- What this does, and why.\n--\n\
    -- migrations/README.md says what else may stand here (outside a transaction, in batches, breaking).\n\n";

pub(super) fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    let name = file_stem(&args.name)?;
    let here = std::env::current_dir()?;
    let path = create(&folder(&here, args.set)?, &name)?;
    context.output.result(&Report { path }, |report| report.path.display().to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// Lower-case letters, digits and `_`; blanks and dashes become `_`.
fn file_stem(name: &str) -> Result<String, Usage> {
    let stem = name.trim().to_lowercase().replace([' ', '-'], "_");
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !stem.is_empty() && stem.chars().all(fits) {
        Ok(stem)
    } else {
        Err(Usage("a migration's name has letters, digits and `_`, such as add_labels".into()))
    }
}

/// `migrations/<set>` here or in a folder above.
fn folder(here: &Path, set: Set) -> anyhow::Result<PathBuf> {
    let set = match set {
        Set::Engine => "engine",
        Set::App => "app",
    };
    let mut places = here.ancestors().map(|place| place.join("migrations").join(set));
    places.find(|place| place.is_dir()).with_context(|| {
        format!("no folder migrations/{set} here or above; migrations are part of the programs, so this needs a checkout")
    })
}

fn create(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let mut highest = 0;
    for entry in fs::read_dir(folder)? {
        let file = entry?.file_name();
        let digits = file.to_str().and_then(|f| f.split_once('_')).map_or("", |(digits, _)| digits);
        highest = highest.max(digits.parse::<u32>().unwrap_or(0));
    }
    let path = folder.join(format!("{:04}_{name}.sql", highest + 1));
    // Never over a file that is there.
    let mut file =
        fs::File::create_new(&path).with_context(|| format!("cannot create {}", path.display()))?;
    file.write_all(TEMPLATE.as_bytes())?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_number_follows_the_highest() {
        let root = std::env::temp_dir().join(format!("tenant-sync-new-{}", uuid::Uuid::new_v4()));
        let deep = root.join("crates/core");
        fs::create_dir_all(root.join("migrations/engine")).expect("folder");
        fs::create_dir_all(&deep).expect("folder");
        fs::write(root.join("migrations/engine/0007_seven.sql"), "select 1;").expect("file");
        fs::write(root.join("migrations/engine/.gitkeep"), "").expect("file");
        let folder = folder(&deep, Set::Engine).expect("found from below");
        let path = create(&folder, &file_stem("Add labels").expect("name")).expect("created");
        assert_eq!(path, root.join("migrations/engine/0008_add_labels.sql"));
        assert!(create(&folder, "next").expect("created").ends_with("0009_next.sql"));
        fs::remove_dir_all(&root).expect("clean");
    }

    #[test]
    fn a_name_that_makes_no_file_name_is_refused() {
        for name in ["", "a/b", "näh", "x.sql", "../x"] {
            assert!(file_stem(name).is_err(), "{name}");
        }
    }
}
