//! What points at pods: Services, disruption budgets, network policies. A selector that finds nobody is a typo.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;
use tenant_sync_core::guard::Kind;

use super::documents::{Manifests, text, title};

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

/// Towards strangers the policy lets through whom the programs' guard calls public, and nobody else.
pub(crate) fn strangers_are_public(all: &Manifests) {
    let policy = all.named("NetworkPolicy", "tenant-sync-strangers").expect("a policy");
    let blocks = policy["spec"]["egress"][0]["to"].as_array().expect("peers");
    let blocks: Vec<(Range, Vec<Range>)> = blocks
        .iter()
        .map(|peer| {
            let except = peer["ipBlock"]["except"].as_array().into_iter().flatten();
            (range(&peer["ipBlock"]["cidr"]), except.map(range).collect())
        })
        .collect();
    let open = |address: IpAddr| {
        blocks
            .iter()
            .any(|(block, except)| holds(block, address) && !except.iter().any(|range| holds(range, address)))
    };
    let mut judged = [0, 0];
    let mut judge = |address: IpAddr| {
        let public = Kind::of(address) == Kind::Public;
        assert_eq!(open(address), public, "{address} is {}", Kind::of(address));
        judged[usize::from(public)] += 1;
    };
    // The registries give IPv4 away by /24 at the least, and only with these at their ends.
    for c in [0, 2, 48, 99, 100, 113, 193, 196, 255] {
        (0..=u16::MAX).for_each(|ab| judge(Ipv4Addr::from((u32::from(ab) << 16) | (c << 8) | 7).into()));
    }
    for first in 0..=u16::MAX {
        judge(Ipv6Addr::new(first, 0x4860, 1, 2, 3, 4, 5, 6).into());
    }
    for first in [0x2001, 0x2620, 0x3fff] {
        (0..=u16::MAX).for_each(|second| judge(Ipv6Addr::new(first, second, 0x8000, 0, 0, 0, 0, 1).into()));
    }
    assert!(judged[0] > 10_000 && judged[1] > 10_000, "{judged:?}");
}

/// Its first address, and how many bits of it count.
type Range = (IpAddr, u32);

fn range(value: &Value) -> Range {
    let text = text(value);
    let (base, bits) = text.split_once('/').expect("a range");
    (base.parse().expect("an address"), bits.parse().expect("a number"))
}

/// Whether a range has an address in it.
fn holds((base, bits): &Range, address: IpAddr) -> bool {
    match (base, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) => {
            (base.to_bits() ^ address.to_bits()).leading_zeros() >= *bits
        }
        (IpAddr::V6(base), IpAddr::V6(address)) => {
            (base.to_bits() ^ address.to_bits()).leading_zeros() >= *bits
        }
        _ => false,
    }
}
