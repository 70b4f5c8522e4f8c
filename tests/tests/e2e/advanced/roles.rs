//! Who may do what in a target, and with how little the synchronisation gets by.

use tenant_sync_core::target::grants::grants_sql;
use tenant_sync_tests::database::{Role, connect};
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::Tenant;

const TABLES: [&str; 6] =
    ["users", "contact_channels", "sync_freshness", "_sync_metadata", "_sync_refused", "_sync_identity"];

#[tokio::test]
async fn readers_can_read_and_nobody_but_us_can_write() {
    let stack = Stack::start().await;
    let _workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    tenant.users(1, 3).await;
    let database = stack.external(0);
    let (reader, other) = (database.role("nosuperuser").await, database.role("nosuperuser").await);
    // A careless administrator: everything that is made is everybody's.
    database.sql("alter default privileges grant all on tables to public; alter default privileges grant all on schemas to public").await;
    let target = tenant.target(database).reader(&reader.name).add().await;
    target.caught_up().await;

    for table in &TABLES[..3] {
        assert_eq!(refusal(&reader, &format!("select * from tenant_sync.{table}")).await, None, "{table}");
    }
    for table in TABLES {
        let denied = Some("42501".to_owned());
        assert_eq!(refusal(&other, &format!("select * from tenant_sync.{table}")).await, denied, "{table}");
        for role in [&reader, &other] {
            let delete = format!("delete from tenant_sync.{table}");
            assert_eq!(refusal(role, &delete).await, denied, "{table}");
        }
        let locking = format!("begin; select * from tenant_sync.{table} for update");
        assert_eq!(refusal(&reader, &locking).await, denied, "{table}");
    }
    for role in [&reader, &other] {
        assert_eq!(refusal(role, "truncate tenant_sync.users").await.as_deref(), Some("42501"));
    }
    let insert = "insert into tenant_sync.users (id) values (gen_random_uuid())";
    assert_eq!(refusal(&reader, insert).await.as_deref(), Some("42501"));
    let update = "update tenant_sync.contact_channels set value = ''";
    assert_eq!(refusal(&reader, update).await.as_deref(), Some("42501"));

    // The operator names another reader instead.
    tenant.sql(&format!(r#"update "ExternalDatabase" set "readRoles" = '{{{}}}'"#, other.name)).await;
    tenant.user("new").await;
    target.caught_up().await;
    assert_eq!(refusal(&other, "select * from tenant_sync.users").await, None);
    assert_eq!(refusal(&reader, "select * from tenant_sync.users").await.as_deref(), Some("42501"));
}

/// The SQLSTATE with which a statement is refused; `None` = it is done.
async fn refusal(role: &Role, statement: &str) -> Option<String> {
    let client = connect(&role.url).await;
    let done = client.batch_execute(statement).await;
    done.err().map(|error| error.code().map_or_else(|| format!("{error:?}"), |code| code.code().to_owned()))
}

#[tokio::test]
async fn a_role_that_may_do_next_to_nothing_is_enough() {
    let stack = Stack::start().await;
    let workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    tenant.users(1, 2500).await;
    let database = stack.external(0);
    let role = database.role("nosuperuser").await;
    // What `target sql` prints, but for the role itself, which is there; then without temporary tables.
    let grants: Vec<String> = grants_sql(&role.name, Some(database.name()), "tenant_sync", &[])
        .lines()
        .filter(|line| !line.starts_with("CREATE ROLE"))
        .map(str::to_owned)
        .collect();
    database.sql(&grants.join("\n")).await;
    let name = database.name();
    database
        .sql(&format!(
            "revoke temporary on database {name} from public; revoke temporary on database {name} from {}",
            role.name
        ))
        .await;
    let target = tenant.target_at(&role.url).add().await;
    target.caught_up().await;

    // Large slices of changes, which would go through a temporary table, and of a comparison.
    tenant.sql(r#"update "ProjectUser" set "displayName" = "displayName" || '+'"#).await;
    tenant.sql(r#"delete from "ContactChannel" where "value" < 'user001200'"#).await;
    target.caught_up().await;
    tenant.sql(r#"update "SyncState" set "fillRequested" = true"#).await;
    target.sql("delete from users where display_name < '001200'; update users set display_name = 'x' where display_name > '002000'").await;
    target.try_now().await;
    target.caught_up().await;
    target.is("ok|∅").await;
    assert!(workers.sync_worker.logs().matching("a resync was asked for").len() == 2);
}
