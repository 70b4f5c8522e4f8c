//! `target add`, `list`, `show`, `check`, `update`, `pause`, `resume`.

use serde_json::json;
use tenant_sync_tests::ports::free_port;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::urls;
use tenant_sync_tests::wait::eventually;

use super::{SOON, caught_up, json_of, keeps_secret, password_of, refused};

#[tokio::test]
async fn a_good_target_is_stored_encrypted_and_asked_for() {
    let stack = Stack::start().await;
    let cli = stack.cli();
    let tenancy = stack.tenancy("acme").await.to_string();
    let url = stack.external(0).url().to_owned();
    let password = password_of(&url).to_owned();
    let file = stack.scratch().path().join("url");
    std::fs::write(&file, format!("{url}\n")).expect("written");
    let role = stack.external(0).role("nosuperuser").await;

    let file = file.display().to_string();
    let output = cli
        .run(&[
            "target",
            "add",
            "--tenancy",
            &tenancy,
            "--id",
            "main",
            "--url-file",
            &file,
            "--schema",
            "crm",
            "--mapping",
            "users",
            "--read-role",
            &role.name,
            "--json",
        ])
        .await;
    keeps_secret(&output, &[&password]);
    let added = json_of(&output, 0);
    assert_eq!((&added["stored"], &added["id"]), (&true.into(), &"main".into()));
    assert_eq!(added["check"]["ok"], true, "{added}");
    let target = &added["target"];
    assert_eq!((&target["state"], &target["schema"]), (&"ok".into(), &"crm".into()));
    assert_eq!((&target["mappings"], &target["readRoles"]), (&json!(["users"]), &json!([role.name])));
    assert!(target["displayUrl"].as_str().is_some_and(|shown| shown.contains(stack.external(0).name())));

    let stored = stack
        .internal()
        .value(r#"select "keyId" || ' ' || (position('postgres' in encode("connectionString", 'escape')) > 0) from "ExternalDatabase""#)
        .await;
    assert_eq!(stored, "test false");
    let asked = stack.internal().value(r#"select count(*) from "OutgoingRequest" where kind = 'sync'"#).await;
    assert_eq!(asked, "1");

    let twice = cli.run(&["target", "add", "--tenancy", &tenancy, "--id", "main", "--url-file", &file]).await;
    refused(&twice, 1, &["target update"], &[&password]);
    let list = cli.json(&["target", "list", "--tenancy", &tenancy]).await;
    assert_eq!(list["targets"].as_array().map(Vec::len), Some(1));
    assert_eq!(cli.json(&["target", "list", "--state", "broken"]).await["targets"], json!([]));
    let shown = cli.json(&["target", "show", "--tenancy", &tenancy, "--id", "main"]).await;
    assert_eq!(shown["progress"][0]["name"], "users");
    let checked = cli.json(&["target", "check", "--tenancy", &tenancy, "--id", "main"]).await;
    assert_eq!((&checked["ok"], &checked["schemaState"]), (&true.into(), &"free".into()));
    for command in ["show", "check"] {
        let output = cli.run(&["target", command, "--tenancy", &tenancy, "--id", "main"]).await;
        keeps_secret(&output, &[&password]);
    }
    keeps_secret(&cli.run(&["target", "list"]).await, &[&password]);
}

#[tokio::test]
async fn what_fails_its_check_is_not_stored_and_told_without_the_password() {
    let stack = Stack::start().await;
    let cli = stack.cli();
    let tenancy = stack.tenancy("acme").await.to_string();
    let good = stack.external(0).url().to_owned();
    let (user, _) = urls::credentials(&good);
    let closed = format!("postgres://{user}:hunter2@127.0.0.1:{}/d", free_port());
    let wrong_password = urls::with_user(&good, user, "hunter2");
    let cases: [(&str, &[&str]); 8] = [
        (&closed, &["cannot be reached", "firewall"]),
        (&wrong_password, &["password"]),
        ("postgres://u:hunter2@nowhere.invalid/d", &["nowhere.invalid", "Check the host name"]),
        ("postgres://u:hunter2@h.example/d?search_path=x", &["search_path", "sslmode"]),
        ("postgres://u:hunter2@h.example/d?sslmode=hunter2", &["sslmode must be"]),
        ("postgres://u:hun/ter2@h.example/d", &["names no user", "postgres://user:password@host"]),
        ("host=h.example user=u password=hunter2", &["postgres://"]),
        ("", &["postgres://"]),
    ];
    for (url, says) in cases {
        let arguments = ["target", "add", "--tenancy", &tenancy, "--id", "bad", "--url", "-"];
        refused(&cli.run_with_input(&arguments, url).await, 1, says, &["hunter2", "hun/ter2"]);
    }
    let arguments =
        ["target", "add", "--tenancy", &tenancy, "--id", "bad", "--url", &wrong_password, "--json"];
    let output = cli.run(&arguments).await;
    keeps_secret(&output, &["hunter2"]);
    let report = json_of(&output, 1);
    assert_eq!((&report["stored"], &report["check"]["reachable"]), (&false.into(), &false.into()));
    assert_eq!(report["check"]["findings"][0]["code"], "passwordRefused");

    assert_eq!(stack.internal().value(r#"select count(*) from "ExternalDatabase""#).await, "0");
    assert_eq!(stack.internal().value(r#"select count(*) from "OutgoingRequest""#).await, "0");

    let unchecked = [
        "target",
        "add",
        "--tenancy",
        &tenancy,
        "--id",
        "bad",
        "--url",
        &wrong_password,
        "--no-check",
        "--json",
    ];
    let stored = json_of(&cli.run(&unchecked).await, 0);
    assert_eq!((&stored["stored"], &stored["check"]), (&true.into(), &json!(null)));
    let check = cli.run(&["target", "check", "--tenancy", &tenancy, "--id", "bad", "--json"]).await;
    assert_eq!(json_of(&check, 1)["ok"], false);
}

#[tokio::test]
async fn wrong_usage_is_told_apart() {
    let stack = Stack::start().await;
    let cli = stack.cli();
    let tenancy = stack.tenancy("acme").await.to_string();
    let url = stack.external(0).url();
    let add = ["target", "add", "--tenancy", &tenancy, "--url", url, "--no-check"];
    let with = |more: &[&'static str]| [&add[..], more].concat();
    let secret = [password_of(url)];
    let cases: [(i32, Vec<&str>, &str); 6] = [
        (2, vec!["target", "add", "--tenancy", &tenancy], "--url"),
        (2, with(&["--id", "a", "--url-file", "x"]), "--url-file"),
        (2, vec!["target", "add", "--tenancy", &tenancy, "--id", "a", url], "unexpected argument"),
        (1, with(&["--id", "a b"]), "letters, digits"),
        (1, with(&["--id", "a", "--mapping", "nope"]), "users"),
        (1, with(&["--id", "a", "--schema", "pg_catalog"]), "pg_catalog"),
    ];
    for (code, arguments, says) in &cases {
        refused(&cli.run(arguments).await, *code, &[says], &secret);
    }
    let nobody =
        ["target", "add", "--tenancy", "00000000-0000-0000-0000-000000000001", "--id", "a", "--url", url];
    refused(&cli.run(&nobody).await, 1, &["there is no tenancy"], &secret);
    let keyless = cli.clone().set("secrets.keys", "").run(&with(&["--id", "a"])).await;
    refused(&keyless, 1, &["keys new"], &secret);
    assert_eq!(stack.internal().value(r#"select count(*) from "ExternalDatabase""#).await, "0");
    for command in ["show", "check", "pause", "resume", "remove"] {
        let output = cli.run(&["target", command, "--tenancy", &tenancy, "--id", "nope"]).await;
        refused(&output, 1, &["nope", "target list"], &[]);
    }
}

#[tokio::test]
async fn a_tenant_key_makes_its_tenancy_and_project() {
    let stack = Stack::plan().externals(2).start().await;
    let cli = stack.cli();
    let add = async |id: &str, url: &str, more: &[&str]| {
        let arguments =
            [&["target", "add", "--tenant-key", "4711", "--id", id, "--url", "-", "--json"], more].concat();
        cli.run_with_input(&arguments, url).await
    };
    // A target that fails leaves no tenancy behind.
    assert_eq!(add("main", "postgres://u@nowhere.invalid/d", &[]).await.code, Some(1));
    assert_eq!(stack.internal().value(r#"select count(*) from "Tenancy""#).await, "0");

    let first = json_of(&add("main", stack.external(0).url(), &[]).await, 0);
    let second = json_of(&add("second", stack.external(1).url(), &[]).await, 0);
    assert_eq!(first["tenancyId"], second["tenancyId"]);
    let list = cli.json(&["tenancy", "list"]).await;
    let tenancy = &list["tenancies"][0];
    assert_eq!((&tenancy["tenantKey"], &tenancy["targets"]), (&"4711".into(), &2.into()));
    assert_eq!(tenancy["projectId"], "4711");
    let shown = cli.json(&["target", "show", "--tenant-key", "4711", "--id", "second"]).await;
    assert_eq!(shown["tenancyId"], first["tenancyId"]);
}

#[tokio::test]
async fn an_update_keeps_the_watermark_and_closes_the_breaker() {
    let stack = Stack::start().await;
    let cli = stack.cli();
    let tenancy = stack.tenancy("acme").await;
    stack.target(tenancy, "main", stack.external(0).url(), &[]).await;
    // As after some failures: a worker runs a turn with the old settings, and the next try is far away.
    stack
        .internal()
        .sql(
            r#"insert into "SyncState" ("tenancyId", "databaseId", "mappingName", "lastSyncedSequenceId")
               select "tenancyId", "id", 'users', 42 from "ExternalDatabase";
               update "ExternalDatabase" set "state" = 'broken', "lastError" = 'x', "consecutiveFailures" = 7,
                 "nextAttemptAt" = now() + interval '1 hour';
               update "OutgoingRequest" set "startedFulfillingAt" = now(), "runningSince" = now(), "claim" = 3,
                 "attempts" = 7, "dueAt" = now() + interval '1 hour', "workerId" = 'w'"#,
        )
        .await;
    let role = stack.external(0).role("superuser").await;
    let tenancy = tenancy.to_string();
    let update = ["target", "update", "--tenancy", &tenancy, "--id", "main", "--url", "-", "--json"];
    let updated = json_of(&cli.run_with_input(&update, &role.url).await, 0);
    assert_eq!(updated["target"]["state"], "ok");
    assert!(updated["target"]["displayUrl"].as_str().is_some_and(|shown| shown.contains(&role.name)));
    let row = stack
        .internal()
        .value(r#"select claim || ' ' || attempts || ' ' || ("dueAt" <= now()) || ' ' || ("runningSince" is null) from "OutgoingRequest""#)
        .await;
    assert_eq!(row, "4 0 true true", "the row is due, and nobody's");
    let state = stack
        .internal()
        .value(r#"select "consecutiveFailures" || ' ' || ("lastError" is null and "nextAttemptAt" is null) from "ExternalDatabase""#)
        .await;
    assert_eq!(state, "0 true");
    assert_eq!(stack.internal().value(r#"select "lastSyncedSequenceId" from "SyncState""#).await, "42");

    // What is not named stays; what fails its check changes nothing.
    let base = ["target", "update", "--tenancy", &tenancy, "--id", "main", "--json"];
    let with = |more: &[&'static str]| [&base[..], more].concat();
    let mapped = json_of(&cli.run(&with(&["--mapping", "users", "--schema", "s"])).await, 0);
    assert_eq!(
        (&mapped["target"]["mappings"], &mapped["target"]["schema"]),
        (&json!(["users"]), &"s".into())
    );
    assert_eq!(mapped["target"]["displayUrl"], updated["target"]["displayUrl"]);
    let refused = cli.run_with_input(&with(&["--url", "-"]), "postgres://u:hunter2@nowhere.invalid/d").await;
    keeps_secret(&refused, &["hunter2"]);
    assert_eq!(json_of(&refused, 1)["stored"], false);
    let back = json_of(&cli.run(&with(&["--all-mappings", "--default-schema"])).await, 0);
    assert_eq!(
        (&back["target"]["mappings"], &back["target"]["schema"]),
        (&json!(null), &"tenant_sync".into())
    );
    assert_eq!(back["target"]["displayUrl"], updated["target"]["displayUrl"]);
}

#[tokio::test]
async fn a_paused_target_gets_nothing_until_it_is_resumed() {
    let stack = Stack::start().await;
    let cli = stack.cli();
    let tenancy = stack.tenancy("acme").await;
    stack.target(tenancy, "main", stack.external(0).url(), &[]).await;
    let _workers = stack.start_workers().await;
    caught_up(&stack).await;
    let id = tenancy.to_string();
    let one = |command: &'static str| ["target", command, "--tenancy", &id, "--id", "main"];
    assert_eq!(cli.json(&one("pause")).await["state"], "paused");
    stack
        .internal()
        .sql(&format!(r#"insert into "ProjectUser" ("tenancyId", "displayName") values ('{id}', 'Later')"#))
        .await;
    eventually(SOON, "the change to be sequenced", async || {
        let pending = stack
            .internal()
            .value(r#"select count(*) from "ProjectUser" where "shouldUpdateSequenceId""#)
            .await;
        if pending == "0" { Ok(()) } else { Err(pending) }
    })
    .await;
    let status = cli.json(&["sync", "status", "--state", "paused"]).await;
    let users = &status["targets"][0]["mappings"][1];
    assert_eq!((&users["name"], &users["backlogRows"]), (&"users".into(), &1.into()));
    assert!(users["lagMillis"].as_u64().is_some_and(|lag| lag > 0));
    assert_eq!(stack.internal().value(r#"select count(*) from "OutgoingRequest""#).await, "0");
    assert_eq!(stack.external(0).value("select count(*) from tenant_sync.users").await, "0");

    assert_eq!(cli.json(&one("resume")).await["state"], "ok");
    caught_up(&stack).await;
    assert_eq!(stack.external(0).value("select display_name from tenant_sync.users").await, "Later");
}
