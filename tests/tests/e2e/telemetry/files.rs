//! Rules, dashboard and pages fit the programs: each metric, command, key and alert that they name exists.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;

use serde_json::Value;
use tenant_sync_core::worker::metrics::catalog::{self, Shape};
use tenant_sync_tests::pids::project_root;
use tenant_sync_tests::prometheus::is_installed;

fn read(path: &str) -> String {
    std::fs::read_to_string(project_root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names of metrics in a text.
pub(super) fn names_in(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !word(c)).filter(|word| word.starts_with("tenant_sync_"));
    words.map(str::to_owned).collect()
}

/// The expressions of a dashboard.
pub(super) fn expressions(dashboard: &str) -> Vec<String> {
    let dashboard: Value = serde_json::from_str(dashboard).expect("JSON");
    let panels = dashboard["panels"].as_array().cloned().unwrap_or_default();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default());
    targets.map(|target| target["expr"].as_str().expect("an expression").to_owned()).collect()
}

fn is_metric(name: &str) -> bool {
    let known = |name: &str, of: Option<Shape>| {
        catalog::ALL.iter().any(|metric| metric.name == name && of.is_none_or(|shape| metric.shape == shape))
    };
    let histogram = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| name.strip_suffix(end));
    known(name, None) || histogram.is_some_and(|name| known(name, Some(Shape::Histogram)))
}

/// The files of rules; the tests of each lie beside it.
pub(super) const RULES: [&str; 2] = ["alerts", "alerts-requests"];

fn rules() -> String {
    RULES.map(|name| read(&format!("deploy/monitoring/{name}.yml"))).concat()
}

fn rule_tests() -> String {
    RULES.map(|name| read(&format!("deploy/monitoring/{name}.test.yml"))).concat()
}

fn alerts() -> Vec<String> {
    let rules = rules();
    rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect()
}

#[test]
fn rules_and_dashboard_name_only_metrics_that_exist_and_the_dashboard_shows_all() {
    for name in names_in(&format!("{}{}", rules(), rule_tests())) {
        assert!(is_metric(&name), "rules or their tests name {name}, which is no metric");
    }
    let dashboard = read("deploy/monitoring/dashboard.json");
    let shown = names_in(&dashboard);
    for name in &shown {
        assert!(is_metric(name), "the dashboard names {name}");
    }
    for metric in catalog::ALL {
        let shown =
            shown.iter().any(|name| name == metric.name || name.strip_suffix("_bucket") == Some(metric.name));
        assert!(shown, "the dashboard does not show {}", metric.name);
    }
    assert!(expressions(&dashboard).len() > 30);
}

