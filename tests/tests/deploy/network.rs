//! What points at pods: Services, disruption budgets, network policies. A selector that finds nobody is a typo.

use serde_json::Value;

use super::documents::{Manifests, title};

pub(crate) fn problems(all: &Manifests) -> Vec<String> {
    let mut found = Vec::new();
    for service in all.of_kind("Service") {
        let selector = serde_json::json!({ "matchLabels": service["spec"]["selector"] });
        let pods = all.selected(&selector);
        if pods.is_empty() {
            found.push(format!("{} selects no pod", title(service)));
        }
        for port in service["spec"]["ports"].as_array().into_iter().flatten() {
            let target = port["targetPort"].as_str().unwrap_or_default();
            if pods.iter().any(|pod| pod.port(target).is_none()) {
                found.push(format!("{}: no port {target:?} in its pods", title(service)));
            }
            if pods.iter().any(|pod| port["name"] == "health" && port["port"].as_u64() != pod.port("health"))
            {
                found.push(format!("{}: port health has another number in its pods", title(service)));
            }
        }
    }
    for budget in all.of_kind("PodDisruptionBudget") {
        if all.selected(&budget["spec"]["selector"]).len() != 1 {
            found.push(format!("{} must mean the pods of one owner", title(budget)));
        }
    }
    for policy in all.of_kind("NetworkPolicy") {
        found.extend(
            of_policy(all, policy).into_iter().map(|problem| format!("{}: {problem}", title(policy))),
        );
    }
    for deployment in all.of_kind("Deployment") {
        let selector = &deployment["spec"]["selector"];
        if all.selected(selector).iter().map(|pod| &pod.owner).ne([&title(deployment)]) {
            found.push(format!("{} does not select its own pods alone", title(deployment)));
        }
    }
    for pod in all.our_pods() {
        let denied = all.named("NetworkPolicy", "tenant-sync-default-deny");
        let reach = denied.map(|policy| all.selected(&policy["spec"]["podSelector"])).unwrap_or_default();
        if !reach.iter().any(|other| other.owner == pod.owner) {
            found.push(format!("{} is under no policy that denies what is not allowed", pod.owner));
        }
    }
    found
}

fn of_policy(all: &Manifests, policy: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let subjects = all.selected(&policy["spec"]["podSelector"]);
    if subjects.is_empty() {
        found.push("selects no pod".to_owned());
    }
    let rules = |direction: &str| policy["spec"][direction].as_array().cloned().unwrap_or_default();
    for rule in rules("ingress") {
        for port in rule["ports"].as_array().into_iter().flatten() {
            if let Some(name) = port["port"].as_str()
                && subjects.iter().any(|pod| pod.port(name).is_none())
            {
                found.push(format!("no port {name:?} in what it selects"));
            }
        }
        found.extend(strangers(all, &rule["from"]));
    }
    for rule in rules("egress") {
        found.extend(strangers(all, &rule["to"]));
    }
    found
}

/// Peers in the same namespace must exist. What another namespace has is not ours to know.
fn strangers(all: &Manifests, peers: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for peer in peers.as_array().into_iter().flatten() {
        if peer["namespaceSelector"].is_null()
            && !peer["podSelector"].is_null()
            && all.selected(&peer["podSelector"]).is_empty()
        {
            found.push(format!("lets through pods that do not exist: {}", peer["podSelector"]));
        }
    }
    found
}
