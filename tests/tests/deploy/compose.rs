//! `docker-compose.yml`: everything that it names exists, and each program's settings are keys of its configuration.

use std::process::Command;

use serde_json::Value;
use tenant_sync_tests::pids::project_root;

use super::documents::{image, text};
use super::{images, programs, tools};

/// The file, with the defaults of its variables in place.
fn services() -> Option<serde_json::Map<String, Value>> {
    let tools = tools::folder()?;
    let file = std::fs::read_to_string(project_root().join("docker-compose.yml")).expect("a file");
    let documents = tools::yaml(tools, &with_defaults(&file));
    Some(documents[0]["services"].as_object().expect("services").clone())
}

/// `${NAME:-default}` becomes `default`, as Compose does it where nothing is set.
fn with_defaults(text: &str) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (variable, behind) = after.split_once('}').expect("a variable ends");
        let (_, default) = variable.split_once(":-").unwrap_or_else(|| panic!("{variable} has no default"));
        filled.push_str(before);
        filled.push_str(default);
        rest = behind;
    }
    filled + rest
}

#[test]
fn services_are_told_what_the_programs_know() {
    let Some(services) = services() else { return };
    let targets = images::targets();
    let mut run = Vec::new();
    for (name, service) in &services {
        let Some(program) = image(service) else { continue };
        assert!(targets.contains(&program) && service["build"]["target"] == program, "{name}: {program}");
        assert_eq!(service["build"]["dockerfile"], "deploy/docker/Dockerfile", "{name}");
        assert_eq!(
            (&service["read_only"], &service["cap_drop"]),
            (&true.into(), &serde_json::json!(["ALL"])),
            "{name}"
        );
        let variables = service["environment"].as_object().expect("settings");
        let of_ours: Vec<_> = variables
            .iter()
            .filter(|(key, _)| key.starts_with("TENANT_SYNC_"))
            .map(|(key, value)| (key.clone(), text(value)))
            .collect();
        assert!(of_ours.len() >= 6, "{name} is told too little");
        let config = programs::configuration(&of_ours).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        tenant_sync_core::secrets::Keyring::from_config(&config.secrets.keys)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let script = images::script(&program).map(|path| std::fs::read_to_string(path).expect("a script"));
        for (key, _) in variables.iter().filter(|(key, _)| !key.starts_with("TENANT_SYNC_")) {
            assert!(
                script.as_ref().is_some_and(|source| source.contains(&format!("${key}"))),
                "{name}: {key}"
            );
        }
        run.push(program);
    }
    // Its command line is in the image of the script.
    run.push("tenant-sync".to_owned());
    for program in programs::names() {
        assert!(run.contains(&program), "no service runs {program}");
    }
}

#[test]
fn services_wait_for_services_that_can_say_that_they_are_ready() {
    let Some(services) = services() else { return };
    for (name, service) in &services {
        for (other, how) in service["depends_on"].as_object().into_iter().flatten() {
            let awaited =
                services.get(other).unwrap_or_else(|| panic!("{name} waits for {other}, which there is not"));
            let ready = match how["condition"].as_str() {
                Some("service_healthy") => {
                    !awaited["healthcheck"].is_null()
                        || image(awaited).is_some_and(|i| images::script(&i).is_none())
                }
                Some("service_completed_successfully") => {
                    image(awaited).is_some_and(|i| images::script(&i).is_some())
                        && awaited["restart"].is_null()
                }
                _ => false,
            };
            assert!(ready, "{name} waits for {other}: {how}");
        }
        for port in service["ports"].as_array().into_iter().flatten() {
            assert!(text(port).starts_with("127.0.0.1:"), "{name} is open to others: {port}");
        }
    }
    let said = services["welcome"]["command"].to_string();
    for page in ["console", "rabbitmq"] {
        let port = text(&services[page]["ports"].as_array().expect("ports").last().expect("a port").clone());
        let port = port.split(':').nth(1).expect("a port").to_owned();
        assert!(
            port != "0" && said.contains(&format!("http://127.0.0.1:{port}")),
            "{page}: {port} in {said}"
        );
    }
}

/// In a container 127.0.0.1 is the container: servers have the names of their services, and only people's browsers need more.
#[test]
fn programs_are_sent_to_services_and_people_to_this_machine() {
    let Some(services) = services() else { return };
    let mut sent = 0;
    for (name, service) in &services {
        for (key, value) in service["environment"].as_object().into_iter().flatten() {
            let Ok(url) = reqwest::Url::parse(&text(value)) else { continue };
            let Some(host) = url.host_str() else { continue };
            if key.ends_with("__UI_URL") {
                assert_eq!(host, "127.0.0.1", "{name} {key}");
                let said = services["welcome"]["command"].to_string();
                assert!(said.contains(&text(value)), "{name} {key}: {value} is not in {said}");
            } else {
                assert!(services.contains_key(host), "{name} {key}: there is no service {host:?}");
                sent += 1;
            }
        }
    }
    assert!(sent >= 20, "{sent} addresses are too few to be all");
}

/// What Compose itself says, where there is one.
#[test]
fn compose_takes_the_file() {
    let file = project_root().join("docker-compose.yml");
    let mut asked = false;
    for (program, first) in [("docker", Some("compose")), ("docker-compose", None)] {
        let compose = || {
            let mut command = Command::new(program);
            command.args(first);
            command
        };
        if !compose().arg("version").output().is_ok_and(|output| output.status.success()) {
            continue;
        }
        asked = true;
        let output = compose().arg("-f").arg(&file).args(["config", "--quiet"]).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.is_empty(), "{program}: {said}");
    }
    if !asked {
        eprintln!("NOT TESTED: there is no Docker Compose on this machine");
    }
}
