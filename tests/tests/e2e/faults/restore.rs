//! A backup of the internal database brings everything back: what a dump says must be what a server reads.

use std::process::Command;

use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::Tenant;

/// Every trigger of ours, and what it does. A trigger that a restore leaves out loses changes without a word.
const TRIGGERS: &str = r#"select c.relname || ' ' || t.tgname || ' ' || t.tgenabled::text || ' ' || pg_get_triggerdef(t.oid)
    from pg_trigger t join pg_class c on c.oid = t.tgrelid where not t.tgisinternal order by 1"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_of_a_trigger_is_one_that_the_server_reads() {
    let stack = Stack::start().await;
    let client = stack.internal().connect().await;
    let before = stack.internal().rows(TRIGGERS).await;
    assert!(before.iter().any(|line| line.contains("~tenant_sync_update")), "{before:#?}");
    client
        .batch_execute(
            "do $$ declare one record; begin
               for one in select t.tgrelid::regclass as relation, t.tgname as name, pg_get_triggerdef(t.oid) as text, t.tgenabled = 'A' as always
                          from pg_trigger t where not t.tgisinternal loop
                 execute format('drop trigger %I on %s', one.name, one.relation);
                 execute one.text;
                 if one.always then
                   execute format('alter table %s enable always trigger %I', one.relation, one.name);
                 end if;
               end loop; end $$",
        )
        .await
        .expect("what the server writes it reads");
    assert_eq!(stack.internal().rows(TRIGGERS).await, before);
}

/// With `pg_dump` itself: no error, the same triggers, and the restored copy carries changes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_dump_is_restored_whole_and_goes_on() {
    let mut stack = Stack::start().await;
    let Some(programs) = stack.services().pg_bin.clone().filter(|folder| folder.join("pg_dump").exists())
    else {
        eprintln!("skipped: this machine has no pg_dump");
        return;
    };
    let restored =
        tenant_sync_tests::database::Database::create_on(&stack.services().internal_url, "template0").await;
    let url = restored.url().to_owned();
    let tenancy = {
        let tenant = Tenant::create(&stack).await;
        let target = tenant.target(stack.external(0)).add().await;
        let _workers = stack.start_workers().await;
        tenant.user("before the backup").await;
        target.caught_up().await;
        tenant.id()
    };
    let dump = stack.scratch().path().join("backup");
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(programs.join(program)).args(arguments).output().expect("starts");
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let file = dump.display().to_string();
    run("pg_dump", &["-Fc", "-d", stack.internal().url(), "-f", &file]);
    run("pg_restore", &["--exit-on-error", "--no-owner", "-d", &url, &file]);
    assert_eq!(restored.rows(TRIGGERS).await, stack.internal().rows(TRIGGERS).await);

    stack.set("database.url", &url);
    let _workers = stack.start_workers().await;
    restored
        .sql(&format!(
            r#"update "ProjectUser" set "displayName" = 'after it' where "tenancyId" = '{tenancy}'"#
        ))
        .await;
    let target = stack.external(0).url();
    super::support::answers(target, "select display_name from tenant_sync.users", "after it").await;
}
