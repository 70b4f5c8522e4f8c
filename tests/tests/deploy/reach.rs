//! Where settings send a program: the host is a Service, the port is one of its ports, and the network policies of both ends
//! let the pod through.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::documents::{Manifests, Pod, image, labels, matches, text, title};
use super::pods::is_worker;
use super::settings::{environment, secret_behind};

/// Who uses a setting.
enum User {
    All,
    Workers,
    One(&'static str),
}

/// Settings with the address of a server.
const ADDRESSES: [(&str, User); 6] = [
    ("TENANT_SYNC_RABBITMQ__MANAGEMENT_URL", User::One("console")),
    ("TENANT_SYNC_TELEMETRY__OTLP_ENDPOINT", User::Workers),
    ("TENANT_SYNC_DATABASE__URL_FILE", User::All),
    ("TENANT_SYNC_RABBITMQ__URL_FILE", User::All),
    ("DEMO_EXTERNAL_URL", User::One("demo-data")),
    ("DEMO_EXTERNAL_2_URL", User::One("demo-data")),
];

/// What the operator's Service of a `RabbitmqCluster` offers.
const OF_A_CLUSTER: [u16; 4] = [5672, 5671, 15672, 15671];

/// One end of a way.
enum Server {
    Pods(Vec<Pod>),
    /// In the namespace of this name.
    Elsewhere(String),
}

pub(crate) fn problems(all: &Manifests) -> Vec<String> {
    let mut found = Vec::new();
    for pod in all.our_pods() {
        for container in pod.containers() {
            let program = image(container).unwrap_or_default();
            for (name, value) in environment(all, container).unwrap_or_default() {
                let used = match ADDRESSES.iter().find(|(key, _)| *key == name) {
                    Some((_, User::All)) => true,
                    Some((_, User::Workers)) => is_worker(&pod),
                    Some((_, User::One(user))) => *user == program,
                    None => false,
                };
                if !used {
                    continue;
                }
                let address =
                    if name.ends_with("_FILE") { secret(all, &pod, container, &value) } else { Some(value) };
                let problem = address.and_then(|address| unreachable(all, &pod, &address).err());
                found.extend(problem.map(|problem| format!("{} {name}: {problem}", pod.owner)));
            }
        }
    }
    found
}

/// What a mounted Secret holds, where the overlay makes it.
fn secret(all: &Manifests, pod: &Pod, container: &Value, path: &str) -> Option<String> {
    let (secret, key) = secret_behind(pod, container, path).ok()?;
    let data = text(&all.named("Secret", &secret)?["data"][key.as_str()]);
    String::from_utf8(STANDARD.decode(data).ok()?).ok()
}

/// Why a pod does not get to an address.
fn unreachable(all: &Manifests, pod: &Pod, address: &str) -> Result<(), String> {
    let url = reqwest::Url::parse(address).map_err(|error| error.to_string())?;
    let host = url.host_str().ok_or("no host")?;
    let usual = match url.scheme() {
        "postgres" => Some(5432),
        "amqp" => Some(5672),
        _ => None,
    };
    let port = url.port_or_known_default().or(usual).ok_or("no port")?;
    let (server, port) = server(all, host, port)?;
    let allowed = policies(all, "Egress", pod).any(|policy| {
        rules(policy, "egress")
            .any(|rule| has_port(rule, port) && peers(rule, "to").any(|peer| is_peer(peer, &server)))
    });
    if !allowed {
        return Err(format!("no policy lets it out to port {port} of {host}"));
    }
    let Server::Pods(pods) = server else { return Ok(()) };
    for target in pods {
        let mut guards = policies(all, "Ingress", &target).peekable();
        let open = guards.peek().is_none()
            || guards.any(|policy| {
                rules(policy, "ingress").any(|rule| {
                    let source = Server::Pods(vec![pod.clone()]);
                    has_port(rule, port) && peers(rule, "from").any(|peer| is_peer(peer, &source))
                })
            });
        if !open {
            return Err(format!("{} lets it in at no port {port}", target.owner));
        }
    }
    Ok(())
}

/// Whom a host means, and the port of the pods behind it.
fn server(all: &Manifests, host: &str, port: u16) -> Result<(Server, u64), String> {
    if let Some((_, namespace)) = host.split_once('.') {
        return Ok((Server::Elsewhere(namespace.to_owned()), port.into()));
    }
    if let Some(cluster) = all.named("RabbitmqCluster", host).filter(|_| OF_A_CLUSTER.contains(&port)) {
        let selector =
            serde_json::json!({ "matchLabels": { "app.kubernetes.io/name": cluster["metadata"]["name"] } });
        return Ok((Server::Pods(all.selected(&selector)), port.into()));
    }
    let service = all.named("Service", host).ok_or(format!("there is no Service {host:?}"))?;
    let ports = service["spec"]["ports"].as_array().cloned().unwrap_or_default();
    let known = ports.iter().find(|known| known["port"] == port);
    let target = known.ok_or(format!("{} has no port {port}", title(service)))?["targetPort"].clone();
    let pods = all.selected(&serde_json::json!({ "matchLabels": service["spec"]["selector"] }));
    let number = pods.iter().find_map(|pod| pod.port(&text(&target)));
    Ok((Server::Pods(pods), number.ok_or(format!("no pod of {host} has the port {target}"))?))
}

fn policies<'a>(all: &'a Manifests, kind: &str, pod: &Pod) -> impl Iterator<Item = &'a Value> {
    all.of_kind("NetworkPolicy").filter(move |policy| {
        let kinds = policy["spec"]["policyTypes"].as_array();
        kinds.into_iter().flatten().any(|known| known == kind)
            && matches(&policy["spec"]["podSelector"], &pod.labels)
    })
}

fn rules<'a>(policy: &'a Value, direction: &str) -> impl Iterator<Item = &'a Value> {
    policy["spec"][direction].as_array().into_iter().flatten()
}

fn peers<'a>(rule: &'a Value, side: &str) -> impl Iterator<Item = &'a Value> {
    rule[side].as_array().into_iter().flatten()
}

/// Without a list of ports a rule means all of them.
fn has_port(rule: &Value, port: u64) -> bool {
    rule["ports"].as_array().is_none_or(|ports| ports.iter().any(|known| known["port"] == port))
}

fn is_peer(peer: &Value, server: &Server) -> bool {
    match server {
        Server::Pods(pods) => {
            peer["namespaceSelector"].is_null()
                && peer["ipBlock"].is_null()
                && pods.iter().all(|pod| matches(&peer["podSelector"], &pod.labels))
        }
        Server::Elsewhere(namespace) => {
            let wanted = labels(&peer["namespaceSelector"]["matchLabels"]);
            wanted.get("kubernetes.io/metadata.name") == Some(namespace)
        }
    }
}
