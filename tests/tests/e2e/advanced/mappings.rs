//! A mapping changes while targets have its table: they follow, and who reads there never sees less than before.

use tenant_sync_tests::database::rows;
use tenant_sync_tests::mappings::People;
use tenant_sync_tests::stack::{Stack, Workers};
use tenant_sync_tests::tenant::{SOON, Target, Tenant};
use tenant_sync_tests::wait::eventually;

const NUMBER: &str = r#"(s."clientMetadata" ->> 'n')::integer"#;
const WRITTEN: &str = "select person, xmin from people order by 1";
const INDEXES: &str = "select pg_get_indexdef(indexrelid) from pg_index where indrelid = 'people'::regclass
                         and indisvalid and not indisprimary order by 1";

/// A stack that has this mapping, and small slices.
async fn stack_with(people: &People) -> Stack {
    let mut stack = Stack::start().await;
    let folder = people.write(&stack);
    stack.set("mappings.dir", folder.display());
    for bound in ["sync.batch_rows", "sync.atomic_rows", "sync.turn_rows"] {
        stack.set(bound, 100);
    }
    stack
}

/// Lets workers fill a new target.
async fn fill<'a>(stack: &'a Stack, people: &People, users: usize) -> (Workers, Tenant<'a>, Target<'a>) {
    let tenant = Tenant::create(stack).await;
    tenant.users(1, users).await;
    let workers = stack.start_workers().await;
    let target = tenant.target(stack.external(0)).compare(people.compared()).add().await;
    target.caught_up().await;
    stack.settled().await;
    (workers, tenant, target)
}

/// The worker starts again with another version of the mapping, and is asked for a sync.
async fn change<'a>(
    workers: &mut Workers,
    people: &People,
    stack: &'a Stack,
    tenant: Tenant<'a>,
) -> Target<'a> {
    let _ = people.write(stack);
    workers.sync_worker.terminate().await;
    workers.sync_worker.launch_again();
    workers.sync_worker.wait_ready().await;
    let target = tenant.target(stack.external(0)).compare(people.compared());
    target.try_now().await;
    target
}

#[tokio::test]
async fn a_new_column_is_filled_while_the_old_data_stays_readable() {
    let stack = stack_with(&People::new()).await;
    let (mut workers, tenant, target) = fill(&stack, &People::new(), 500).await;
    workers.sync_worker.terminate().await;
    let people = People::new().with("number", "integer", NUMBER).index("number").version(2);
    let _ = people.write(&stack);
    let hold = stack.hold("sync.after_write@1");
    let _worker = stack.sync_worker().failpoint(hold.failpoint()).start().await;
    target.try_now().await;

    // Rows are written, and nothing of that is committed: the column is there, and nobody waits for it.
    hold.reached().await;
    let reader = target.session().await;
    reader.batch_execute("set statement_timeout = '2s'").await.expect("sets a bound");
    let look = "select count(*), count(label), count(number) from people";
    assert_eq!(rows(&reader, look).await.expect("nobody holds the table"), ["500|500|0"]);
    hold.release();
    eventually(SOON, "the new column to be filled", async || {
        let seen = rows(&reader, look).await?.concat();
        assert!(seen.starts_with("500|500|"), "a reader saw {seen}");
        if seen == "500|500|500" { Ok(()) } else { Err(seen) }
    })
    .await;
    tenant.target(stack.external(0)).compare(people.compared()).caught_up().await;
    let version = "select mapping_version, filling from _sync_metadata where mapping_name = 'people'";
    target.shows(version, &["2|f"]).await;
    assert_eq!(target.rows(INDEXES).await.len(), 1, "its index, too");
}

#[tokio::test]
async fn an_index_reaches_a_table_that_is_there_and_a_raised_version_compares_its_rows() {
    let people = People::new().with("number", "integer", NUMBER);
    let stack = stack_with(&people).await;
    let (mut workers, tenant, target) = fill(&stack, &people, 50).await;
    let before = target.rows(WRITTEN).await;
    target.sql("create index people_number_idx on people (label, number)").await;

    // Without a new version: the index, and no row is looked at.
    target.sql("update people set label = 'spoilt' where label = '000007'").await;
    let people = people.index("label").index("number");
    change(&mut workers, &people, &stack, tenant).await;
    let label = "CREATE INDEX people_label_idx ON tenant_sync.people USING btree (label)";
    // What has the name already is the customer's, and stays.
    let number = "CREATE INDEX people_number_idx ON tenant_sync.people USING btree (label, number)";
    target.shows(INDEXES, &[label, number]).await;
    stack.settled().await;
    assert_eq!(target.value("select count(*) from people where label = 'spoilt'").await, "1");
    assert_eq!(target.value("select obj_description('people_number_idx'::regclass) is null").await, "t");

    // With one: every row is compared, and only what differs is written.
    let people = people.index("person").version(2);
    change(&mut workers, &people, &stack, tenant).await.caught_up().await;
    target.shows("select mapping_version from _sync_metadata where mapping_name = 'people'", &["2"]).await;
    assert_eq!(target.rows(INDEXES).await.len(), 3);
    let after = target.rows(WRITTEN).await;
    let rewritten = after.iter().filter(|row| !before.contains(row)).count();
    assert_eq!((after.len(), rewritten), (50, 1), "the spoilt row alone was written");
}

