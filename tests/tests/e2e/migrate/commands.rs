//! The `db` commands, as an operator calls them.

use serde_json::json;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::template::Template;

#[tokio::test]
async fn the_way_of_a_database_from_init_to_reset() {
    let stack = Stack::plan().template(Template::Empty).start().await;
    let (cli, internal) = (stack.cli(), stack.internal());
    let code = async |arguments: &str| cli.run(&arguments.split(' ').collect::<Vec<_>>()).await.code;

    assert_eq!(code("db status --check").await, Some(1), "everything is missing");
    assert_eq!(code("db status").await, Some(0), "looking is no failure");
    assert_eq!(code("db seed").await, Some(1), "no tables yet");

    let made = cli.json(&["db", "init"]).await;
    assert_eq!((&made["upToDate"], &made["databaseCreated"]), (&json!(true), &json!(false)));
    assert_eq!(made["applied"][0], "engine/0001_tenancies.sql");
    assert_eq!(cli.json(&["db", "migrate"]).await["applied"], json!([]));
    let status = cli.json(&["db", "status", "--check"]).await;
    let first = &status["migrations"][0];
    assert_eq!((&status["upToDate"], &first["state"]), (&json!(true), &json!("applied")));
    assert!(first["finishedAt"].as_str().is_some_and(|at| at.ends_with('Z')), "{first}");

    let seeded = cli.json(&["db", "seed", "--tenancies", "2", "--users", "30"]).await;
    assert_eq!(seeded["tenancies"][1]["contactChannels"], 40);
    let counts = r#"select (select count(*) from "ProjectUser"), (select count(*) from "ContactChannel"),
                    (select count(*) from "ContactChannel" where "isPrimary"), (select count(*) from "Tenancy")"#;
    assert_eq!(internal.rows(counts).await, ["60|80|60|2"]);
    assert_eq!(code("db seed").await, Some(1), "not over data that is there");
    assert_eq!(code("db seed --yes --tenancies 1 --users 1").await, Some(0));
    assert_eq!(internal.rows(counts).await, ["61|81|61|3"]);

    assert_eq!(code("db reset").await, Some(2), "nobody is there to answer");
    assert_eq!(code("db reset --yes --database another").await, Some(2));
    internal
        .sql(r#"insert into "ExternalDatabase" ("tenancyId", "id") select "id", 'main' from "Tenancy" limit 1"#)
        .await;
    assert_eq!(code("db reset --yes").await, Some(2), "targets exist");
    assert_eq!(internal.value(r#"select count(*) from "ExternalDatabase""#).await, "1");
    let gone = cli.json(&["db", "reset", "--yes", "--database", internal.name()]).await;
    assert_eq!(gone["database"], internal.name());
    let left = "select count(*) from pg_class where relnamespace = 'public'::regnamespace";
    assert_eq!(internal.value(left).await, "0");
    assert_eq!(cli.json(&["db", "reset", "--yes"]).await["dropped"], json!([]));
}

#[tokio::test]
async fn interactive_asks_before_each_migration() {
    let stack = Stack::plan().template(Template::Empty).start().await;
    let cli = stack.cli();
    let stopped = cli.run_with_input(&["db", "migrate", "--interactive", "--json"], "y\ny\nn\n").await;
    assert_eq!(stopped.code, Some(1), "{stopped:?}");
    let report: serde_json::Value =
        serde_json::from_str(&stopped.stdout).expect("only the result is on stdout");
    assert_eq!(report["applied"].as_array().map(Vec::len), Some(2), "{report}");
    assert_eq!(report["upToDate"], json!(false));
    assert!(stopped.stderr.contains("engine/0003_"), "the question names the migration: {stopped:?}");
    let ended = cli.run_with_input(&["db", "migrate", "--interactive"], "").await;
    assert_eq!(ended.code, Some(1), "no answer is no");
}

#[tokio::test]
async fn wrong_usage_is_told_apart_from_failure() {
    let stack = Stack::plan().template(Template::Empty).start().await;
    let cli = stack.cli();
    for wrong in [
        &["db", "nonsense"][..],
        &["db"],
        &["--config", "/does/not/exist", "db", "status"],
        &["db", "new", "a/b"],
    ] {
        let output = cli.run(wrong).await;
        assert_eq!(output.code, Some(2), "{wrong:?}: {output:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{output:?}");
    }
    let unreachable =
        cli.clone().set("database.url", "postgres://nobody@127.0.0.1:1/none").run(&["db", "status"]).await;
    assert_eq!(unreachable.code, Some(1), "{unreachable:?}");
    let version = cli.run(&["--version"]).await;
    assert_eq!((version.code, version.stdout.starts_with("tenant-sync ")), (Some(0), true), "{version:?}");
}