#[test]
fn a_panel_of_the_dashboard_shows_seconds_or_something_else_and_says_so() {
    let dashboard: Value = serde_json::from_str(&read("deploy/monitoring/dashboard.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut places = BTreeSet::new();
    for panel in panels {
        assert!(places.insert(panel["gridPos"].to_string()), "two panels in one place: {}", panel["title"]);
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().expect("an expression");
            let ends = ["_seconds", "_seconds_bucket"];
            let is_time = names_in(expression).iter().any(|name| ends.iter().any(|end| name.ends_with(end)));
            let unit = &panel["fieldConfig"]["defaults"]["unit"];
            assert_eq!(is_time, unit == "s", "{}: {expression} in {unit}", panel["title"]);
        }
    }
}

#[test]
fn every_alert_is_tested_both_ways_and_has_its_section() {
    let (alerts, tests, page) = (alerts(), rule_tests(), read("docs/operations.md"));
    let rules = rules();
    assert_eq!(alerts[0], "TenantSyncChangesNotDelivered", "the first alert is about age");
    let quiet = tests.matches("exp_alerts: []").count();
    assert!(alerts.len() > 10 && quiet >= alerts.len(), "{quiet} tests of silence for {alerts:?}");
    for alert in &alerts {
        let fires = tests.lines().zip(tests.lines().skip(1)).any(|(line, next)| {
            line.trim().trim_start_matches("- ") == format!("alertname: {alert}")
                && next.contains("exp_alerts: [{")
                || line.contains(&format!("alertname: {alert},")) && line.contains("exp_alerts: [*")
                || line.trim() == format!("alertname: {alert}") && next.contains("exp_alerts: [&")
        });
        assert!(fires, "no test lets {alert} fire");
        assert!(page.contains(&format!("\n### {alert}\n")), "docs/operations.md has no section {alert}");
        let anchor = format!("docs/operations.md#{}", alert.to_lowercase());
        assert!(rules.contains(&anchor), "{alert} does not say where to read on");
    }
    for line in page.lines().filter_map(|line| line.strip_prefix("### TenantSync")) {
        assert!(alerts.contains(&format!("TenantSync{line}")), "there is no alert TenantSync{line}");
    }
}

#[test]
fn promtool_accepts_the_rules_and_their_tests_pass() {
    if !is_installed() {
        eprintln!("not tested: promtool is not installed (Debian package prometheus)");
        return;
    }
    for arguments in RULES.into_iter().flat_map(|name| {
        [
            ["check".to_owned(), "rules".to_owned(), format!("{name}.yml")],
            ["test".to_owned(), "rules".to_owned(), format!("{name}.test.yml")],
        ]
    }) {
        let output = Command::new("promtool")
            .args(&arguments)
            .current_dir(project_root().join("deploy/monitoring"))
            .output()
            .expect("promtool");
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "promtool {arguments:?}: {said}");
    }
}

/// `TENANT_SYNC_WRITE_DOCS=1` writes the table instead of comparing it.
#[test]
fn the_page_of_metrics_is_the_catalogue() {
    let mut table =
        String::from("| metric | kind | labels | exported by | what it is |\n|---|---|---|---|---|\n");
    for metric in catalog::ALL {
        let labels: Vec<_> =
            metric.labels.iter().map(|(name, values)| format!("`{name}`: {}", values.describe())).collect();
        let by: Vec<_> = metric.by.iter().map(|kind| kind.name()).collect();
        let (labels, by) = (labels.join("; "), by.join(", "));
        let _ = writeln!(
            table,
            "| `{}` | {} | {labels} | {by} | {} |",
            metric.name,
            metric.shape.name(),
            metric.help.replace('|', "\\|")
        );
    }
    let page = read("docs/metrics.md");
    let (before, rest) = page.split_once("| metric |").expect("a table");
    let after = rest.split_once("\n\n").map(|(_, after)| after).unwrap_or_default();
    let wanted =
        if after.is_empty() { format!("{before}{table}") } else { format!("{before}{table}\n{after}") };
    if std::env::var_os("TENANT_SYNC_WRITE_DOCS").is_some() {
        std::fs::write(project_root().join("docs/metrics.md"), &wanted).expect("written");
        return;
    }
    assert!(
        page == wanted,
        "docs/metrics.md is not the catalogue: run this test with TENANT_SYNC_WRITE_DOCS=1"
    );
    for name in names_in(&page) {
        assert!(is_metric(&name), "docs/metrics.md: there is no metric {name}");
    }
}

/// What the code counts is what the catalogue lists.
#[test]
fn the_code_counts_nothing_that_is_not_listed() {
    let mut counted = BTreeSet::new();
    let mut folders = vec![project_root().join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("metrics/catalog.rs")
            {
                let text = std::fs::read_to_string(&path).expect("a source");
                for call in ["counter!(\"", "gauge!(\"", "histogram!(\""] {
                    let names = text.split(call).skip(1).filter_map(|rest| rest.split('"').next());
                    counted.extend(names.filter(|name| name.starts_with("tenant_sync_")).map(str::to_owned));
                }
            }
        }
    }
    let listed: BTreeSet<_> = catalog::ALL.iter().map(|metric| metric.name.to_owned()).collect();
    assert_eq!(counted, listed);
}
