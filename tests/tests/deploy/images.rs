//! `deploy/docker/Dockerfile`: a target for each program, built from what exists, told what the program knows.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use tenant_sync_tests::pids::project_root;
use tenant_sync_tests::scratch::Scratch;

use super::{programs, tools};

/// One `FROM … AS name` and what follows it.
#[derive(Debug, Default, Clone)]
struct Stage {
    from: String,
    lines: Vec<String>,
}

impl Stage {
    /// What follows an instruction, each time that it stands there.
    fn all<'a>(&'a self, instruction: &'a str) -> impl Iterator<Item = &'a str> {
        self.lines.iter().filter_map(move |line| line.strip_prefix(instruction)?.strip_prefix(' '))
    }
}

fn text() -> String {
    std::fs::read_to_string(project_root().join("deploy/docker/Dockerfile")).expect("a Dockerfile")
}

fn stages() -> BTreeMap<String, Stage> {
    let joined = text().replace("\\\n", " ");
    let mut stages = BTreeMap::new();
    let mut current = String::new();
    for line in joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some((from, name)) = line.strip_prefix("FROM ").and_then(|rest| rest.split_once(" AS ")) {
            name.clone_into(&mut current);
            stages.insert(current.clone(), Stage { from: from.to_owned(), lines: Vec::new() });
        } else if let Some(stage) = stages.get_mut(&current) {
            stage.lines.push(line.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    stages
}

/// The images that can be built and run.
pub(crate) fn targets() -> BTreeSet<String> {
    stages()
        .into_iter()
        .filter(|(_, stage)| stage.all("ENTRYPOINT").next().is_some())
        .map(|(name, _)| name)
        .collect()
}

/// The script that an image runs, if it runs one.
pub(crate) fn script(target: &str) -> Option<std::path::PathBuf> {
    Some(project_root().join("deploy/docker").join(target)).filter(|path| path.is_file())
}

#[test]
fn every_program_has_an_image() {
    let stages = stages();
    for program in programs::names() {
        let stage = stages.get(&program).unwrap_or_else(|| panic!("no target {program}"));
        assert_eq!(stage.all("ENTRYPOINT").collect::<Vec<_>>(), [format!("[\"{program}\"]")]);
        let copied = format!("--from=build /src/target/release/{program} /usr/local/bin/");
        assert_eq!(stage.all("COPY").collect::<Vec<_>>(), [copied]);
        let check = stage.all("HEALTHCHECK").collect::<Vec<_>>().join("");
        if program == "tenant-sync" {
            assert_eq!((stage.from.as_str(), check.as_str()), ("base", "NONE"));
        } else {
            assert_eq!(stage.from, "worker", "{program}");
            assert!(
                check.ends_with(&format!("CMD [\"{program}\", \"--health-check\"]")),
                "{program}: {check}"
            );
            assert!(programs::understands(&program, &["--health-check"]), "{program}");
        }
    }
    let known = |target: &String| programs::names().contains(target) || script(target).is_some();
    let strangers: Vec<_> = targets().into_iter().filter(|target| !known(target)).collect();
    assert!(strangers.is_empty(), "targets without a program: {strangers:?}");
    assert_eq!(stages["base"].all("USER").collect::<Vec<_>>(), ["65532:65532"]);
}

#[test]
fn images_set_what_programs_read_and_open_where_they_listen() {
    for (name, stage) in stages() {
        let variables: Vec<(String, String)> = stage
            .all("ENV")
            .filter_map(|line| line.split_once('='))
            .filter(|(key, _)| key.starts_with("TENANT_SYNC_"))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let mut all = variables.clone();
        all.push(("TENANT_SYNC_DATABASE__URL".to_owned(), "postgres://u@h/d".to_owned()));
        programs::configuration(&all).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        let listens: Vec<_> = variables
            .iter()
            .filter(|(key, _)| key.ends_with("__LISTEN"))
            .map(|(_, address)| address.rsplit(':').next().unwrap_or_default())
            .collect();
        assert_eq!(stage.all("EXPOSE").collect::<Vec<_>>(), listens, "{name}");
    }
}

#[test]
fn what_is_copied_exists_and_is_not_ignored() {
    let root = project_root();
    let allowed = std::fs::read_to_string(root.join(".dockerignore")).expect("a .dockerignore");
    let allowed: Vec<_> = allowed.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let mut manifests = BTreeSet::new();
    for (name, stage) in stages() {
        for line in stage.all("COPY").filter(|line| !line.starts_with("--from")) {
            let mut paths: Vec<_> = line.split(' ').collect();
            paths.pop();
            for path in paths {
                assert!(root.join(path).exists(), "{name} copies {path}, which is not there");
                let under = |prefix: &&str| path == *prefix || path.starts_with(&format!("{prefix}/"));
                assert!(allowed.iter().any(under), "{name} copies {path}, which .dockerignore leaves out");
                manifests.insert(path.to_owned());
            }
        }
    }
    for member in programs::members() {
        assert!(manifests.contains(&format!("{member}/Cargo.toml")), "{member}: its manifest is not copied");
    }
}

/// The first layer is built from manifests and stand-ins: cargo must find everything that the manifests name.
#[test]
fn stand_ins_make_a_workspace_of_manifests() {
    let (root, scratch) = (project_root(), Scratch::new());
    let copy = |from: &str| {
        let to = scratch.path().join(from);
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("made");
        std::fs::copy(root.join(from), to).expect("copied");
    };
    ["Cargo.toml", "Cargo.lock"].into_iter().for_each(copy);
    programs::members().iter().for_each(|member| copy(&format!("{member}/Cargo.toml")));
    let stand_ins = |verb: &str| {
        let made =
            Command::new(root.join("deploy/docker/stand-ins")).arg(verb).current_dir(scratch.path()).status();
        assert!(made.expect("it starts").success());
    };
    stand_ins("make");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let metadata = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline", "--locked"])
        .current_dir(scratch.path())
        .output()
        .expect("cargo");
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let targets = packages.iter().flat_map(|package| package["targets"].as_array().expect("targets"));
    let bins: BTreeSet<_> = targets
        .filter(|target| target["kind"] == serde_json::json!(["bin"]))
        .map(|target| target["name"].as_str().expect("a name").to_owned())
        .collect();
    assert!(programs::names().is_subset(&bins), "{bins:?}");
    let core = packages.iter().find(|package| package["name"] == "tenant-sync-core").expect("core");
    let kinds: Vec<_> =
        core["targets"].as_array().expect("targets").iter().map(|t| t["kind"][0].clone()).collect();
    assert!(kinds.contains(&"custom-build".into()), "its build dependencies would not be built: {kinds:?}");

    stand_ins("remove");
    for member in programs::members().iter().filter(|member| member.starts_with("crates/")) {
        let left: Vec<_> =
            std::fs::read_dir(scratch.path().join(member)).expect("a folder").flatten().collect();
        assert_eq!(left.len(), 1, "{member}: stand-ins are left beside the manifest: {left:?}");
    }
}

#[test]
fn the_linter_has_nothing_to_say() {
    let Some(tools) = tools::folder() else { return };
    let output = tools::run(tools, "hadolint", &["-"], &text());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let output = tools::run(tools, "hadolint", &["-"], "FROM debian\nRUN sudo apt install x\n");
    assert!(!output.status.success(), "it would find nothing");
}
