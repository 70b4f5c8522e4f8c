//! `trigger …` and `request …`.

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tenant_sync_core::secrets::Keyring;
use tenant_sync_core::triggers::open_secrets;

use super::kit::{ONE, Place, URL, user};

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_is_added_listed_paused_resumed_and_removed() {
    let place = Place::start().await;
    let cli = place.stack.cli();
    let made = cli
        .json(&[
            "trigger",
            "add",
            "--tenancy",
            ONE,
            "--table",
            "users",
            "--on",
            "insert,delete",
            "--url",
            URL,
            "--header",
            "X-A: b",
        ])
        .await;
    let id = made["id"].as_str().expect("an id");
    assert_eq!(
        (&made["event"], &made["tenancyId"], &made["url"]),
        (&json!("user"), &json!(ONE), &json!(URL))
    );
    let secret = made["secret"].as_str().expect("a secret").to_owned();
    assert!(secret.starts_with("whsec_"), "{secret}");
    let listed = cli.json(&["trigger", "list"]).await;
    let line = &listed["triggers"][0];
    assert_eq!(
        (&line["id"], &line["table"], &line["on"], &line["state"]),
        (&json!(id), &json!("ProjectUser"), &json!(["insert", "delete"]), &json!("active"))
    );
    assert_eq!(line["headerNames"], json!(["X-A"]));
    assert!(!listed.to_string().contains(&secret), "a secret is shown once");
    // At rest it is sealed, and it opens for this trigger alone.
    let row = place
        .client
        .query_one(r#"select "secrets", "keyId", "id" from "HttpTrigger""#, &[])
        .await
        .expect("a row");
    let (sealed, key_id, trigger): (Vec<u8>, String, uuid::Uuid) = (row.get(0), row.get(1), row.get(2));
    let keys = Keyring::from_config(&place.stack.config().secrets.keys).expect("keys");
    let opened = open_secrets(&keys, trigger, &key_id, &sealed).expect("opens");
    assert_eq!(opened.iter().map(|secret| secret.expose_secret()).collect::<Vec<_>>(), [secret.as_str()]);
    assert!(open_secrets(&keys, uuid::Uuid::nil(), &key_id, &sealed).is_err());

    assert_eq!(cli.json(&["trigger", "pause", id]).await["state"], "paused");
    assert!(place.names(&user(ONE, 1, "a")).await.is_empty());
    assert_eq!(cli.json(&["trigger", "resume", id]).await["state"], "active");
    assert_eq!(place.names(&user(ONE, 2, "b")).await, ["user.created"]);
    place.sql(&user(ONE, 3, "c")).await;
    let test = cli.run(&["trigger", "test", id, "--wait", "0s", "--json"]).await;
    assert_eq!(test.code, Some(1), "nobody delivers: {test:?}");
    let waiting: Value = serde_json::from_str(&test.stdout).expect("JSON");
    assert_eq!(waiting["outcome"], "waiting");
    let removed = cli.json(&["trigger", "remove", id]).await;
    assert_eq!((&removed["removed"], &removed["droppedRequests"]), (&json!(true), &json!(2)));
    for command in ["show", "pause", "resume", "remove", "test"] {
        let output = cli.run(&["trigger", command, id]).await;
        assert!(
            output.code == Some(1) && output.stderr.contains("there is no trigger"),
            "{command}: {output:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_and_bad_input_are_told_apart() {
    let place = Place::start().await;
    let cli = place.stack.cli();
    let base = ["trigger", "add", "--url", URL];
    let cases: [(&[&str], i32, &str); 10] = [
        (&["--table", "users", "--on", "insert"], 2, "--tenancy, --tenant-key or --all"),
        (&["--all", "--tenancy", ONE, "--table", "users", "--on", "insert"], 2, "cannot be used with"),
        (&["--all", "--table", "users"], 2, "--on"),
        (&["--all", "--table", "users", "--on", "upsert"], 2, "invalid value"),
        (&["--all"], 2, "--table"),
        (&["--all", "--event", "target.exploded"], 1, "there is no event"),
        (
            &["--all", "--table", "users", "--on", "insert", "--header", "Host: x"],
            1,
            "set by tenant-sync itself",
        ),
        (&["--all", "--table", "users", "--on", "insert", "--header", "A: x\r\nB: y"], 1, "line break"),
        (&["--all", "--table", "users", "--on", "insert", "--header", "A"], 2, "Name: value"),
        (&["--all", "--table", "users", "--on", "insert", "--rate", "0"], 2, "0.001"),
    ];
    for (options, code, words) in cases {
        let output = cli.run(&[base.as_slice(), options].concat()).await;
        assert!(output.code == Some(code) && output.stderr.contains(words), "{options:?}: {output:?}");
    }
    let plain = cli
        .clone()
        .set("requests.allow_http", false)
        .run(&["trigger", "add", "--url", URL, "--all", "--table", "users", "--on", "insert"])
        .await;
    assert!(plain.code == Some(1) && plain.stderr.contains("requests.allow_http"), "{plain:?}");
    let private = cli.clone().set("network.allow_private", false);
    for url in ["http://127.0.0.1:9/", "http://10.1.2.3/", "http://[::1]/"] {
        let added = private
            .run(&["trigger", "add", "--url", url, "--all", "--table", "users", "--on", "insert"])
            .await;
        assert!(added.code == Some(1) && added.stderr.contains("network.allow_private"), "{url}: {added:?}");
    }
    let keyless = cli
        .clone()
        .set("secrets.keys", "")
        .run(&["trigger", "add", "--url", URL, "--all", "--table", "users", "--on", "insert"])
        .await;
    assert!(keyless.code == Some(1) && keyless.stderr.contains("tenant-sync keys new"), "{keyless:?}");
    let weak = cli
        .run_with_input(
            &[
                "trigger",
                "add",
                "--url",
                URL,
                "--all",
                "--table",
                "users",
                "--on",
                "insert",
                "--secret-file",
                "-",
            ],
            "whsec_c2hvcnQ=",
        )
        .await;
    assert!(
        weak.code == Some(1) && weak.stderr.contains("24 to 64") && !weak.stderr.contains("c2hvcnQ"),
        "{weak:?}"
    );
    assert_eq!(place.value(r#"select count(*) from "HttpTrigger""#).await, "0");
}

/// Marks what waits as dead, and the log as a worker would leave it.
async fn history(place: &Place) -> (String, String, String) {
    let trigger = place.trigger(&["--tenancy", ONE, "--table", "users", "--on", "insert"]).await;
    place
        .sql(&format!("{}; {}; {}", user(ONE, 1, "dead"), user(ONE, 2, "arrived"), user(ONE, 3, "waits")))
        .await;
    let of = async |name: &str| {
        place
            .value(&format!(
                r#"select id from "OutgoingRequest" where kind = 'http' and body like '%"{name}"%'"#
            ))
            .await
    };
    let (dead, arrived, waits) = (of("dead").await, of("arrived").await, of("waits").await);
    place
        .sql(&format!(
            r#"update "OutgoingRequest" set state = 'dead', "diedAt" = now(), attempts = 9, "lastError" = 'no answer', "lastStatus" = 500 where id = '{dead}';
               insert into "HttpAttempt" ("requestId", "destinationId", number, outcome, "durationMillis", status, error)
               values ('{dead}', '{trigger}', 9, 'dead', 20, 500, 'no answer');
               with gone as (delete from "OutgoingRequest" where id = '{arrived}' returning *)
               insert into "HttpAttempt" ("requestId", "destinationId", number, outcome, "durationMillis", status, "tenancyId", "eventType", "createdAt", body)
               select id, "destinationId", 1, 'delivered', 12, 204, "tenancyId", "eventType", "createdAt", body from gone;
               delete from "OutgoingRequest" where kind = 'deliveryAsk'"#
        ))
        .await;
    (dead, arrived, waits)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_listed_and_shown_in_all_their_states() {
    let place = Place::start().await;
    let (dead, arrived, waits) = history(&place).await;
    let cli = place.stack.cli();
    let ids = async |arguments: &[&str]| -> Vec<String> {
        let listed = cli.json(&[&["request", "list"], arguments].concat()).await;
        let mut ids: Vec<String> = listed["requests"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|r| r["id"].as_str().expect("an id").to_owned())
            .collect();
        ids.sort();
        ids
    };
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    assert_eq!(ids(&[]).await, sorted(vec![dead.clone(), arrived.clone(), waits.clone()]));
    assert_eq!(ids(&["--state", "dead"]).await, [dead.as_str()]);
    assert_eq!(
        ids(&["--state", "delivered,pending", "--event", "user.created", "--tenancy", ONE]).await,
        sorted(vec![arrived.clone(), waits])
    );
    assert!(ids(&["--event", "user.deleted"]).await.is_empty());
    assert!(ids(&["--since", "2099-01-01T00:00:00Z"]).await.is_empty());
    let shown = cli.json(&["request", "show", &dead]).await;
    assert_eq!(
        (&shown["state"], &shown["attempts"], &shown["lastError"], &shown["url"]),
        (&json!("dead"), &json!(9), &json!("no answer"), &json!(URL))
    );
    assert_eq!(
        (&shown["attemptLog"][0]["status"], &shown["attemptLog"][0]["durationMillis"]),
        (&json!(500), &json!(20))
    );
    assert_eq!(cli.json(&["request", "show", &arrived]).await["state"], "delivered");
    // From page to page, each once.
    let (mut met, mut cursor): (Vec<String>, Option<String>) = (Vec::new(), None);
    loop {
        let mut arguments = vec!["request", "list", "--limit", "1"];
        arguments.extend(cursor.iter().flat_map(|cursor| ["--cursor", cursor.as_str()]));
        let listed = cli.json(&arguments).await;
        met.extend(listed["requests"].as_array().expect("a list").iter().map(|r| r["id"].to_string()));
        cursor = listed["nextCursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(met.len(), 3, "{met:?}");
    let people = cli.run(&["request", "list", "--limit", "1"]).await;
    assert!(people.stderr.contains("there are more: the same with --cursor "), "{people:?}");
    let bad = cli.run(&["request", "list", "--cursor", "x"]).await;
    assert!(bad.code == Some(2) && bad.stderr.contains("nextCursor"), "{bad:?}");
    let nothing = cli.run(&["request", "show", &uuid::Uuid::nil().to_string()]).await;
    assert!(nothing.code == Some(1) && nothing.stderr.contains("there is no request"), "{nothing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_sent_again_with_the_ids_they_had() {
    let place = Place::start().await;
    let (dead, arrived, _) = history(&place).await;
    let cli = place.stack.cli();
    let pending = async |id: &str| {
        place.value(&format!(r#"select count(*) from "OutgoingRequest" where id = '{id}' and kind = 'http' and state = 'pending' and attempts = 0 and "dueAt" <= now()"#)).await
    };
    let replayed = async |arguments: &[&str]| {
        cli.json(&[&["request", "replay"], arguments].concat()).await["replayed"].clone()
    };
    assert_eq!(replayed(&[&dead]).await, 1);
    assert_eq!(pending(&dead).await, "1");
    assert_eq!(
        place.value(r#"select count(*) from "OutgoingRequest" where kind = 'deliveryAsk'"#).await,
        "1"
    );
    assert_eq!(
        replayed(&["--since", "2000-01-01T00:00:00Z", "--event", "user.created"]).await,
        1,
        "the delivered one"
    );
    assert_eq!(pending(&arrived).await, "1");
    assert_eq!(replayed(&["--since", "2000-01-01T00:00:00Z"]).await, 0, "it waits already");
    assert_eq!(replayed(&["--state", "dead"]).await, 0);
    // What waits after a failure is tried at once, and nothing else is.
    place.sql(&format!(r#"update "OutgoingRequest" set attempts = 3, "dueAt" = now() + interval '5 hours' where id = '{dead}'"#)).await;
    assert_eq!(replayed(&["--state", "pending"]).await, 1);
    assert_eq!(pending(&dead).await, "1");
    let waits = cli.run(&["request", "replay", &dead]).await;
    assert!(waits.code == Some(1) && waits.stderr.contains("waits for its first attempt"), "{waits:?}");
    let all = cli.run(&["request", "replay"]).await;
    assert!(all.code == Some(2) && all.stderr.contains("--since"), "{all:?}");
    assert_eq!(cli.run(&["request", "replay", &uuid::Uuid::nil().to_string()]).await.code, Some(1));
}
