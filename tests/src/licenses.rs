//! Under which terms the programs' dependencies may be passed on: the listing in `LICENSES.md`, and which terms are fine.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Command;

use serde_json::Value;

use crate::pids::project_root;

/// The listing, below the project's root.
pub const FILE: &str = "LICENSES.md";

/// Terms under which code may enter: they ask for their text and a name, and for nothing of ours.
const ALLOWED: [&str; 8] = [
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];

/// A crate that the programs are built from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    /// Its name on crates.io.
    pub name: String,
    /// The version of the lock file.
    pub version: String,
    /// An SPDX expression, as its manifest says it; empty when it says nothing.
    pub license: String,
    /// Whether it is part of a program, or only runs while they are built.
    pub in_programs: bool,
}

/// All of them, by name, for Linux as the lock file has them. Tests' own are not among them.
///
/// # Panics
/// Cargo does not answer, or the lock file is not up to date.
#[must_use]
pub fn dependencies() -> Vec<Dependency> {
    let metadata = metadata();
    let packages: BTreeMap<&str, &Value> =
        list(&metadata["packages"]).iter().map(|package| (text(&package["id"]), package)).collect();
    let nodes: BTreeMap<&str, &Value> =
        list(&metadata["resolve"]["nodes"]).iter().map(|node| (text(&node["id"]), node)).collect();
    let shipped = packages.iter().filter(|(_, package)| text(&package["manifest_path"]).contains("/crates/"));
    let shipped: Vec<&str> =
        shipped.filter(|(_, package)| package["source"].is_null()).map(|(id, _)| *id).collect();
    let in_programs = reached(&nodes, &shipped, false);
    let while_building = reached(&nodes, &shipped, true);
    let mut all: Vec<_> = while_building
        .iter()
        .filter_map(|id| packages.get(id).map(|package| (id, *package)))
        .filter(|(_, package)| !package["source"].is_null())
        .map(|(id, package)| Dependency {
            name: text(&package["name"]).to_owned(),
            version: text(&package["version"]).to_owned(),
            license: text(&package["license"]).to_owned(),
            in_programs: in_programs.contains(id),
        })
        .collect();
    all.sort();
    all
}

/// What is reached from these packages by ordinary dependencies and, if asked for, those of build scripts.
fn reached<'a>(nodes: &BTreeMap<&'a str, &'a Value>, from: &[&'a str], build: bool) -> BTreeSet<&'a str> {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut next = from.to_vec();
    while let Some(id) = next.pop() {
        if !seen.insert(id) {
            continue;
        }
        for dependency in nodes.get(id).map(|node| list(&node["deps"])).unwrap_or_default() {
            let kinds = list(&dependency["dep_kinds"]);
            if kinds.iter().any(|kind| kind["kind"].is_null() || (build && kind["kind"] == "build")) {
                next.push(text(&dependency["pkg"]));
            }
        }
    }
    seen
}

fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(project_root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The listing as it stands in the file.
#[must_use]
pub fn listing(dependencies: &[Dependency]) -> String {
    let mut page = "# Licences of what the programs are built from\n\n\
        Written by `make licenses` from the lock file, for Linux; a test fails when it is not up to date, and when terms come\n\
        in that are not on the list of `tests/src/licenses.rs`. The project's own licence is [Apache-2.0](LICENSE).\n"
        .to_owned();
    for (title, in_programs) in [
        ("Part of the programs", true),
        ("Only while they are built (build scripts and macros of theirs)", false),
    ] {
        let _ = write!(page, "\n## {title}\n\n| crate | version | licence |\n|---|---|---|\n");
        for dependency in dependencies.iter().filter(|dependency| dependency.in_programs == in_programs) {
            let Dependency { name, version, license, .. } = dependency;
            let _ = writeln!(page, "| {name} | {version} | {license} |");
        }
    }
    page
}

/// Whether somebody may choose terms of the list: an SPDX expression, also in the old form with `/`.
#[must_use]
pub fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = tokens.as_slice();
    either(&mut rest) == Some(true) && rest.is_empty()
}

/// `a OR b`; `None` = no expression.
fn either(rest: &mut &[&str]) -> Option<bool> {
    let mut fine = both(rest)?;
    while rest.first() == Some(&"OR") {
        *rest = &rest[1..];
        fine |= both(rest)?;
    }
    Some(fine)
}

/// `a AND b`, which binds more tightly.
fn both(rest: &mut &[&str]) -> Option<bool> {
    let mut fine = one(rest)?;
    while rest.first() == Some(&"AND") {
        *rest = &rest[1..];
        fine &= one(rest)?;
    }
    Some(fine)
}

fn one(rest: &mut &[&str]) -> Option<bool> {
    let (first, behind) = rest.split_first()?;
    *rest = behind;
    if *first == "(" {
        let fine = either(rest)?;
        let (closed, behind) = rest.split_first()?;
        *rest = behind;
        return (*closed == ")").then_some(fine);
    }
    if rest.first() == Some(&"WITH") {
        // An exception gives more rights than the licence; still, none is on the list.
        *rest = rest.get(2..)?;
        return Some(false);
    }
    (!["OR", "AND", "WITH", ")"].contains(first)).then(|| ALLOWED.contains(first))
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[test]
    fn terms_are_read_as_they_are_meant() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR GPL-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR MIT",
            "GPL-3.0 AND ISC OR Zlib",
        ] {
            assert!(is_allowed(good), "{good}");
        }
        for bad in [
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "MIT OR",
            "(MIT",
            "MIT)",
            "MIT Apache-2.0",
            "Apache-2.0 WITH LLVM-exception",
            "AGPL-3.0 OR (MIT AND SSPL-1.0)",
        ] {
            assert!(!is_allowed(bad), "{bad}");
        }
    }
}
