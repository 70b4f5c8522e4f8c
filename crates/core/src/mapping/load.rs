//! Collects the mapping files of an installation.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::error::{MappingError, MappingErrors};
use super::model::Mapping;
use super::{parse, set};
use crate::config::Config;
use crate::embedded;

/// The mappings of this installation: the shipped ones (unless `database.user_tables` is off) and those in
/// `mappings.dir`, in the order of their file names.
///
/// # Errors
/// Every mistake in every file, and a folder or file that cannot be read.
pub fn load(config: &Config) -> Result<Vec<Mapping>, MappingErrors> {
    let mut mappings = Vec::new();
    let mut found = Vec::new();
    let shipped = if config.database.user_tables { embedded::MAPPINGS } else { &[] };
    for (file, text) in shipped {
        take(parse(file, text), &mut mappings, &mut found);
    }
    if let Some(dir) = &config.mappings.dir {
        load_folder(dir, &mut mappings, &mut found);
    }
    found.extend(set::clashes(&mappings));
    if found.is_empty() { Ok(mappings) } else { Err(MappingErrors::new(found)) }
}

fn load_folder(dir: &Path, mappings: &mut Vec<Mapping>, found: &mut Vec<MappingError>) {
    let unreadable = |path: &Path, error: &io::Error| MappingError {
        file: path.display().to_string(),
        line: None,
        reason: format!("cannot be read: {error}"),
    };
    let files = match toml_files(dir) {
        Ok(files) => files,
        Err(error) => {
            let mut refused = unreadable(dir, &error);
            refused.reason = format!("the folder that mappings.dir names {}", refused.reason);
            return found.push(refused);
        }
    };
    for path in files {
        match fs::read_to_string(&path) {
            Ok(text) => take(parse(&path.display().to_string(), &text), mappings, found),
            Err(error) => found.push(unreadable(&path, &error)),
        }
    }
}

fn toml_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir)?.map(|entry| entry.map(|e| e.path()));
    let mut files = entries.collect::<io::Result<Vec<_>>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml") && !path.is_dir());
    files.sort();
    Ok(files)
}

fn take(outcome: Result<Mapping, MappingErrors>, mappings: &mut Vec<Mapping>, found: &mut Vec<MappingError>) {
    match outcome {
        Ok(mapping) => mappings.push(mapping),
        Err(errors) => found.extend(errors.into_errors()),
    }
}
