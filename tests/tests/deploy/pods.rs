//! Each pod of ours against the program in it: image, settings, ports, probes, time to stop, memory, rights.

use std::net::SocketAddr;

use serde_json::Value;
use tenant_sync_core::config::Config;

use super::documents::{Manifests, Pod, image, text};
use super::{images, programs, settings};

/// Longest time in which a worker stops when it is asked to, in seconds.
const STOPS_WITHIN: u64 = 10;

pub(crate) fn problems(all: &Manifests) -> Vec<String> {
    let mut found = Vec::new();
    for pod in all.our_pods() {
        let of_pod = pod.containers().flat_map(|container| of_container(all, &pod, container));
        found.extend(of_pod.chain(of_spec(&pod)).map(|problem| format!("{}: {problem}", pod.owner)));
    }
    found
}

fn of_spec(pod: &Pod) -> Vec<String> {
    let mut found = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            found.push(what.to_owned());
        }
    };
    must(pod.spec["enableServiceLinks"] == false, "enableServiceLinks must be false");
    must(pod.spec["automountServiceAccountToken"] == false, "automountServiceAccountToken must be false");
    must(pod.spec["securityContext"]["runAsNonRoot"] == true, "runAsNonRoot must be true");
    must(
        pod.spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault",
        "seccompProfile must be RuntimeDefault",
    );
    must(pod.spec["serviceAccountName"] == "tenant-sync", "serviceAccountName must be tenant-sync");
    if is_worker(pod) {
        let last_words =
            pod.containers().filter_map(|c| c["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64());
        let needed = STOPS_WITHIN + last_words.max().unwrap_or_default();
        let grace = pod.spec["terminationGracePeriodSeconds"].as_u64().unwrap_or_default();
        must(grace > needed, "terminationGracePeriodSeconds is less than a worker may need");
        let spread = pod.spec["topologySpreadConstraints"].as_array().cloned().unwrap_or_default();
        let keys: Vec<_> = spread.iter().map(|constraint| text(&constraint["topologyKey"])).collect();
        must(keys.iter().any(|key| key == "kubernetes.io/hostname"), "is not spread over nodes");
        // Else pods of the version that goes are counted, and what is left is not spread.
        must(
            spread.iter().all(|c| c["matchLabelKeys"] == serde_json::json!(["pod-template-hash"])),
            "a spread constraint counts pods of other versions",
        );
        let own = |c: &Value| super::documents::labels(&c["labelSelector"]["matchLabels"]);
        must(
            spread.iter().all(|c| own(c).iter().all(|(key, value)| pod.labels.get(key) == Some(value))),
            "a spread constraint counts other pods",
        );
    }
    found
}

pub(crate) fn is_worker(pod: &Pod) -> bool {
    pod.labels.get("app.kubernetes.io/component").is_some_and(|component| component == "worker")
}

fn of_container(all: &Manifests, pod: &Pod, container: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let program = image(container).unwrap_or_default();
    let targets = images::targets();
    if !targets.contains(&program) {
        found.push(format!("the Dockerfile has no target {program:?}"));
    }
    // A script's image runs the command line.
    if images::script(&program).is_none() {
        if !programs::names().contains(&program) {
            found.push(format!("there is no program {program:?}"));
            return found;
        }
        let arguments: Vec<String> = container["args"].as_array().into_iter().flatten().map(text).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        if !programs::understands(&program, &arguments) {
            found.push(format!("{program} does not take {arguments:?}"));
        }
    }
    for (key, wanted) in [("allowPrivilegeEscalation", false), ("readOnlyRootFilesystem", true)] {
        if container["securityContext"][key] != wanted {
            found.push(format!("{key} must be {wanted}"));
        }
    }
    if container["securityContext"]["capabilities"]["drop"] != serde_json::json!(["ALL"]) {
        found.push("capabilities must be dropped".to_owned());
    }
    for (kind, what) in [("requests", "cpu"), ("requests", "memory"), ("limits", "memory")] {
        if container["resources"][kind][what].is_null() {
            found.push(format!("resources.{kind}.{what} is missing"));
        }
    }
    match settings::of_container(all, pod, container) {
        Ok(config) if is_worker(pod) => found.extend(of_worker(all, pod, container, &config)),
        Ok(_) => {}
        Err(reason) => found.push(reason),
    }
    found
}

fn of_worker(all: &Manifests, pod: &Pod, container: &Value, config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    let health = config.health.listen.map(|address| u64::from(address.port()));
    if health.is_none() || pod.port("health") != health {
        found.push(format!("port health is {:?}, the worker listens on {health:?}", pod.port("health")));
    }
    let variables = settings::environment(all, container).unwrap_or_default();
    let console = variables.iter().find(|(name, _)| name == "TENANT_SYNC_CONSOLE__LISTEN");
    let console = console.and_then(|(_, at)| at.parse::<SocketAddr>().ok()).map(|at| u64::from(at.port()));
    if pod.port("http") != console {
        found.push(format!("port http is {:?}, the console listens on {console:?}", pod.port("http")));
    }
    for (probe, page) in
        [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz"), ("startupProbe", "/healthz")]
    {
        let asked = &container[probe]["httpGet"];
        if asked["path"] != page || asked["port"] != "health" {
            found.push(format!("{probe} must ask for {page} at port health"));
        }
    }
    if container["readinessProbe"]["timeoutSeconds"].as_u64().unwrap_or(1) <= 2 {
        found.push("readinessProbe gives up before the worker does, which asks for 2 s".to_owned());
    }
    let needed = match image(container).as_deref() {
        // The slice that is written, and the next, which is read meanwhile.
        Some("sync-worker") => 2 * config.sync.batch_bytes * usize::from(config.sync.concurrency),
        Some("request-worker") => {
            let requests = usize::from(config.requests.concurrency)
                * usize::try_from(config.requests.parallelism).unwrap_or(1);
            requests * (config.requests.max_body_bytes + config.requests.response_bytes)
        }
        _ => 0,
    };
    let limit = bytes(&text(&container["resources"]["limits"]["memory"])).unwrap_or_default();
    if limit < needed {
        found.push(format!("what it works on may take {needed} bytes, resources.limits.memory is {limit}"));
    }
    found
}

fn bytes(quantity: &str) -> Option<usize> {
    let digits = quantity.find(|c: char| !c.is_ascii_digit()).unwrap_or(quantity.len());
    let number: usize = quantity[..digits].parse().ok()?;
    let unit = match &quantity[digits..] {
        "" => 1,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return None,
    };
    Some(number * unit)
}
