//! `deploy/k8s`: both overlays are what Kubernetes takes, and say nothing that the programs do not know.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tenant_sync_core::config::Config;
use tenant_sync_tests::pids::project_root;

use super::documents::{Manifests, Pod, image, text, title};
use super::{custom, network, pods, programs, reach, settings, tools};

const OVERLAYS: [&str; 2] = ["deploy/k8s/overlays/dev", "deploy/k8s/overlays/production"];
/// The oldest and the newest version of Kubernetes whose schemas the manifests are held against.
const VERSIONS: [&str; 2] = ["1.31", "1.37"];
/// Kinds of operators: their schemas are not published with those of Kubernetes (`custom.rs`).
const OF_OPERATORS: [&str; 5] =
    ["ScaledObject", "TriggerAuthentication", "ServiceMonitor", "PrometheusRule", "RabbitmqCluster"];

fn rendered(tools: &Path, overlay: &str) -> Manifests {
    Manifests { documents: tools::yaml(tools, &tools::kustomize(tools, overlay)) }
}

/// Production with traces: what the overlay's comment tells people to do, done in a copy.
fn with_traces(tools: &Path) -> Manifests {
    let scratch = tenant_sync_tests::scratch::Scratch::new();
    let folder = scratch.path().join("k8s");
    let copied = Command::new("cp").arg("-r").arg(project_root().join("deploy/k8s")).arg(&folder).status();
    assert!(copied.expect("cp").success());
    let overlay = folder.join("overlays/production");
    let file = overlay.join("kustomization.yaml");
    let before = std::fs::read_to_string(&file).expect("a file");
    let after = before.replace("  # - ../../components/tracing", "  - ../../components/tracing");
    assert!(before != after, "the overlay does not say how to turn traces on");
    std::fs::write(&file, after).expect("written");
    rendered(tools, overlay.to_str().expect("text"))
}

fn problems(all: &Manifests) -> Vec<String> {
    let mut found = pods::problems(all);
    found.extend(network::problems(all));
    found.extend(custom::problems(all));
    found.extend(reach::problems(all));
    found
}

/// What the published schemas say, strictly: no field that they do not have.
fn validation(tools: &Path, documents: &[Value], version: &str) -> (bool, String) {
    let published: Vec<_> =
        documents.iter().filter(|d| !OF_OPERATORS.contains(&text(&d["kind"]).as_str())).collect();
    // JSON is YAML, too.
    let input: String = published.iter().map(|document| format!("---\n{document}\n")).collect();
    let scratch = tenant_sync_tests::scratch::Scratch::new();
    let file = scratch.path().join("manifests.yaml");
    std::fs::write(&file, input).expect("a file");
    let arguments = ["--strict", "-k", version, file.to_str().expect("text")];
    let output = tools::run(tools, "kubernetes-validate", &arguments, "");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let passed = said.lines().filter(|line| line.starts_with("INFO") && line.contains(" passed ")).count();
    (output.status.success() && passed == published.len(), said)
}

#[test]
fn manifests_are_what_kubernetes_takes() {
    let Some(tools) = tools::folder() else { return };
    for overlay in OVERLAYS {
        let all = rendered(tools, overlay);
        for version in VERSIONS {
            let (good, said) = validation(tools, &all.documents, version);
            assert!(good, "{overlay}, version {version}: {said}");
        }
    }
    // And a field that there is not is refused.
    let mut wrong = rendered(tools, OVERLAYS[1]).documents;
    wrong.retain(|document| document["kind"] == "Deployment");
    wrong[0]["spec"]["template"]["spec"]["enableServiceLink"] = true.into();
    assert!(!validation(tools, &wrong, VERSIONS[1]).0);
}

