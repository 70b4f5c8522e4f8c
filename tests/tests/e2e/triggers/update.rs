//! `trigger update`: all that `trigger add` takes, while the trigger is in use.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tenant_sync_core::http::sign;
use tenant_sync_core::secrets::Keyring;
use tenant_sync_core::triggers::{open_secrets, seal_secrets};
use tenant_sync_tests::wait::eventually;
use uuid::Uuid;

use super::kit::Place;

const ELSEWHERE: &str = "http://127.0.0.1:9/elsewhere";
const GOLD: &str = r#"[{"column": "plan", "op": "=", "value": "gold"}]"#;

/// All that `trigger update` can change, but for secrets.
const ANOTHER: [&str; 25] = [
    "--url",
    ELSEWHERE,
    "--on",
    "update,delete",
    "--columns",
    "amount",
    "--when",
    "-",
    "--header",
    "x-a: b",
    "--header",
    "X-B: c",
    "--max-events",
    "5",
    "--ordered",
    "--timeout",
    "3s",
    "--parallelism",
    "2",
    "--rate",
    "3.5",
    "--batch",
    "7",
    "--batch-wait",
    "2s",
];
/// What is looked at in `trigger show`.
const SHOWN: [&str; 13] = [
    "url",
    "on",
    "columns",
    "when",
    "headerNames",
    "maxEvents",
    "ordered",
    "timeoutMillis",
    "parallelism",
    "ratePerSecond",
    "batchEvents",
    "batchWaitMillis",
    "state",
];
/// Back to what it is without options.
const BACK: [&str; 11] = [
    "--clear",
    "columns,when,headers,timeout,parallelism,rate",
    "--ordered=false",
    "--batch",
    "1",
    "--batch-wait",
    "0s",
    "--max-events",
    "10000",
    "--on",
    "update",
];

impl Place {
    /// What `trigger update` answers.
    async fn updated(&self, id: &str, options: &[&str], input: &str) -> Value {
        let arguments = [&["trigger", "update", id, "--json"], options].concat();
        self.stack.cli().run_with_input(&arguments, input).await.json()
    }

    /// All that is stored of a trigger, but when it was changed.
    async fn stored(&self, id: &str) -> String {
        self.value(&format!(
            r#"select (to_jsonb(t) - 'updatedAt' || jsonb_build_object('destination', to_jsonb(d)))::text
               from "HttpTrigger" t join "HttpDestination" d on d."id" = t."id" where t."id" = '{id}'"#
        ))
        .await
    }
}

