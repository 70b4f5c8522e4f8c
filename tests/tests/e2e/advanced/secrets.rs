//! No secret is ever written down in clear text, however much is logged and whatever fails.

use base64::Engine as _;
use tenant_sync_tests::cli::Output;
use tenant_sync_tests::ports::free_port;
use tenant_sync_tests::stack::{Stack, Workers};
use tenant_sync_tests::tenant::{Target, Tenant};
use tenant_sync_tests::urls;

const WRONG: &str = "marker-of-a-wrong-password";
const UNREACHABLE: &str = "marker-of-an-unreachable-server";
const ENCRYPTED: &str = "marker-of-a-server-without-tls";
const MALFORMED: &str = "marker-of-a-bad-string";

#[tokio::test]
async fn no_log_no_row_and_no_command_shows_a_secret() {
    let mut stack = Stack::start().await;
    let (ours, theirs) =
        (stack.internal().role("superuser").await, stack.external(0).role("superuser").await);
    let key = base64::engine::general_purpose::STANDARD.encode([0x5a; 32]);
    stack.set("database.url", &ours.url);
    stack.set("secrets.keys", format!("marked:{key}"));
    stack.set("log.filter", "trace,lapin=trace,async_rs=trace,deadpool=trace");
    let secrets = [
        key.as_str(),
        urls::credentials(&ours.url).1,
        urls::credentials(&theirs.url).1,
        WRONG,
        UNREACHABLE,
        ENCRYPTED,
        MALFORMED,
    ];

    let tenant = Tenant::create(&stack).await;
    tenant.users(1, 20).await;
    let mut workers = stack.start_workers().await;
    allow_everything(&mut workers);
    let good = tenant.target_at(&theirs.url).id("good").add().await;
    let wrong = urls::with_user(&theirs.url, &theirs.name, WRONG);
    let away = format!("postgres://u:{UNREACHABLE}@127.0.0.1:{}/d", free_port());
    let encrypted = format!("{}?sslmode=verify-full", urls::with_user(&theirs.url, &theirs.name, ENCRYPTED));
    let malformed = format!("postgres://u:{MALFORMED}@127.0.0.1/d?password={MALFORMED}&nonsense={MALFORMED}");
    let bad = [
        (wrong.as_str(), "wrong", "broken|passwordRefused"),
        (&away, "away", "broken|unreachable"),
        (&encrypted, "encrypted", "retrying|tlsFailed"),
        (&malformed, "malformed", "refused|configuration"),
    ];
    let mut targets: Vec<Target<'_>> = Vec::new();
    for (url, id, _) in bad {
        targets.push(tenant.target_at(url).id(id).schema(id).add().await);
    }
    good.caught_up().await;
    for (target, (_, _, standing)) in targets.iter().zip(bad) {
        target.is(standing).await;
    }

    for output in commands(&stack, tenant, &bad.map(|(url, ..)| url)).await {
        let shown = format!("{}{}", output.stdout, output.stderr);
        assert!(!shown.trim().is_empty());
        hides(&secrets, "a command", &shown);
    }
    let Workers { mut sequencer, mut poller, mut sync_worker } = workers;
    let mut traced = 0;
    for worker in [&mut sequencer, &mut poller, &mut sync_worker] {
        worker.terminate().await;
        let lines = worker.logs().lines();
        traced += lines.iter().filter(|line| line.contains("\"TRACE\"")).count();
        hides(&secrets, "a log", &lines.join("\n"));
    }
    assert!(traced > 100, "everything is logged");
    for row in everything(&stack).await {
        hides(&secrets, "a row", &row);
    }
}

/// Neither as it is, nor as the hexadecimal digits of a `bytea`.
fn hides(secrets: &[&str], what: &str, text: &str) {
    for secret in secrets {
        let digits: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        for form in [*secret, &digits] {
            if let Some(at) = text.find(form) {
                let from = text[..at].char_indices().rev().nth(300).map_or(0, |(from, _)| from);
                panic!("{what} shows {secret}: …{}", &text[from..at + form.len()]);
            }
        }
    }
}

/// At this level others warn of what we handle.
fn allow_everything(workers: &mut Workers) {
    for worker in [&mut workers.sequencer, &mut workers.poller, &mut workers.sync_worker] {
        worker.allow("");
    }
}

/// What an operator may look at, and what is refused.
async fn commands(stack: &Stack, tenant: Tenant<'_>, bad: &[&str]) -> Vec<Output> {
    let (cli, id) = (stack.cli(), tenant.id().to_string());
    let mut outputs = Vec::new();
    for command in [
        &["target", "list"][..],
        &["sync", "status"],
        &["sync", "status", "--json"],
        &["config", "show"],
        &["db", "status"],
        &["fusebox", "show"],
    ] {
        outputs.push(cli.run(command).await);
    }
    for target in ["good", "wrong", "away", "encrypted", "malformed"] {
        for command in ["show", "check"] {
            outputs.push(cli.run(&["target", command, "--tenancy", &id, "--id", target]).await);
        }
    }
    for url in bad {
        let add = ["target", "add", "--tenancy", &id, "--id", "another", "--url", "-"];
        outputs.push(cli.run_with_input(&add, url).await);
        let update = ["target", "update", "--tenancy", &id, "--id", "good", "--url", url];
        outputs.push(cli.run(&update).await);
    }
    outputs
}

/// Every row of every table of the internal database, as text.
async fn everything(stack: &Stack) -> Vec<String> {
    let tables = "select c.oid::regclass from pg_class c where relkind = 'r' and relnamespace = current_schema()::regnamespace";
    let mut all = Vec::new();
    for table in stack.internal().rows(tables).await {
        all.extend(stack.internal().rows(&format!("select t::text from {table} t")).await);
    }
    assert!(all.len() > 20, "{} rows", all.len());
    all
}
