//! The alert rules of `deploy/monitoring` as objects for the Prometheus operator. Kustomize cannot put one file into another,
//! so `deploy/k8s/components/monitoring/rules.yaml` is a copy, and a copy is compared.

use std::fmt::Write as _;

use serde_json::Value;
use tenant_sync_tests::pids::project_root;

use super::documents::{Manifests, text};
use super::tools;

const COPY: &str = "deploy/k8s/components/monitoring/rules.yaml";

/// The files of rules by their names without the ending, in order.
fn sources() -> Vec<(String, String)> {
    let folder = project_root().join("deploy/monitoring");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.strip_suffix(".yml")?.to_owned();
            (!name.ends_with(".test")).then(|| (name, std::fs::read_to_string(&path).expect("a file")))
        })
        .collect();
    files.sort();
    assert!(files.len() >= 2, "{files:?}");
    files
}

/// One `PrometheusRule` for each file: what Prometheus reads from a file, the operator reads from `spec`.
fn objects() -> String {
    let mut all = String::from(
        "# Made from deploy/monitoring, where rules are changed, by\n\
         #   TENANT_SYNC_WRITE_DOCS=1 cargo test -p tenant-sync-tests --test deploy rules::\n",
    );
    for (index, (name, rules)) in sources().iter().enumerate() {
        if index > 0 {
            all.push_str("---\n");
        }
        let _ = write!(
            all,
            "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: tenant-sync-{name}\nspec:\n"
        );
        for line in rules.lines() {
            all.push_str(format!("  {line}").trim_end());
            all.push('\n');
        }
    }
    all
}

/// `TENANT_SYNC_WRITE_DOCS=1` writes the copy instead of comparing it.
#[test]
fn the_operators_rules_are_those_of_prometheus() {
    let (path, objects) = (project_root().join(COPY), objects());
    if std::env::var_os("TENANT_SYNC_WRITE_DOCS").is_some() {
        std::fs::write(&path, &objects).expect("written");
    }
    let copy = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(copy == objects, "{COPY} is not deploy/monitoring: run this test with TENANT_SYNC_WRITE_DOCS=1");
    let Some(tools) = tools::folder() else { return };
    let copies = tools::yaml(tools, &copy);
    for ((name, rules), copy) in sources().iter().zip(&copies) {
        assert_eq!(copy["spec"], tools::yaml(tools, rules)[0], "{name} means something else as a copy");
    }
    assert_eq!(copies.len(), sources().len());
}

/// What the operator knows of a group and a rule.
pub(crate) fn problems(_: &Manifests, document: &Value) -> Vec<String> {
    let mut found = super::custom::unknown(&document["spec"], &["groups"]);
    for group in document["spec"]["groups"].as_array().into_iter().flatten() {
        found.extend(super::custom::unknown(group, &["name", "rules"]));
        for rule in group["rules"].as_array().into_iter().flatten() {
            found.extend(super::custom::unknown(rule, &["alert", "expr", "for", "labels", "annotations"]));
            // The operator refuses values that are no text, which Prometheus itself would take.
            for map in ["labels", "annotations"] {
                let values = rule[map].as_object().into_iter().flatten();
                for (key, _) in values.filter(|(_, value)| !value.is_string()) {
                    found.push(format!("{}: {map}.{key} is no text", text(&rule["alert"])));
                }
            }
        }
    }
    found
}
