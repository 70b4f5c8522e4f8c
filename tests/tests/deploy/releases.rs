//! What a release is made of: versions, licences, the lock file, and the machine that CI takes for a fresh one.

use std::process::Command;

use tenant_sync_tests::licenses::{FILE, dependencies, is_allowed, listing};
use tenant_sync_tests::pids::project_root;
use tenant_sync_tests::programs::path;
use tenant_sync_tests::scratch::Scratch;

use super::programs;

fn read(file: &str) -> String {
    std::fs::read_to_string(project_root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn every_program_shows_its_version_and_commit() {
    let head = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .current_dir(project_root())
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map(|output| String::from_utf8(output.stdout).expect("text").trim().to_owned());
    for program in programs::names() {
        let output = Command::new(path(&program)).arg("--version").output().expect("it starts");
        let said = String::from_utf8(output.stdout).expect("text");
        let commit = head.as_ref().map(|head| format!(" ({head})")).unwrap_or_default();
        assert_eq!(said.trim(), format!("{program} {}{commit}", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn the_changelog_begins_with_this_version() {
    let changelog = read("CHANGELOG.md");
    let first = changelog.lines().find_map(|line| line.strip_prefix("## ")).expect("a version");
    assert_eq!(first.split_whitespace().next(), Some(env!("CARGO_PKG_VERSION")));
}

#[test]
fn licences_are_listed_and_fine() {
    let dependencies = dependencies();
    assert!(dependencies.len() > 100, "{} are too few to be all", dependencies.len());
    let refused: Vec<_> = dependencies.iter().filter(|dependency| !is_allowed(&dependency.license)).collect();
    assert!(refused.is_empty(), "terms that are not on the list: {refused:#?}");
    assert!(read(FILE) == listing(&dependencies), "{FILE} is not up to date: run `make licenses`");
}

/// Whoever builds gets what was tested: the lock file, never what is newest.
#[test]
fn builds_keep_to_the_lock_file() {
    for file in ["Makefile", "deploy/static", "deploy/docker/Dockerfile"] {
        for line in read(file).lines().filter(|line| !line.trim_start().starts_with('#')) {
            let builds =
                ["cargo build", "cargo test", "cargo run", "cargo clippy", "cargo doc", "cargo install"];
            if builds.iter().any(|command| line.contains(command)) {
                assert!(line.contains("--locked"), "{file}: {line}");
            }
        }
    }
    assert!(read("README.md").contains("cargo install --path crates/cli --locked"));
}

/// `deploy/static` finds out that a program is not static: this build's are not.
#[test]
fn programs_that_need_libraries_are_not_taken_for_static() {
    if Command::new("readelf").arg("--version").output().is_err() {
        eprintln!("NOT TESTED: there is no readelf");
        return;
    }
    let built = path("sequencer");
    let output = Command::new(project_root().join("deploy/static"))
        .arg("check")
        .arg(built.parent().expect("a folder"))
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("sequencer is not static"), "{said}");
}

/// `.ci/fresh` with a `make` that only says where it was called, and how: a clone of what is committed, and nothing in the
/// environment that a developer's shell would have put there.
#[test]
fn the_fresh_machine_has_nothing_but_what_it_is_given() {
    let root = project_root();
    if !root.join(".git").exists() {
        eprintln!("NOT TESTED: this is no checkout, so there is nothing to clone");
        return;
    }
    let scratch = Scratch::new();
    let fake = |body: &str| {
        let make = scratch.path().join("make");
        std::fs::write(&make, format!("#!/bin/sh\n{body}\n")).expect("a file");
        std::fs::set_permissions(&make, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("a program");
    };
    let run = || {
        let path = format!("{}:{}", scratch.path().display(), std::env::var("PATH").unwrap_or_default());
        let output = Command::new(root.join(".ci/fresh"))
            .arg("one_test")
            .env("PATH", path)
            .env("TENANT_SYNC_LOG__FILTER", "leaked")
            .env("TMPDIR", scratch.path())
            .output()
            .expect("a shell");
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said)
    };
    fake(
        r#"echo "make $* in $(git rev-parse HEAD), $(ls Cargo.toml), DEMO_SECONDS=$DEMO_SECONDS"; env | cut -d= -f1"#,
    );
    let (good, said) = run();
    assert!(good, "{said}");
    assert!(said.contains("make check in ") && said.contains("make demo in "), "{said}");
    assert!(said.contains("make test TESTS=one_test in "), "{said}");
    assert!(said.contains("Cargo.toml, DEMO_SECONDS=15"), "{said}");
    assert!(!said.contains("TENANT_SYNC_") && !said.contains("CARGO_PKG_NAME"), "{said}");

    fake("echo forgotten > report.txt");
    let (good, said) = run();
    assert!(!good && said.contains("report.txt"), "{said}");
    fake(r#"[ "$1" != test ]"#);
    assert!(!run().0, "tests that fail were taken for good");
}