fn some(value: &Value, names: &[&str]) -> Value {
    Value::Object(names.iter().map(|name| ((*name).to_owned(), value[*name].clone())).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_but_tenancy_and_table_can_be_another_one() {
    let place = Place::with_invoices().await;
    let id =
        place.trigger(&["--all", "--table", "public.invoices", "--on", "insert", "--header", "X-A: a"]).await;
    place.sql("insert into invoices (id, org, plan) select n, 'one', case when n < 10 then 'gold' else 'lead' end from generate_series(1, 12) n").await;
    assert_eq!(place.taken().await.len(), 12);
    let now = place.updated(&id, &ANOTHER, GOLD).await;
    let expected = json!({
        "url": ELSEWHERE, "on": ["update", "delete"], "columns": ["amount"],
        "when": [{"column": "plan", "op": "=", "value": "gold"}], "headerNames": ["X-B", "x-a"], "maxEvents": 5,
        "ordered": true, "timeoutMillis": 3000, "parallelism": 2, "ratePerSecond": 3.5, "batchEvents": 7,
        "batchWaitMillis": 2000, "state": "active",
    });
    assert_eq!(some(&now, &SHOWN), expected);
    assert_eq!(some(&place.stack.cli().json(&["trigger", "show", &id]).await, &SHOWN), expected);
    assert_eq!(
        place.value(r#"select "headers"::text from "HttpTrigger""#).await,
        r#"{"X-B": "c", "x-a": "b"}"#,
        "in place of the one of that name"
    );
    // It does what it says.
    assert!(place.events("insert into invoices (id, org, plan) values (20, 'one', 'gold')").await.is_empty());
    assert!(place.events("update invoices set note = 'n' where id = 1").await.is_empty());
    assert!(place.events("update invoices set amount = 1 where id = 11").await.is_empty());
    assert_eq!(place.names("update invoices set amount = 1 where id = 1").await, ["invoices.updated"]);
    assert_eq!(place.names("update invoices set amount = 2").await, ["invoices.updated.bulk"]);
    place.sql("update invoices set amount = 3 where id = 1").await;
    assert_eq!(place.value(r#"select "orderKey" from "OutgoingRequest" where kind = 'http'"#).await, "1");
    place.taken().await;

    let now = place.updated(&id, &BACK, "").await;
    let expected = json!({
        "url": ELSEWHERE, "on": ["update"], "columns": null, "when": null, "headerNames": [], "maxEvents": 10000,
        "ordered": false, "timeoutMillis": null, "parallelism": null, "ratePerSecond": null, "batchEvents": 1,
        "batchWaitMillis": 0, "state": "active",
    });
    assert_eq!(some(&now, &SHOWN), expected);
    assert_eq!(place.names("update invoices set note = 'm' where id = 11").await, ["invoices.updated"]);
    assert!(place.events("delete from invoices where id = 11").await.is_empty());
    assert_eq!(place.names("update invoices set amount = 4").await.len(), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_changes_nothing() {
    let place = Place::with_invoices().await;
    let id = place
        .trigger(&[
            "--all",
            "--table",
            "public.invoices",
            "--on",
            "insert",
            "--header",
            "X-A: a",
            "--columns",
            "plan",
        ])
        .await;
    let own = place.trigger(&["--all", "--event", "target.broken"]).await;
    let (before, own_before) = (place.stored(&id).await, place.stored(&own).await);
    let nobody = Uuid::nil().to_string();
    // Each beside something that is right, so that half of it could be done.
    let cases: [(&str, &[&str], &str, i32, &str); 18] = [
        (&id, &["--url", "example.org"], "", 1, "the URL is none"),
        (&id, &["--url", "https://u:p@example.org"], "", 1, "a user or a password"),
        (&id, &["--header", "Host: x"], "", 1, "set by tenant-sync itself"),
        (&id, &["--header", "A: x\r\nB: y"], "", 1, "line break"),
        (&id, &["--drop-header", "X-Z"], "", 1, "it sends no header X-Z along; it sends X-A"),
        (&id, &["--columns", "prize"], "", 1, "there is no column \"prize\"; there are id, org, plan"),
        (&id, &["--when", "-"], "plan = gold", 1, "the condition is not JSON"),
        (
            &id,
            &["--when", "-"],
            r#"[{"column": "amount", "op": "=", "value": "x"}]"#,
            1,
            "cannot be compared",
        ),
        (
            &id,
            &["--when", "-"],
            r#"[{"column": "prize", "op": "changed"}]"#,
            1,
            "there is no column \"prize\"",
        ),
        (&id, &["--when", "-"], r#"[{"column": "plan", "op": "=", "value": "a\u0000"}]"#, 1, "\\u0000"),
        (&id, &["--event", "target.broken"], "", 1, "it listens to public.invoices"),
        (&id, &["--columns", "plan", "--clear", "columns"], "", 2, "--columns and --clear columns"),
        (&id, &["--header", "X-A: b", "--drop-header", "X-A"], "", 2, "given and dropped"),
        (&id, &["--batch-wait", "61s"], "", 2, "at most 60s"),
        (&own, &["--on", "insert"], "", 1, "it listens to events of tenant-sync"),
        (&own, &["--when", "-"], GOLD, 1, "it listens to events of tenant-sync"),
        (
            &own,
            &["--event", "target.exploded"],
            "",
            1,
            "there is no event \"target.exploded\"; there are target.broken",
        ),
        (&nobody, &[], "", 1, "there is no trigger"),
    ];
    for (id, options, input, code, words) in cases {
        let arguments = [&["trigger", "update", id, "--parallelism", "3", "--new-secret"], options].concat();
        let output = place.stack.cli().run_with_input(&arguments, input).await;
        assert!(output.code == Some(code) && output.stderr.contains(words), "{options:?}: {output:?}");
        assert!(!output.stdout.contains("whsec_"), "no secret is told that does not sign: {output:?}");
    }
    assert_eq!((place.stored(&id).await, place.stored(&own).await), (before, own_before));
    let nothing = place.stack.cli().run(&["trigger", "update", &id]).await;
    assert!(nothing.code == Some(2) && nothing.stderr.contains("--new-secret"), "{nothing:?}");
    let told = place.updated(&own, &["--event", "trigger.paused"], "").await;
    assert_eq!(told["events"], json!(["trigger.paused"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_goes_on_and_what_was_broken_is_mended() {
    let place = Place::with_invoices().await;
    let id = place
        .trigger_when("public.invoices", "insert,update", r#"[{"column": "note", "op": "changed"}]"#)
        .await;
    let cli = place.stack.cli();
    let paused = cli.json(&["trigger", "pause", &id]).await;
    let now = place.updated(&id, &["--rate", "5", "--on", "insert"], "").await;
    assert_eq!(
        (&now["state"], &now["stateReason"], &now["stateSince"]),
        (&json!("paused"), &paused["stateReason"], &paused["stateSince"])
    );
    let row = "insert into invoices (id, org, plan) values ((select count(*) from invoices), 'one', 'gold')";
    assert!(place.events(row).await.is_empty());
    cli.json(&["trigger", "resume", &id]).await;
    assert_eq!(place.names(row).await, ["invoices.created"]);

    place.updated(&id, &["--on", "update"], "").await;
    place.sql("alter table invoices drop column note; update invoices set amount = 1").await;
    place.sql("select http_settle_faults(100)").await;
    assert_eq!(cli.json(&["trigger", "show", &id]).await["state"], "broken");
    let still = cli.run(&["trigger", "update", &id, "--on", "insert,update"]).await;
    assert!(still.code == Some(1) && still.stderr.contains("there is no column \"note\""), "{still:?}");
    assert_eq!(cli.json(&["trigger", "show", &id]).await["state"], "broken");
    let now = place.updated(&id, &["--when", "-"], GOLD).await;
    assert_eq!((&now["state"], &now["stateReason"]), (&json!("active"), &Value::Null));
    assert!(!place.events("update invoices set amount = 2").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_counted_with_their_times_and_never_told() {
    let place = Place::with_invoices().await;
    let cli = place.stack.cli();
    let added = cli.json(&["trigger", "add", "--url", ELSEWHERE, "--all", "--event", "target.broken"]).await;
    let id = added["id"].as_str().expect("an id").to_owned();
    let show = async || cli.json(&["trigger", "show", &id]).await;
    let first = show().await;
    assert_eq!((&first["secretCount"], first["secretsSince"].as_array().map(Vec::len)), (&json!(1), Some(1)));
    let second = place.updated(&id, &["--new-secret"], "").await;
    assert_eq!(second["secretsSince"][1], first["secretsSince"][0], "the old one signs since then");
    assert!(second["secretsSince"][0].as_str() > first["secretsSince"][0].as_str(), "{second}");
    let third =
        place.updated(&id, &["--drop-old-secrets", "--header", "Authorization: Bearer hush"], "").await;
    assert_eq!(third["secretsSince"], json!([second["secretsSince"][0]]));
    let secrets = [&added["secret"], &second["secret"]].map(|one| one.as_str().expect("a secret").to_owned());
    for command in [vec!["trigger", "show", &id], vec!["trigger", "list"]] {
        for form in [&["--json"][..], &[]] {
            let output = cli.run(&[command.as_slice(), form].concat()).await;
            assert_eq!(output.code, Some(0), "{output:?}");
            let told = format!("{}{}", output.stdout, output.stderr);
            for hidden in secrets.iter().map(String::as_str).chain(["whsec_", "hush"]) {
                assert!(!told.contains(hidden), "{told}");
            }
        }
    }
    let words = cli.run(&["trigger", "show", &id]).await.stdout;
    assert!(words.contains("secrets     1, since 20"), "{words}");
}

/// Two who change the secrets at once: neither takes away what the other added.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_added_meanwhile_stays() {
    let place = Place::with_invoices().await;
    let id = place.trigger(&["--all", "--table", "public.invoices", "--on", "insert"]).await;
    let keys = Keyring::from_config(&place.stack.config().secrets.keys).expect("keys");
    let trigger: Uuid = id.parse().expect("an id");
    let secrets = async || -> Vec<SecretString> {
        let row = place
            .client
            .query_one(r#"select "keyId", "secrets" from "HttpTrigger""#, &[])
            .await
            .expect("a row");
        let (key_id, sealed): (String, Vec<u8>) = (row.get(0), row.get(1));
        open_secrets(&keys, trigger, &key_id, &sealed).expect("secrets")
    };
    let meanwhile = sign::new_secret().expect("a secret");
    let mut both = secrets().await;
    both.insert(0, meanwhile.clone());
    let sealed = seal_secrets(&keys, trigger, &both).expect("sealed");
    let other = place.stack.internal().connect().await;
    other.batch_execute("begin").await.expect("a transaction");
    other
        .execute(r#"update "HttpTrigger" set "secrets" = $1, "keyId" = $2"#, &[&sealed.bytes, &sealed.key_id])
        .await
        .expect("changed");
    let cli = place.stack.cli();
    let update = tokio::spawn(async move { cli.json(&["trigger", "update", &id, "--new-secret"]).await });
    let waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%http_change_trigger%'";
    eventually(std::time::Duration::from_secs(30), "the update to wait for the row", async || {
        if place.value(waits).await == "1" { Ok(()) } else { Err("not yet") }
    })
    .await;
    other.batch_execute("commit").await.expect("committed");
    let updated = update.await.expect("it ends");
    let all = secrets().await;
    assert_eq!(all.len(), 3, "{updated}");
    assert!(all.iter().any(|one| one.expose_secret() == meanwhile.expose_secret()));
}
