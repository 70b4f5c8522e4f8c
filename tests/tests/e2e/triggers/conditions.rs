//! `--columns` and `--when`: what is an event, and what is refused.

use super::kit::Place;

fn insert(id: u32, plan: &str, amount: &str) -> String {
    format!("insert into invoices (id, org, plan, amount, note) values ({id}, 'one', {plan}, {amount}, null)")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operator_says_what_it_says() {
    let place = Place::with_invoices().await;
    // Condition; rows (plan, amount) that meet it; rows that do not.
    let cases: [(&str, &[(&str, &str)], &[(&str, &str)]); 7] = [
        (
            r#"[{"column":"plan","op":"=","value":"it's"}]"#,
            &[("'it''s'", "1")],
            &[("'gold'", "1"), ("null", "1")],
        ),
        (
            r#"[{"column":"plan","op":"!=","value":"gold"}]"#,
            &[("'x'", "1"), ("null", "1")],
            &[("'gold'", "1")],
        ),
        (
            r#"[{"column":"amount","op":"<","value":12345678901234567890.12}]"#,
            &[("'x'", "12345678901234567890.11")],
            &[("'x'", "12345678901234567890.12"), ("'x'", "null")],
        ),
        (r#"[{"column":"amount","op":">","value":"1.5"}]"#, &[("'x'", "1.51")], &[("'x'", "1.50")]),
        (
            r#"[{"column":"plan","op":"in","value":["a","b,c","{}"]}]"#,
            &[("'a'", "1"), ("'b,c'", "1"), ("'{}'", "1")],
            &[("'b'", "1")],
        ),
        (r#"[{"column":"plan","op":"is null"}]"#, &[("null", "1")], &[("''", "1")]),
        (
            r#"[{"column":"plan","op":"=","value":"a"},{"column":"amount","op":">","value":5}]"#,
            &[("'a'", "6")],
            &[("'a'", "5"), ("'b'", "6")],
        ),
    ];
    for (condition, met, missed) in cases {
        let trigger = place.trigger_when("public.invoices", "insert,delete", condition).await;
        for (rows, expected) in [(met, 1), (missed, 0)] {
            for (plan, amount) in rows {
                let made = place.names(&insert(1, plan, amount)).await.len();
                assert_eq!(made, expected, "{condition} on {plan}, {amount}");
                assert_eq!(place.names("delete from invoices").await.len(), expected, "{condition}, deleted");
            }
        }
        place.stack.cli().json(&["trigger", "remove", &trigger]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_and_columns_look_at_the_row_before() {
    let place = Place::with_invoices().await;
    let changed = place
        .trigger_when(
            "public.invoices",
            "insert,update",
            r#"[{"column":"amount","op":"changed"},{"column":"plan","op":"=","value":"gold"}]"#,
        )
        .await;
    assert_eq!(place.names(&insert(1, "'gold'", "1.0")).await.len(), 1, "all of a new row is new");
    assert_eq!(place.names("update invoices set note = 'x'").await.len(), 0);
    assert_eq!(place.names("update invoices set amount = 1.00").await.len(), 1, "another image is a change");
    assert_eq!(place.names("update invoices set amount = 2, plan = 'x'").await.len(), 0);
    place.stack.cli().json(&["trigger", "remove", &changed]).await;
    place.trigger(&["--all", "--table", "public.invoices", "--on", "update", "--columns", "note,plan"]).await;
    assert_eq!(place.names("update invoices set amount = 3").await.len(), 0);
    assert_eq!(place.names("update invoices set note = null").await.len(), 1);
    assert_eq!(place.names("update invoices set note = null").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_compared_is_refused_and_nothing_is_left() {
    let place = Place::with_invoices().await;
    place.sql("alter table invoices add column doc json").await;
    let refused: [(&str, &str); 12] = [
        ("{", "the condition is not JSON"),
        ("[]", "the condition is no list of 1 to 20 objects"),
        (
            r#"[{"column":"nope","op":"changed"}]"#,
            "condition 1: there is no column \"nope\"; there are id, org",
        ),
        (r#"[{"column":"plan","op":"like","value":"x"}]"#, "condition 1: there is no \"op\" \"like\""),
        (r#"[{"column":"plan","op":"="}]"#, "needs a \"value\" that is not null"),
        (r#"[{"column":"plan","op":"=","value":null}]"#, "there is \"is null\" for that"),
        (r#"[{"column":"plan","op":"=","value":["a"]}]"#, "needs a string, a number or a truth value"),
        (r#"[{"column":"plan","op":"in","value":[]}]"#, "\"in\" needs a list of 1 to 1000"),
        (r#"[{"column":"plan","op":"is null","value":1}]"#, "takes no \"value\""),
        (
            r#"[{"column":"id","op":"=","value":1},{"column":"amount","op":">","value":"x"}]"#,
            "condition 2: the value cannot be compared with the column amount",
        ),
        (r#"[{"column":"doc","op":"=","value":"x"}]"#, "cannot be compared with the column doc"),
        (
            r#"[{"column":"plan","op":"=","value":"x","also":1}]"#,
            "is no object of \"column\", \"op\" and \"value\"",
        ),
    ];
    for (condition, words) in refused {
        let arguments = [
            "trigger",
            "add",
            "--url",
            super::kit::URL,
            "--all",
            "--table",
            "public.invoices",
            "--on",
            "insert",
            "--when",
            "-",
        ];
        let output = place.stack.cli().run_with_input(&arguments, condition).await;
        assert_eq!(output.code, Some(1), "{condition}: {output:?}");
        assert!(output.stderr.contains(words), "{condition}: {}", output.stderr);
    }
    let columns = place
        .stack
        .cli()
        .run(&[
            "trigger",
            "add",
            "--url",
            super::kit::URL,
            "--all",
            "--table",
            "public.invoices",
            "--on",
            "update",
            "--columns",
            "zz",
        ])
        .await;
    assert!(columns.code == Some(1) && columns.stderr.contains("there is no column \"zz\""), "{columns:?}");
    assert_eq!(place.database_triggers("invoices").await, "0");
    assert_eq!(
        place
            .value(r#"select (select count(*) from "HttpTrigger") + (select count(*) from "HttpTable")"#)
            .await,
        "0"
    );
}

/// A value of a condition is data: it never becomes SQL, whatever it holds.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_never_sql() {
    let place = Place::with_invoices().await;
    place.sql(r#"alter table invoices add column "we""ird} col" text"#).await;
    let evil = r#"x'; drop table invoices; -- {RULE} {ONE} $1"#;
    place
        .trigger_when(
            "public.invoices",
            "insert",
            &format!(r#"[{{"column":"we\"ird}} col","op":"=","value":"{evil}"}}]"#),
        )
        .await;
    let values = format!(
        r#"insert into invoices (id, org, "we""ird}} col") values (1, 'one', '{}'), (2, 'one', 'y')"#,
        evil.replace('\'', "''")
    );
    assert_eq!(place.names(&values).await, ["invoices.created"]);
}
