//! The pages for operators name only commands, options, keys, classes and log lines that exist.

use std::collections::BTreeSet;
use std::process::Command;

use tenant_sync_core::config::{Config, DEFAULTS};
use tenant_sync_core::target::class::ErrorClass;
use tenant_sync_tests::pids::project_root;
use tenant_sync_tests::programs;

const PAGES: [&str; 2] = ["docs/operations.md", "docs/metrics.md"];
/// Other pages that name commands.
const MORE_PAGES: [&str; 2] = ["README.md", "deploy/k8s/README.md"];

fn read(path: &str) -> String {
    std::fs::read_to_string(project_root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// `section.key` of every key, also of those that have no default.
fn keys() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let mut section = String::new();
    for line in DEFAULTS.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ")
            && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        {
            keys.insert(format!("{section}.{key}"));
        }
    }
    keys
}

#[test]
fn keys_that_pages_name_exist() {
    let keys = keys();
    assert!(keys.len() > 40, "{keys:?}");
    let sections: BTreeSet<&str> = keys.iter().filter_map(|key| key.split('.').next()).collect();
    let mut named = 0;
    for page in PAGES {
        let text = read(page);
        let word = |c: char| c.is_ascii_alphanumeric() || ['_', '.', '-'].contains(&c);
        for words in text.split(|c| !word(c)) {
            let words = words.trim_end_matches('.');
            if let Some((section, key)) = words.split_once('.')
                && sections.contains(section)
                && !["rs", "md", "yml"].contains(&key)
            {
                assert!(keys.contains(words), "{page} names the key {words}");
                named += 1;
            }
            if let Some((section, key)) =
                words.strip_prefix("TENANT_SYNC_").and_then(|variable| variable.split_once("__"))
            {
                let key = format!("{}.{}", section.to_lowercase(), key.to_lowercase());
                assert!(keys.contains(key.trim_end_matches("_file")), "{page} names the variable {words}");
                named += 1;
            }
        }
    }
    assert!(named > 20, "{named}");
    // A value that a page recommends is one that is read.
    let environment = [
        ("TENANT_SYNC_DATABASE__URL", "postgres://db/app"),
        ("TENANT_SYNC_TELEMETRY__OTLP_ENDPOINT", "http://collector:4318"),
        ("TENANT_SYNC_TELEMETRY__SAMPLE_RATIO", "0.01"),
        ("TENANT_SYNC_LOG__FILTER", "info,tenant_sync_sync_worker=debug"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Config::from_sources(None, environment).expect("readable");
}

/// Commands in a page: the words after `tenant-sync`, up to the end of the line or of the code.
fn commands(text: &str) -> Vec<Vec<String>> {
    let after = text.split("tenant-sync ").skip(1);
    let lines = after.map(|rest| rest.split(['`', '\n', '(', ';']).next().unwrap_or_default());
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

fn help(words: &[String]) -> Option<String> {
    let output =
        Command::new(programs::path("tenant-sync")).args(words).arg("--help").output().expect("runs");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn commands_and_options_that_pages_name_exist() {
    let mut tried = 0;
    for page in PAGES.into_iter().chain(MORE_PAGES) {
        for words in commands(&read(page)) {
            let is_name = |word: &&String| {
                word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-')
            };
            let names: Vec<String> = words.iter().take_while(is_name).take(2).cloned().collect();
            if ![
                "db", "tenancy", "config", "target", "table", "sync", "mapping", "fusebox", "keys",
                "request", "trigger",
            ]
            .contains(&names.first().map(String::as_str).unwrap_or_default())
            {
                continue;
            }
            let help = help(&names).unwrap_or_else(|| panic!("{page} names the command {names:?}"));
            for option in words.iter().filter(|word| word.starts_with("--")) {
                let option = option.trim_end_matches([',', '.']);
                assert!(help.contains(option), "{page}: {names:?} has no option {option}");
            }
            tried += 1;
        }
    }
    assert!(tried > 60, "{tried}");
}

/// The messages of all lines of level ERROR in the programs.
fn errors() -> BTreeSet<String> {
    let (mut messages, mut folders) = (BTreeSet::new(), vec![project_root().join("crates")]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source");
                for call in text.split("tracing::error!(").skip(1) {
                    let call = call.split(");").next().unwrap_or_default();
                    let message = call.rsplit('"').nth(1).unwrap_or_else(|| panic!("no message: {call}"));
                    messages.insert(message.to_owned());
                }
            }
        }
    }
    messages
}

/// An ERROR means that a person must act, so the page says how.
#[test]
fn every_line_of_level_error_is_on_the_page_with_what_to_do() {
    let (page, errors) = (read("docs/operations.md"), errors());
    assert!(errors.len() >= 6, "{errors:?}");
    for message in &errors {
        let begins = message.split([';', ':']).next().unwrap_or(message);
        assert!(
            page.contains(&format!("\n| `{begins}` |")),
            "docs/operations.md does not say what to do: {message}"
        );
    }
}

#[test]
fn classes_and_log_lines_that_pages_name_exist() {
    let page = read("docs/operations.md");
    for class in ["ownedByAnother", "configuration", "unreachable", "nameNotFound", "tlsFailed"] {
        assert!(page.contains(class) && ErrorClass::from_code(class).is_some(), "{class}");
    }
    let sources = [
        "crates/sync-worker/src/job.rs",
        "crates/sync-worker/src/told.rs",
        "crates/sync-worker/src/turn.rs",
        "crates/core/src/queue/publisher.rs",
        "crates/core/src/observe/mod.rs",
        "crates/core/src/worker/schema.rs",
    ];
    let sources: String = sources.into_iter().map(read).collect();
    for line in [
        "the internal database has stepped back: a target was ahead of it; targets are compared and mended",
        "the target failed; it is tried again",
        "filling a table",
        "RabbitMQ takes no messages",
        "the installation cannot be looked at",
        "newer than this program",
    ] {
        let page: String = page.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(page.contains(line), "docs/operations.md: {line}");
        assert!(sources.contains(line), "no worker says: {line}");
    }
}
