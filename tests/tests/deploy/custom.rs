//! What operators read (KEDA, Prometheus, RabbitMQ), whose schemas are not published with those of Kubernetes: the fields
//! that we use are the ones that they have, and what they name exists in the programs.

use serde_json::Value;
use tenant_sync_core::queue::names::Queue;

use super::documents::{Manifests, text, title};
use super::rules;
use super::settings::secret_has;

pub(crate) fn problems(all: &Manifests) -> Vec<String> {
    let mut found = Vec::new();
    for (kind, check) in [
        ("ScaledObject", scaled_object as fn(&Manifests, &Value) -> Vec<String>),
        ("TriggerAuthentication", authentication),
        ("ServiceMonitor", service_monitor),
        ("PrometheusRule", rules::problems),
        ("RabbitmqCluster", cluster),
    ] {
        for document in all.of_kind(kind) {
            let name = title(document);
            found.extend(check(all, document).into_iter().map(|problem| format!("{name}: {problem}")));
        }
    }
    found
}

/// Fields of `value` that are not known here.
pub(crate) fn unknown(value: &Value, known: &[&str]) -> Vec<String> {
    let fields = value.as_object().into_iter().flatten();
    fields
        .filter(|(key, _)| !known.contains(&key.as_str()))
        .map(|(key, _)| format!("unknown field {key:?}"))
        .collect()
}

fn scaled_object(all: &Manifests, document: &Value) -> Vec<String> {
    let spec = &document["spec"];
    let mut found = unknown(
        spec,
        &[
            "scaleTargetRef",
            "pollingInterval",
            "minReplicaCount",
            "maxReplicaCount",
            "fallback",
            "advanced",
            "triggers",
        ],
    );
    found.extend(unknown(&spec["fallback"], &["failureThreshold", "replicas"]));
    found.extend(unknown(&spec["scaleTargetRef"], &["name"]));
    found.extend(unknown(&spec["advanced"], &["horizontalPodAutoscalerConfig"]));
    found.extend(unknown(&spec["advanced"]["horizontalPodAutoscalerConfig"], &["behavior"]));
    let target = text(&spec["scaleTargetRef"]["name"]);
    match all.named("Deployment", &target) {
        None => found.push(format!("there is no Deployment {target:?}")),
        Some(deployment) if !deployment["spec"]["replicas"].is_null() => {
            found.push(format!("{} says a number of replicas, too", title(deployment)));
        }
        Some(_) => {}
    }
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let (least, most) = (number(&spec["minReplicaCount"]), number(&spec["maxReplicaCount"]));
    let fallback = number(&spec["fallback"]["replicas"]);
    if !(1 <= least && least <= fallback && fallback <= most) {
        found.push(format!("{least} ≤ {fallback} ≤ {most} does not hold for least, fallback and most"));
    }
    for trigger in spec["triggers"].as_array().into_iter().flatten() {
        found.extend(of_trigger(all, trigger));
    }
    found
}

