//! What a container is told: each variable is a key of the configuration that the program takes, and each file with a
//! secret is where the variable says.

use serde_json::Value;
use tenant_sync_core::config::Config;
use tenant_sync_tests::pids::project_root;
use tenant_sync_tests::scratch::Scratch;

use super::documents::{Manifests, Pod, image, text};
use super::programs::configuration;

/// Good values of what only an installation knows.
const SECRETS: [(&str, &str); 4] = [
    ("DATABASE__URL", "postgres://user@host/database"),
    ("RABBITMQ__URL", "amqp://user:word@host/%2f"),
    ("SECRETS__KEYS", "k1:bm90IGEgc2VjcmV0OiBmb3IgY29tcG9zZSBhbG9uZS4="),
    ("CONSOLE__ADMIN_KEYS", "name:an-admin-key-that-is-long-enough-0123456789"),
];

/// Keys that a container of ours must be given, because their defaults do not do in a pod.
const NEEDED: [&str; 2] = ["TENANT_SYNC_DATABASE__URL_FILE", "TENANT_SYNC_LOG__FORMAT"];

/// The configuration of one container of ours, or what is wrong with it.
pub(crate) fn of_container(all: &Manifests, pod: &Pod, container: &Value) -> Result<Config, String> {
    let place = format!("{} {}", pod.owner, text(&container["name"]));
    let scratch = Scratch::new();
    let mut variables = Vec::new();
    for (name, value) in environment(all, container).map_err(|reason| format!("{place}: {reason}"))? {
        if !name.starts_with("TENANT_SYNC_") {
            script_reads(container, &name).map_err(|reason| format!("{place}: {reason}"))?;
        } else if let Some(key) = name.strip_suffix("_FILE") {
            is_mounted(all, pod, container, &value).map_err(|reason| format!("{place}: {name}: {reason}"))?;
            let known = SECRETS.iter().find(|(known, _)| key == format!("TENANT_SYNC_{known}"));
            let (_, good) = known.ok_or(format!("{place}: {name} is no secret that is known here"))?;
            let file = scratch.path().join(key);
            std::fs::write(&file, good).expect("a file");
            variables.push((name, file.to_str().expect("text").to_owned()));
        } else {
            variables.push((name, value));
        }
    }
    for needed in NEEDED {
        if !variables.iter().any(|(name, _)| name == needed) {
            return Err(format!("{place}: {needed} is not set"));
        }
    }
    configuration(&variables).map_err(|reason| format!("{place}: {reason}"))
}

/// The variables of a container: those of its ConfigMaps, then its own.
pub(crate) fn environment(all: &Manifests, container: &Value) -> Result<Vec<(String, String)>, String> {
    let mut variables = Vec::new();
    for source in container["envFrom"].as_array().into_iter().flatten() {
        let name = text(&source["configMapRef"]["name"]);
        let map = all.named("ConfigMap", &name).ok_or(format!("there is no ConfigMap {name:?}"))?;
        let pairs = map["data"].as_object().into_iter().flatten();
        variables.extend(pairs.map(|(key, value)| (key.clone(), text(value))));
    }
    for variable in container["env"].as_array().into_iter().flatten() {
        let value = variable["value"].as_str().ok_or(format!("{} has no value", variable["name"]))?;
        variables.push((text(&variable["name"]), value.to_owned()));
    }
    Ok(variables)
}

/// A variable that is not of the configuration must be one that the image's script reads.
fn script_reads(container: &Value, name: &str) -> Result<(), String> {
    let script = image(container).map(|image| project_root().join("deploy/docker").join(image));
    let source = script.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    if source.contains(&format!("${name}")) || source.contains(&format!("${{{name}")) {
        return Ok(());
    }
    Err(format!("nobody reads {name}"))
}

/// Whether the file lies in a mounted Secret, under a key that the Secret is documented to have.
fn is_mounted(all: &Manifests, pod: &Pod, container: &Value, path: &str) -> Result<(), String> {
    let (secret, key) = secret_behind(pod, container, path)?;
    secret_has(all, &secret, &key)
}

/// The Secret that is mounted where a file is, and the key that the file is.
pub(crate) fn secret_behind(pod: &Pod, container: &Value, path: &str) -> Result<(String, String), String> {
    let (folder, key) = path.rsplit_once('/').ok_or("no path")?;
    let mut mounts = container["volumeMounts"].as_array().into_iter().flatten();
    let mount =
        mounts.find(|mount| mount["mountPath"] == folder).ok_or(format!("nothing is mounted at {folder}"))?;
    let mut volumes = pod.spec["volumes"].as_array().into_iter().flatten();
    let volume = volumes.find(|volume| volume["name"] == mount["name"]).ok_or("there is no such volume")?;
    Ok((text(&volume["secret"]["secretName"]), key.to_owned()))
}

/// Whether a Secret has this key: as the README tells people to make it and, where an overlay makes it, there, too.
pub(crate) fn secret_has(all: &Manifests, secret: &str, key: &str) -> Result<(), String> {
    let readme = std::fs::read_to_string(project_root().join("deploy/k8s/README.md")).expect("a README");
    let command = format!("create secret generic {secret} ");
    let documented = readme.lines().any(|line| {
        line.contains(&command)
            && line.split_whitespace().any(|w| w.starts_with(&format!("--from-file={key}=")))
    });
    if !documented {
        return Err(format!("deploy/k8s/README.md tells nobody to make the Secret {secret} with {key}"));
    }
    match all.named("Secret", secret) {
        Some(made) if made["data"][key].is_null() => {
            Err(format!("the overlay's Secret {secret} has no {key}"))
        }
        _ => Ok(()),
    }
}
