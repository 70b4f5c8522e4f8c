//! What `deploy/` runs beside the workers: the sample data of Compose, health checks of containers, the scaler's query, and
//! the settings that the internal Postgres is told to have.

use std::process::{Command, Output};

use tenant_sync_tests::database::rows;
use tenant_sync_tests::pids::{self, project_root};
use tenant_sync_tests::programs;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::template::Template;
use tenant_sync_tests::tenant::{SOON, Tenant};
use tenant_sync_tests::wait::eventually;

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output()).await.expect("joins").expect("starts")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn sample_data_is_made_once_and_arrives() {
    let stack = Stack::plan().template(Template::Empty).externals(2).start().await;
    let folder = programs::path("tenant-sync").parent().expect("a folder").display().to_string();
    let demo_data = || {
        let mut command = Command::new(project_root().join("deploy/docker/demo-data"));
        pids::bare_environment(&mut command, stack.scratch().path());
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
        command
            .envs(stack.cli().environment())
            .env("TENANT_SYNC_DATABASE__USER_TABLES", "true")
            .env("DEMO_USERS", "50")
            .env("DEMO_EXTERNAL_URL", stack.external(0).url())
            .env("DEMO_EXTERNAL_2_URL", stack.external(1).url())
            .env("PATH", path)
            .current_dir(stack.scratch().path());
        command
    };
    let first = run(demo_data()).await;
    assert!(first.status.success(), "{}", said(&first));
    let second = run(demo_data()).await;
    assert!(second.status.success(), "{}", said(&second));
    let made = r#"select (select count(*) from "Tenancy"), (select count(*) from "ProjectUser"),
                         (select count(*) from "ExternalDatabase")"#;
    assert_eq!(stack.internal().value(made).await, "3|150|4");

    let mut workers = Vec::new();
    for program in ["sequencer", "poller", "sync-worker"] {
        workers.push(stack.worker(program).set("database.user_tables", true).start().await);
    }
    for (number, schema) in
        [(0, "tenant_sync"), (0, "sample_3_reporting"), (1, "tenant_sync"), (1, "sample_3")]
    {
        let session = stack.external(number).connect().await;
        eventually(SOON, schema, async || {
            let count = rows(&session, &format!("select count(*) from {schema}.users")).await?.join("");
            if count == "50" { Ok(()) } else { Err(count) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_can_ask_its_worker() {
    let stack = Stack::start().await;
    let mut worker = stack.sequencer().start().await;
    let ask = |listen: Option<&str>| {
        let mut command = Command::new(programs::path("sequencer"));
        pids::bare_environment(&mut command, stack.scratch().path());
        command.arg("--health-check").envs(stack.cli().environment()).current_dir(stack.scratch().path());
        command.envs(listen.map(|address| ("TENANT_SYNC_HEALTH__LISTEN", address)));
        run(command)
    };
    let address = worker.health_address().to_owned();
    let ready = ask(Some(&address)).await;
    assert!(ready.status.success() && said(&ready).is_empty(), "{}", said(&ready));
    let nowhere = ask(None).await;
    assert!(
        nowhere.status.code() == Some(1) && said(&nowhere).contains("health.listen"),
        "{}",
        said(&nowhere)
    );
    let wrong = ask(Some("nowhere")).await;
    assert!(wrong.status.code() == Some(2) && said(&wrong).contains("health.listen"), "{}", said(&wrong));
    worker.terminate().await;
    let gone = ask(Some(&address)).await;
    assert!(gone.status.code() == Some(1) && said(&gone).contains("no answer from"), "{}", said(&gone));
}

/// The text of a folded block of YAML.
fn folded(file: &str, key: &str) -> String {
    let text = std::fs::read_to_string(project_root().join(file)).expect("a file");
    let mut lines = text.lines().skip_while(|line| line.trim() != format!("{key}: >-"));
    let indentation = |line: &str| line.len() - line.trim_start().len();
    let outer = lines.next().map(indentation).unwrap_or_else(|| panic!("{file} has no {key}"));
    lines.take_while(|line| indentation(line) > outer).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn the_scaler_sees_the_age_of_the_oldest_job() {
    let stack = Stack::start().await;
    let tenant = Tenant::create(&stack).await;
    tenant.target(stack.external(0)).add().await.try_now().await;
    sees_the_age(&stack, "sync-worker").await;
    stack.internal().sql(r#"delete from "OutgoingRequest""#).await;
    let delivery = r#"insert into "HttpDestination" ("origin") values ('https://example.com');
        insert into "OutgoingRequest" ("kind", "destinationId") select 'delivery', "id" from "HttpDestination""#;
    stack.internal().sql(delivery).await;
    sees_the_age(&stack, "request-worker").await;
}

/// There is one row, which waits in different ways.
async fn sees_the_age(stack: &Stack, program: &str) {
    let query = folded(&format!("deploy/k8s/components/keda/{program}.yaml"), "query");
    let age = async |set: &str| {
        stack.internal().sql(&format!(r#"update "OutgoingRequest" set {set}"#)).await;
        stack.internal().value(&query).await.parse::<f64>().expect("a number")
    };
    let later = age(r#""dueAt" = now() + interval '60 s'"#).await;
    assert!(later.abs() < 0.001, "{later}: it is not due");
    let in_the_table = age(r#""dueAt" = now() - interval '60 s'"#).await;
    assert!((60.0..90.0).contains(&in_the_table), "{in_the_table}");
    let queued = r#""dueAt" = now() + interval '20 s', "startedFulfillingAt" = now() - interval '10 s'"#;
    let in_a_queue = age(queued).await;
    assert!((10.0..40.0).contains(&in_a_queue), "{in_a_queue}");
    let running = age(r#""runningSince" = now()"#).await;
    assert!(running.abs() < 0.001, "{running}: somebody works on it");
}

#[tokio::test]
async fn postgres_has_the_settings_that_it_is_told_to_have() {
    let stack = Stack::start().await;
    let readme = std::fs::read_to_string(project_root().join("deploy/k8s/README.md")).expect("a README");
    let settings = readme.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name);
    let settings: Vec<_> =
        settings.filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_')).collect();
    assert!(settings.len() >= 3, "{settings:?}");
    for name in settings {
        let known = format!("select count(*) from pg_settings where name = '{name}'");
        assert_eq!(stack.internal().value(&known).await, "1", "{name}");
    }
}
