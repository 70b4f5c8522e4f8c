//! `config set` and `config show`.

use serde_json::{Value, json};
use tenant_sync_tests::cli::Output;
use tenant_sync_tests::stack::Stack;

use super::{json_of, keeps_secret, password_of, refused};

fn document(databases: &Value) -> String {
    json!({ "dbSync": { "externalDatabases": databases } }).to_string()
}

fn database(url: &str) -> Value {
    json!({ "type": "postgres", "connectionString": url })
}

async fn set(stack: &Stack, tenancy: &str, document: &str, more: &[&str]) -> Output {
    let arguments = [&["config", "set", "--tenancy", tenancy, "--file", "-", "--json"], more].concat();
    stack.cli().run_with_input(&arguments, document).await
}

async fn targets(stack: &Stack) -> Vec<String> {
    stack.internal().rows(r#"select "id" from "ExternalDatabase" order by 1"#).await
}

#[tokio::test]
async fn a_tenancys_targets_become_what_the_document_says() {
    let stack = Stack::plan().externals(3).start().await;
    let tenancy = stack.tenancy("acme").await.to_string();
    let (a, b, c) = (stack.external(0).url(), stack.external(1).url(), stack.external(2).url());
    let secrets = [password_of(a)];
    let first = document(&json!({ "main": database(a), "second": database(b) }));
    let output = set(&stack, &tenancy, &first, &[]).await;
    keeps_secret(&output, &secrets);
    let report = json_of(&output, 0);
    assert_eq!((&report["stored"], &report["added"]), (&true.into(), &json!(["main", "second"])));
    assert_eq!(report["checks"]["main"]["ok"], true);
    let asked = r#"select count(*) from "OutgoingRequest""#;
    assert_eq!(stack.internal().value(asked).await, "2");

    // The same again changes nothing.
    let report = json_of(&set(&stack, &tenancy, &first, &[]).await, 0);
    assert_eq!(report["unchanged"], json!(["main", "second"]));
    assert_eq!((&report["added"], &report["updated"]), (&json!([]), &json!([])));

    // The flat key; one changed, one gone, one new. Other tenancies are not touched.
    let other = stack.tenancy("other").await;
    stack.target(other, "main", c, &["--schema", "other"]).await;
    let flat = json!({ "dbSync.externalDatabases": {
        "main": { "type": "postgres", "connectionString": a, "mappings": ["users"] }, "third": database(c) } });
    let report = json_of(&set(&stack, &tenancy, &flat.to_string(), &[]).await, 0);
    assert_eq!((&report["added"], &report["updated"]), (&json!(["third"]), &json!(["main"])));
    assert_eq!(report["removed"], json!(["second"]));
    assert_eq!(targets(&stack).await, ["main", "main", "third"]);

    let report = json_of(&set(&stack, &tenancy, &document(&json!({})), &[]).await, 0);
    assert_eq!(report["removed"], json!(["main", "third"]));
}

#[tokio::test]
async fn all_of_it_or_nothing() {
    let stack = Stack::plan().externals(2).start().await;
    let tenancy = stack.tenancy("acme").await.to_string();
    let (a, b) = (stack.external(0).url(), stack.external(1).url());
    stack.target(tenancy.parse().expect("a uuid"), "old", a, &[]).await;
    let bad =
        document(&json!({ "good": database(b), "bad": database("postgres://u:hunter2@nowhere.invalid/d") }));
    let output = set(&stack, &tenancy, &bad, &[]).await;
    refused(&output, 1, &["nothing was stored", "nowhere.invalid"], &["hunter2", password_of(b)]);
    let report = json_of(&output, 1);
    assert_eq!((&report["stored"], &report["checks"]["good"]["ok"]), (&false.into(), &true.into()));
    assert_eq!(targets(&stack).await, ["old"]);

    let cases = [
        (document(&json!({ "bad": database("postgres://u:hunter2@h/d?x=hunter2") })), "parameter x"),
        (document(&json!({ "b d": database(b) })), "letters, digits"),
        (document(&json!({ "main": { "type": "mysql", "connectionString": "hunter2" } })), "type must be"),
        (document(&json!({ "main": { "type": "postgres", "connectionString": b, "hots": 1 } })), "\"hots\""),
        (
            document(&json!({ "main": { "type": "postgres", "connectionString": b, "mappings": ["x"] } })),
            "\"x\"",
        ),
        ("{\"dbSync\": hunter2}".to_owned(), "not valid JSON"),
        ("{}".to_owned(), "needs dbSync.externalDatabases"),
    ];
    for (document, says) in &cases {
        refused(&set(&stack, &tenancy, document, &["--no-check"]).await, 1, &[says], &["hunter2"]);
        assert_eq!(targets(&stack).await, ["old"]);
    }
    let report = json_of(&set(&stack, &tenancy, &bad, &["--no-check"]).await, 0);
    assert_eq!((&report["removed"], &report["checks"]), (&json!(["old"]), &json!({})));
    assert_eq!(targets(&stack).await, ["bad", "good"]);
}

#[tokio::test]
async fn the_configuration_is_shown_with_its_sources_and_without_secrets() {
    let stack = Stack::start().await;
    let file = stack.scratch().path().join("other.toml");
    std::fs::write(&file, "[sync]\nbatch_rows = 17\n").expect("written");
    let file = file.display().to_string();
    let cli = stack.cli();
    let output = cli.run(&["--config", &file, "config", "show", "--json"]).await;
    let key = stack.config().secrets.keys[0].clone();
    let key = secrecy::ExposeSecret::expose_secret(&key).split_once(':').expect("id:key").1.to_owned();
    let (url, vhost) = (stack.internal().url(), stack.vhost().url());
    keeps_secret(&output, &[password_of(url), password_of(vhost), &key]);
    let shown = json_of(&output, 0);
    let settings = shown["settings"].as_array().expect("a list");
    let of = |key: &str| settings.iter().find(|s| s["key"] == key).unwrap_or_else(|| panic!("{key}"));
    assert_eq!(
        (&of("sync.batch_rows")["value"], &of("sync.batch_rows")["source"]),
        (&"17".into(), &file.into())
    );
    assert_eq!(of("sync.concurrency")["source"], "defaults");
    assert_eq!(of("secrets.keys")["value"], "***");
    let database = of("database.url");
    assert!(database["value"].as_str().is_some_and(|v| v.contains(stack.internal().name())), "{database}");
    assert_eq!(database["source"], "TENANT_SYNC_DATABASE__URL");
    refused(&cli.run(&["--config", "/nowhere.toml", "config", "show"]).await, 2, &["/nowhere.toml"], &[]);
}
