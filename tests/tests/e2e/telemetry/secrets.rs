//! However much is logged and whatever fails, no log holds what an endpoint, a key or a row keeps to itself.

use tenant_sync_core::db::DbError;
use tenant_sync_tests::console::Console;
use tenant_sync_tests::receiver::{Behaviour, Receiver};
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::{SOON, Tenant};
use tenant_sync_tests::urls;
use tenant_sync_tests::wait::eventually;
use tenant_sync_tests::worker::{Setup, Worker};

const IN_THE_URL: &str = "marker-of-a-query";
const IN_A_HEADER: &str = "marker-of-a-header";
const IN_AN_ANSWER: &str = "marker-of-an-answer";
const IN_A_ROW: &str = "marker-of-a-row";
const WRONG_KEY: &str = "marker-of-a-wrong-key";
const SEARCHED: &str = "marker-of-a-search";

fn loud(setup: Setup) -> Setup {
    // At this level others warn of what we handle.
    setup.allow("")
}

/// Adds a trigger of the tenant whose URL and header hold a secret; returns what signs its requests.
async fn trigger(stack: &Stack, tenant: &Tenant<'_>, url: &str) -> String {
    let (tenancy, url) = (tenant.id().to_string(), format!("{url}?token={IN_THE_URL}"));
    let header = format!("Authorization: Bearer {IN_A_HEADER}");
    let added = stack
        .cli()
        .json(
            &[
                &["trigger", "add", "--tenancy", &tenancy, "--table", "ProjectUser"][..],
                &["--on", "insert,update,delete", "--url", &url, "--header", &header],
            ]
            .concat(),
        )
        .await;
    added["secret"].as_str().unwrap_or_else(|| panic!("{added}")).to_owned()
}

/// Whoever guesses a key, searches for a user, and asks for what is not there.
async fn ask(console: &Console, tenant: &Tenant<'_>) {
    let users = format!("/api/v1/tenancies/{}/users?query={SEARCHED}", tenant.id());
    console.get(&users).await;
    let wrong = format!("Authorization: Bearer {WRONG_KEY}");
    assert_eq!(console.raw("GET", &users, &[&wrong], "").await.status, 401);
    let page = console.raw("GET", "/", &[&console.cookie().await], "").await;
    assert_eq!(page.status, 200, "{page:?}");
    console.listen().await.next().await.expect("an event");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_an_endpoint_a_key_or_a_row_hides_is_in_a_log_at_any_level() {
    let mut stack = Stack::start().await;
    let ours = stack.internal().role("superuser").await;
    stack.set("database.url", &ours.url);
    stack.set("log.filter", "trace");
    stack.set("requests.retry_schedule", "10ms,10ms");
    let (good, bad) = (Receiver::start().await, Receiver::start().await);
    let answer = format!("{IN_AN_ANSWER} {IN_A_ROW}");
    bad.behave(Behaviour::Answer(500, format!("x-more: {IN_AN_ANSWER}"), answer));
    let tenant = Tenant::create(&stack).await;
    let mut secrets = vec![Console::KEY.to_owned(), urls::credentials(&ours.url).1.to_owned()];
    for url in [good.url(), bad.url(), "http://127.0.0.1:9/".to_owned()] {
        secrets.push(trigger(&stack, &tenant, &url).await);
    }
    secrets.extend([IN_THE_URL, IN_A_HEADER, IN_AN_ANSWER, IN_A_ROW, WRONG_KEY, SEARCHED].map(str::to_owned));
    let mut console = Console::start_with(&stack, loud).await;
    let mut workers: Vec<Worker> = Vec::new();
    for program in ["sequencer", "poller", "sync-worker", "request-worker"] {
        workers.push(loud(stack.worker(program)).start().await);
    }
    let target = tenant.target(stack.external(0)).add().await;
    tenant.user(IN_A_ROW).await;
    target.caught_up().await;
    // It refuses the next one, and says so with the whole row.
    target.sql("alter table tenant_sync.users add constraint few check (display_name = 'x') not valid").await;
    tenant.user(&format!("{IN_A_ROW}, refused")).await;
    let refused = r#"select coalesce(max("refusedRows"), 0) from "SyncState""#;
    let dead = r#"select count(*) from "OutgoingRequest" where kind = 'http' and state = 'dead'"#;
    eventually(SOON, "rows to be refused and requests to be given up", async || {
        let seen = stack.internal().value(&format!("select ({refused}), ({dead})")).await;
        if good.count() >= 2 && seen == "1|4" { Ok(()) } else { Err(format!("{} {seen}", good.count())) }
    })
    .await;
    ask(&console, &tenant).await;

    let mut traced = 0;
    for worker in workers.iter_mut().chain([&mut console.worker]) {
        worker.terminate().await;
        let lines = worker.logs().lines();
        traced += usize::from(lines.iter().any(|line| line.contains("\"TRACE\"")));
        for line in &lines {
            let shown = secrets.iter().find(|secret| line.contains(secret.as_str()));
            assert!(shown.is_none(), "{shown:?} in {line}");
        }
    }
    // The three that reach RabbitMQ say how at that level; the others may have nothing to say.
    assert!(traced >= 3, "everything is logged: {traced}");
}

#[tokio::test]
async fn an_error_of_the_internal_database_is_told_without_the_value_that_it_is_about() {
    let stack = Stack::plan().externals(0).start().await;
    let client = stack.internal().connect().await;
    let told = async |statement: &str| {
        let error = client.batch_execute(statement).await.expect_err("it fails");
        DbError::from(error).to_string()
    };
    let project = format!(r#"insert into "Project" (id) values ('{IN_A_ROW}')"#);
    client.batch_execute(&project).await.expect("a project");
    let cast = told(&format!("select '{IN_A_ROW}'::int")).await;
    assert!(cast.contains("22P02") && !cast.contains(IN_A_ROW), "{cast}");
    let twice = told(&project).await;
    assert!(
        twice.contains("23505") && twice.contains("Project_pkey") && !twice.contains(IN_A_ROW),
        "{twice}"
    );
    // What is no row's fault is told in the server's words, and so is what our own functions refuse.
    let missing = told("select * from nowhere").await;
    assert!(missing.contains("nowhere"), "{missing}");
    let ours = told("do $$ begin raise exception 'say it otherwise' using errcode = '22023'; end $$").await;
    assert!(ours.contains("say it otherwise"), "{ours}");
}