fn of_trigger(all: &Manifests, trigger: &Value) -> Vec<String> {
    let mut found = unknown(trigger, &["type", "name", "metricType", "authenticationRef", "metadata"]);
    // KEDA falls back only where it knows what one replica is to have.
    if trigger["metricType"] != "AverageValue" {
        found.push("a trigger must be an AverageValue, or there is no fallback".to_owned());
    }
    let metadata = &trigger["metadata"];
    let parameter = match trigger["type"].as_str() {
        Some("rabbitmq") => {
            found.extend(unknown(metadata, &["protocol", "vhostName", "queueName", "mode", "value"]));
            let queue = text(&metadata["queueName"]);
            if !Queue::ALL.iter().any(|known| known.name() == queue) {
                found.push(format!("there is no queue {queue:?}"));
            }
            if metadata["protocol"] != "http" || metadata["mode"] != "QueueLength" {
                found.push("a queue's depth is asked for with http and QueueLength".to_owned());
            }
            if metadata["vhostName"] != default_vhost().as_str() {
                found.push(format!("vhostName {} is not the workers'", metadata["vhostName"]));
            }
            "host"
        }
        Some("postgresql") => {
            found.extend(unknown(metadata, &["targetQueryValue", "query"]));
            "connection"
        }
        _ => return vec![format!("nobody knows triggers of type {}", trigger["type"])],
    };
    let target = if parameter == "host" { "value" } else { "targetQueryValue" };
    if !text(&metadata[target]).parse::<f64>().is_ok_and(|value| value > 0.0) {
        found.push(format!("{target} must be a positive number in quotes"));
    }
    let authentication = text(&trigger["authenticationRef"]["name"]);
    let known = all.named("TriggerAuthentication", &authentication);
    let mut gives =
        known.into_iter().flat_map(|a| a["spec"]["secretTargetRef"].as_array().into_iter().flatten());
    if !gives.any(|reference| reference["parameter"] == parameter) {
        found.push(format!("no TriggerAuthentication {authentication:?} that gives {parameter:?}"));
    }
    found
}

/// The vhost of `rabbitmq.url` as people are told to write it.
fn default_vhost() -> String {
    let defaults: toml::Table = tenant_sync_core::config::DEFAULTS.parse().expect("TOML");
    let url = defaults["rabbitmq"]["url"].as_str().expect("a URL");
    url.parse::<lapin::uri::AMQPUri>().expect("a URL").vhost
}

fn authentication(all: &Manifests, document: &Value) -> Vec<String> {
    let mut found = unknown(&document["spec"], &["secretTargetRef"]);
    for reference in document["spec"]["secretTargetRef"].as_array().into_iter().flatten() {
        found.extend(unknown(reference, &["parameter", "name", "key"]));
        found.extend(secret_has(all, &text(&reference["name"]), &text(&reference["key"])).err());
    }
    found
}

fn service_monitor(all: &Manifests, document: &Value) -> Vec<String> {
    let mut found = unknown(&document["spec"], &["selector", "endpoints"]);
    let wanted = document["spec"]["selector"]["matchLabels"].as_object();
    let services: Vec<_> = all
        .of_kind("Service")
        .filter(|service| {
            wanted.into_iter().flatten().all(|(key, value)| service["metadata"]["labels"][key] == *value)
        })
        .collect();
    if services.len() != 1 {
        found.push(format!("selects {} services instead of one", services.len()));
    }
    for endpoint in document["spec"]["endpoints"].as_array().into_iter().flatten() {
        found.extend(unknown(endpoint, &["port", "path", "interval", "scrapeTimeout"]));
        let has = |service: &&Value| {
            service["spec"]["ports"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|port| port["name"] == endpoint["port"])
        };
        if !services.iter().all(has) {
            found.push(format!("no Service has a port {}", endpoint["port"]));
        }
        if endpoint["path"] != "/metrics" {
            found.push(format!("{} is not where metrics are", endpoint["path"]));
        }
    }
    found
}

fn cluster(_: &Manifests, document: &Value) -> Vec<String> {
    let spec = &document["spec"];
    let mut found = unknown(
        spec,
        &["replicas", "persistence", "resources", "rabbitmq", "affinity", "terminationGracePeriodSeconds"],
    );
    found.extend(unknown(&spec["persistence"], &["storage", "storageClassName"]));
    found.extend(unknown(&spec["rabbitmq"], &["additionalPlugins", "additionalConfig"]));
    if spec["replicas"] != 3 {
        found.push("a quorum needs three nodes".to_owned());
    }
    for line in text(&spec["rabbitmq"]["additionalConfig"]).lines() {
        if !line.is_empty() && !line.starts_with('#') && !line.contains(" = ") {
            found.push(format!("{line:?} is no line of rabbitmq.conf"));
        }
    }
    found
}
