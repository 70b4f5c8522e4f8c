//! Rendered manifests, and how one finds a way through them.

use std::collections::BTreeMap;

use serde_json::Value;

/// Labels of an object, or what a selector asks for.
pub(crate) type Labels = BTreeMap<String, String>;

/// Everything that an overlay consists of.
#[derive(Debug, Clone)]
pub(crate) struct Manifests {
    pub(crate) documents: Vec<Value>,
}

/// What a Deployment or Job makes pods of.
#[derive(Debug, Clone)]
pub(crate) struct Pod {
    /// `Deployment/poller`
    pub(crate) owner: String,
    pub(crate) labels: Labels,
    pub(crate) spec: Value,
}

impl Manifests {
    pub(crate) fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.documents.iter().filter(move |document| document["kind"] == kind)
    }

    pub(crate) fn named(&self, kind: &str, name: &str) -> Option<&Value> {
        self.documents
            .iter()
            .find(|document| document["kind"] == kind && document["metadata"]["name"] == name)
    }

    pub(crate) fn pods(&self) -> Vec<Pod> {
        let owners = self.of_kind("Deployment").chain(self.of_kind("Job"));
        owners
            .map(|owner| Pod {
                owner: title(owner),
                labels: labels(&owner["spec"]["template"]["metadata"]["labels"]),
                spec: owner["spec"]["template"]["spec"].clone(),
            })
            .collect()
    }

    /// Pods that run a program of ours.
    pub(crate) fn our_pods(&self) -> Vec<Pod> {
        self.pods().into_iter().filter(|pod| pod.containers().any(|c| image(c).is_some())).collect()
    }

    /// Pods that a label selector means; the RabbitMQ operator's are known by the labels that it gives them.
    pub(crate) fn selected(&self, selector: &Value) -> Vec<Pod> {
        let mut pods = self.pods();
        pods.extend(self.of_kind("RabbitmqCluster").map(|cluster| Pod {
            owner: title(cluster),
            labels: Labels::from([
                ("app.kubernetes.io/name".to_owned(), text(&cluster["metadata"]["name"])),
                ("app.kubernetes.io/component".to_owned(), "rabbitmq".to_owned()),
            ]),
            spec: Value::Null,
        }));
        pods.retain(|pod| matches(selector, &pod.labels));
        pods
    }
}

impl Pod {
    pub(crate) fn containers(&self) -> impl Iterator<Item = &Value> {
        let list = |key: &str| self.spec[key].as_array().map(Vec::as_slice).unwrap_or_default();
        list("initContainers").iter().chain(list("containers"))
    }

    /// The number of a port that its containers name.
    pub(crate) fn port(&self, name: &str) -> Option<u64> {
        let mut ports = self.containers().flat_map(|c| c["ports"].as_array().cloned().unwrap_or_default());
        ports.find(|port| port["name"] == name).and_then(|port| port["containerPort"].as_u64())
    }
}

/// `kind/name`
pub(crate) fn title(document: &Value) -> String {
    format!("{}/{}", text(&document["kind"]), text(&document["metadata"]["name"]))
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub(crate) fn labels(value: &Value) -> Labels {
    let pairs = value.as_object().into_iter().flatten();
    pairs.map(|(key, value)| (key.clone(), text(value))).collect()
}

/// Of `tenant-sync/poller:0.1.0`, or of the same at some registry: `poller`.
pub(crate) fn image(container: &Value) -> Option<String> {
    let image = text(&container["image"]);
    let (_, name) = image.rsplit_once("tenant-sync/")?;
    Some(name.split(':').next().unwrap_or_default().to_owned())
}

pub(crate) fn matches(selector: &Value, labels: &Labels) -> bool {
    let wanted = selector["matchLabels"].as_object().into_iter().flatten();
    let has = |key: &str, value: &Value| labels.get(key).is_some_and(|label| value == label);
    let mut expressions = selector["matchExpressions"].as_array().into_iter().flatten();
    wanted.into_iter().all(|(key, value)| has(key, value))
        && expressions.all(|expression| {
            let values = expression["values"].as_array().cloned().unwrap_or_default();
            let key = text(&expression["key"]);
            match expression["operator"].as_str() {
                Some("In") => values.iter().any(|value| has(&key, value)),
                Some("Exists") => labels.contains_key(&key),
                _ => false,
            }
        })
}