#[test]
fn manifests_say_what_the_programs_know() {
    let Some(tools) = tools::folder() else { return };
    for overlay in OVERLAYS {
        let all = rendered(tools, overlay);
        let found = problems(&all);
        assert!(found.is_empty(), "{overlay}:\n{}", found.join("\n"));
        let shipped = programs::names();
        let run: BTreeSet<_> = all
            .our_pods()
            .iter()
            .flat_map(|p| p.containers().filter_map(image).collect::<Vec<_>>())
            .collect();
        let missing: Vec<_> = shipped.difference(&run).collect();
        assert!(missing.is_empty(), "{overlay} runs no {missing:?}");
    }
    let production = rendered(tools, OVERLAYS[1]);
    for kind in OF_OPERATORS {
        assert!(production.of_kind(kind).next().is_some(), "production has no {kind}");
    }
    for container in production.our_pods().iter().flat_map(Pod::containers) {
        let image = text(&container["image"]);
        assert!(image.ends_with(concat!(":", env!("CARGO_PKG_VERSION"))), "{image} is not this version");
    }
    for deployment in production.of_kind("Deployment") {
        let name = text(&deployment["metadata"]["name"]);
        assert!(production.named("PodDisruptionBudget", &name).is_some(), "{name} has no budget");
        assert!(production.named("ServiceMonitor", &name).is_some(), "{name} is not scraped");
        assert_eq!(deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], 0, "{name}");
    }
    assert!(production.of_kind("Secret").next().is_none(), "secrets come from outside");
}

#[tokio::test]
async fn probed_and_scraped_pages_exist() {
    for page in ["/healthz", "/readyz", "/metrics"] {
        assert!(programs::has_page(page).await, "{page}");
    }
    assert!(!programs::has_page("/health").await);
}

/// Each of these is one slip of the pen, and is told.
#[test]
fn a_typo_is_found() {
    let Some(tools) = tools::folder() else { return };
    let good = rendered(tools, OVERLAYS[1]);
    for (right, wrong, complaint) in [
        ("TENANT_SYNC_DATABASE__POOL_SIZE", "TENANT_SYNC_DATABASE__POOLSIZE", "there is no such key"),
        ("TENANT_SYNC_DATABASE__POOL_SIZE", "TENANT_SYNC_DATABASE_POOL_SIZE", "it has no __"),
        ("\"verify-full\"", "\"verify\"", "expected verify-full, require or disable"),
        ("TENANT_SYNC_RABBITMQ__URL_FILE", "TENANT_SYNC_RABBITMQ__URI_FILE", "is no secret that is known"),
        ("/run/secrets/rabbitmq/url", "/run/secrets/rabbitmq/uri", "tells nobody to make"),
        ("/run/secrets/owner/url", "/run/secret/owner/url", "nothing is mounted at"),
        ("0.0.0.0:9090", "0.0.0.0:9091", "the worker listens on Some(9091)"),
        ("\"/readyz\"", "\"/ready\"", "readinessProbe must ask for /readyz"),
        ("\"/metrics\"", "\"/metric\"", "is not where metrics are"),
        ("tenant-sync.bulk", "tenant-sync.bulks", "there is no queue \"tenant-sync.bulks\""),
        ("\"vhostName\":\"/\"", "\"vhostName\":\"/live\"", "is not the workers'"),
        (
            "\"image\":\"tenant-sync/poller:",
            "\"image\":\"tenant-sync/polller:",
            "there is no program \"polller\"",
        ),
        ("[\"db\",\"migrate\"]", "[\"db\",\"migrat\"]", "does not take [\"db\", \"migrat\"]"),
        ("\"enableServiceLinks\":false", "\"enableServiceLinks\":true", "enableServiceLinks must be false"),
        ("\"terminationGracePeriodSeconds\":20", "\"terminationGracePeriodSeconds\":8", "may need"),
        ("\"memory\":\"1Gi\"", "\"memory\":\"256Mi\"", "what it works on may take"),
        ("\"targetPort\":\"health\"", "\"targetPort\":\"healthy\"", "no port \"healthy\""),
        ("\"port\":\"health\"", "\"port\":\"metrics\"", "no port \"metrics\""),
        ("\"key\":\"database-url\"", "\"key\":\"url\"", "tells nobody to make"),
        ("\"failureThreshold\":3,\"replicas\":4", "\"failureThreshold\":3,\"replicas\":40", "does not hold"),
        ("RuntimeDefault", "Unconfined", "seccompProfile must be RuntimeDefault"),
        ("pod-template-hash", "pod-template", "counts pods of other versions"),
        ("http://tenant-sync-rabbitmq:15672", "http://rabbitmq:15672", "there is no Service \"rabbitmq\""),
        ("\"port\":15672", "\"port\":15673", "no policy lets it out to port 15672"),
        ("\"readOnlyRootFilesystem\":true", "\"readOnlyRootFilesystem\":false", "must be true"),
    ] {
        let text = serde_json::to_string(&good.documents).expect("JSON");
        assert!(text.contains(right), "{right} is nowhere: the test is out of date");
        let documents = serde_json::from_str(&text.replace(right, wrong)).expect("still JSON");
        let found = problems(&Manifests { documents });
        assert!(found.iter().any(|problem| problem.contains(complaint)), "{wrong}: {found:?}");
    }
}