/// Values that are there are longer than a btree takes.
#[tokio::test]
async fn an_index_that_cannot_be_built_is_refused_in_words_that_help() {
    let stack = stack_with(&People::new()).await;
    let (mut workers, tenant, target) = fill(&stack, &People::new(), 5).await;
    workers.sync_worker.allow("the target failed");
    let long = "(select string_agg(md5(random()::text || n), '') from generate_series(1, 200) n)";
    tenant.sql(&format!(r#"update "ProjectUser" set "displayName" = {long}"#)).await;
    target.caught_up().await;
    stack.settled().await;
    let changed = change(&mut workers, &People::new().index("label"), &stack, tenant).await;
    changed.is("refused|mappingConflict").await;
    assert!(changed.last_error().await.contains("\"hash\""), "{}", changed.last_error().await);
    change(&mut workers, &People::new().hash("label"), &stack, tenant).await.is("ok|∅").await;
    assert!(target.value(INDEXES).await.contains("USING hash (label)"));
}

#[tokio::test]
async fn a_column_that_the_mapping_lost_stays_and_may_be_null() {
    let people = People::new().with("number", "integer", NUMBER).required();
    let stack = stack_with(&people).await;
    let (mut workers, tenant, target) = fill(&stack, &people, 20).await;
    target.sql("alter table people add note text not null default 'mine'").await;
    let changed = change(&mut workers, &People::new().version(2), &stack, tenant).await;
    tenant.user("without a number").await;
    changed.caught_up().await;
    changed.is("ok|∅").await;
    let look = "select count(*), count(number), min(note) from people";
    assert_eq!(target.value(look).await, "21|20|mine");
    let required = "select attname from pg_attribute where attrelid = 'people'::regclass and attnum > 0 and attnotnull order by 1";
    assert_eq!(target.rows(required).await, ["note", "person"], "the customer's own column is not changed");

    // It may come back.
    let changed = change(&mut workers, &people.version(3), &stack, tenant).await;
    tenant
        .sql(r#"update "ProjectUser" set "clientMetadata" = '{"n": 21}' where "clientMetadata" is null"#)
        .await;
    changed.caught_up().await;
}

#[tokio::test]
async fn what_a_table_cannot_follow_is_refused_by_name_and_heals() {
    let people = People::new().with("number", "integer", NUMBER);
    let stack = stack_with(&people).await;
    let (mut workers, tenant, target) = fill(&stack, &people, 30).await;
    workers.sync_worker.allow("the target failed");
    let before = target.rows(WRITTEN).await;
    let refuses = async |target: &Target<'_>, says: &[&str]| {
        target.is("refused|mappingConflict").await;
        let said = target.last_error().await;
        assert!(says.iter().all(|word| said.contains(word)), "{said}");
        assert_eq!(target.rows(WRITTEN).await, before, "the table is as it was");
    };

    // Another type: the customer's views and programs rely on the old one.
    let wider = People::new().with("number", "bigint", &format!("({NUMBER})::bigint")).version(2);
    let changed = change(&mut workers, &wider, &stack, tenant).await;
    refuses(&changed, &["people", "number", "bigint", "new name", "ALTER TABLE"]).await;
    // A column that the customer has under that name.
    target.sql("alter table people add extra text").await;
    let extra = People::new().with("number", "integer", NUMBER).with("extra", "text", r#"s."displayName""#);
    let changed = change(&mut workers, &extra.version(2), &stack, tenant).await;
    eventually(SOON, "the other reason", async || {
        let said = target.last_error().await;
        if said.contains("extra") && said.contains("rename") { Ok(()) } else { Err(said) }
    })
    .await;
    refuses(&changed, &["people", "extra"]).await;
    assert_eq!(target.value("select count(extra) from people").await, "0");
    // Another key.
    let renamed = People::new().with("id", "uuid", r#"s."projectUserId""#).key("id").version(2);
    let changed = change(&mut workers, &renamed, &stack, tenant).await;
    eventually(SOON, "the third reason", async || {
        let said = target.last_error().await;
        if said.contains("another key") { Ok(()) } else { Err(said) }
    })
    .await;
    refuses(&changed, &["people", "new table"]).await;

    // The customer makes way.
    let changed = change(&mut workers, &wider, &stack, tenant).await;
    target.sql("alter table people alter column number type bigint").await;
    changed.try_now().await;
    changed.caught_up().await;
    changed.is("ok|∅").await;
}