/// The README says how many sessions the internal Postgres must offer.
#[test]
fn sessions_fit_into_what_postgres_is_told_to_offer() {
    let Some(tools) = tools::folder() else { return };
    let all = rendered(tools, OVERLAYS[1]);
    let mut sessions = 0;
    for pod in all.our_pods() {
        let name = pod.owner.split('/').next_back().unwrap_or_default();
        let scaled = all.named("ScaledObject", name).and_then(|s| s["spec"]["maxReplicaCount"].as_u64());
        let fixed = all.named("Deployment", name).and_then(|d| d["spec"]["replicas"].as_u64());
        let one_more_while_updating = u64::from(pod.owner.starts_with("Deployment"));
        let config: Config =
            settings::of_container(&all, &pod, pod.containers().next().expect("a container")).expect("good");
        // One beside the pool, which listens.
        let of_one = config.database.pool_size as u64 + 1;
        sessions += (scaled.or(fixed).unwrap_or(1) + one_more_while_updating) * of_one;
    }
    let readme = std::fs::read_to_string(project_root().join("deploy/k8s/README.md")).expect("a README");
    let line = readme.lines().find_map(|line| line.strip_prefix("max_connections = ")).expect("the setting");
    let offered: u64 = line.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    assert!(sessions < offered, "{sessions} sessions of ours, max_connections = {offered}");
    assert!(readme.contains(&format!("{sessions} sessions")), "the README does not say {sessions} sessions");
}

/// The collector is reached, and only where traces are sent.
#[test]
fn traces_go_where_they_are_let_through() {
    let Some(tools) = tools::folder() else { return };
    let all = with_traces(tools);
    assert_eq!(problems(&all), Vec::<String>::new());
    for version in VERSIONS {
        let (good, said) = validation(tools, &all.documents, version);
        assert!(good, "version {version}: {said}");
    }
    for pod in all.our_pods() {
        let config =
            settings::of_container(&all, &pod, pod.containers().next().expect("a container")).expect("good");
        assert!(config.telemetry.otlp_endpoint.is_some(), "{}", pod.owner);
    }
    assert!(rendered(tools, OVERLAYS[1]).named("NetworkPolicy", "tenant-sync-traces").is_none());
    for (right, wrong) in [(":4318\"", ":4317\""), ("\"observability\"", "\"observable\"")] {
        let text = serde_json::to_string(&all.documents).expect("JSON");
        assert!(text.contains(right), "{right} is nowhere");
        let documents = serde_json::from_str(&text.replace(right, wrong)).expect("still JSON");
        let found = problems(&Manifests { documents });
        assert!(found.iter().any(|problem| problem.contains("no policy lets it out")), "{wrong}: {found:?}");
    }
}

#[test]
fn strangers_are_those_whom_the_guard_calls_public() {
    let Some(tools) = tools::folder() else { return };
    network::strangers_are_public(&rendered(tools, OVERLAYS[1]));
}

#[test]
fn every_document_has_a_name_of_its_own() {
    let Some(tools) = tools::folder() else { return };
    for overlay in OVERLAYS {
        let all = rendered(tools, overlay);
        let names: BTreeSet<_> = all.documents.iter().map(title).collect();
        assert_eq!(names.len(), all.documents.len());
        let namespaces: BTreeSet<_> = all
            .documents
            .iter()
            .filter(|d| d["kind"] != "Namespace")
            .map(|d| text(&d["metadata"]["namespace"]))
            .collect();
        assert_eq!(namespaces.len(), 1, "{overlay}: {namespaces:?}");
    }
}
