//! `mapping check` and `mapping new` say what is missing, and what to run.

use tenant_sync_tests::pooler::Pooler;

use super::application::{Application, INVOICES};

async fn said(application: &Application, arguments: &[&str], code: i32) -> String {
    let output = application.stack.cli().run(arguments).await;
    assert_eq!(output.code, Some(code), "{arguments:?}: {output:?}");
    output.stderr
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named_with_what_gives_it() {
    let application = Application::start(INVOICES).await;
    let inside = application.stack.internal();
    let unknown = said(&application, &["mapping", "new", "invoices"], 1).await;
    assert!(unknown.contains("tenant-sync table track"), "{unknown}");
    application.adopt("public.invoices", "org_id").await;
    let again = said(&application, &["mapping", "new", "invoices"], 1).await;
    assert!(again.contains("is not overwritten"), "{again}");
    let with_schema = said(&application, &["mapping", "new", "public.invoices"], 1).await;
    assert!(with_schema.contains("/invoices.toml; a mapping that is there"), "{with_schema}");

    inside.sql("drop index invoices_of_org").await;
    let index = said(&application, &["mapping", "check"], 1).await;
    let create = "CREATE INDEX CONCURRENTLY ON \"public\".\"invoices\" (\"org_id\", \"id\")";
    assert!(index.contains(create), "{index}");
    inside.sql("create index invoices_of_org on invoices (org_id, id)").await;

    inside.sql("alter table invoices rename to bills").await;
    let renamed = said(&application, &["mapping", "check"], 1).await;
    assert!(renamed.contains("there is no table \"public.invoices\""), "{renamed}");
    inside.sql("alter table bills rename to invoices; select untrack_table('invoices')").await;
    let untracked = said(&application, &["mapping", "check"], 1).await;
    assert!(
        untracked.contains("run tenant-sync table track public.invoices --tenant-column org_id"),
        "{untracked}"
    );
}

/// The workers' role may read our tables, and not the application's; later row-level security would hide rows.
#[tokio::test(flavor = "multi_thread")]
async fn each_missing_privilege_is_named_with_its_grant() {
    let mut application = Application::start(INVOICES).await;
    application.adopt("public.invoices", "org_id").await;
    let role = application.stack.internal().role("").await;
    let ours = r#""TrackedTable", "SchemaMigration", "SequencedRelation""#;
    application.stack.internal().sql(&format!("grant select on {ours} to {}", role.name)).await;
    application.stack.set("database.url", &role.url);
    let denied = said(&application, &["mapping", "check"], 1).await;
    let grant = format!("GRANT SELECT ON \"public\".\"invoices\" TO \"{}\"", role.name);
    assert!(denied.contains(&grant), "{denied}");

    application
        .stack
        .internal()
        .sql(&format!(
            "grant select on invoices to {}; alter table invoices enable row level security",
            role.name
        ))
        .await;
    let hidden = said(&application, &["mapping", "check"], 1).await;
    assert!(hidden.contains(&format!("ALTER ROLE \"{}\" BYPASSRLS", role.name)), "{hidden}");
    application.stack.internal().sql(&format!("alter role {} bypassrls", role.name)).await;
    said(&application, &["mapping", "check"], 0).await;
}

/// A column that is not watched would go stale in targets.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_not_watched_cannot_be_read() {
    let application = Application::start(INVOICES).await;
    application.adopt("public.invoices", "org_id").await;
    application.stack.internal().sql("select track_table('invoices', 'org_id', '{paid,number}')").await;
    let unwatched = said(&application, &["mapping", "check"], 1).await;
    for column in ["amount", "notes", "updated_at"] {
        assert!(
            unwatched.contains(&format!("changes of the column \"{column}\" are not watched")),
            "{unwatched}"
        );
    }
    assert!(!unwatched.contains("\"paid\" are not watched"), "{unwatched}");
}

/// `04711` is a number, and no row's text.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_can_be_nobodys_is_told() {
    let application = Application::start(INVOICES).await;
    application.track("public.invoices", "org_id").await;
    for (project, key, told) in [("a", "4711", false), ("b", "04711", true), ("c", "acme", true)] {
        let said =
            said(&application, &["tenancy", "create", "--project", project, "--tenant-key", key], 0).await;
        let note = format!("no row of public.invoices can be of the tenant {key:?}");
        assert_eq!(said.contains(&note), told, "{said}");
    }
    let outside = application.stack.external(0).url();
    let arguments = ["target", "add", "--tenant-key", "0815", "--url-file", "-"];
    let added = application.stack.cli().run_with_input(&arguments, outside).await;
    assert_eq!(added.code, Some(0), "{added:?}");
    assert!(added.stderr.contains("can be of the tenant \"0815\""), "{added:?}");
}

/// Workers set their search path when they connect, and prepare statements: a transaction pooler is no way for them.
#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_before_the_internal_database_is_named() {
    if !Pooler::available() {
        eprintln!("skipped: there is no pgbouncer here");
        return;
    }
    let mut application = Application::start(INVOICES).await;
    let pooler = Pooler::start(application.stack.internal().url()).await;
    application.stack.set("database.url", pooler.url(application.stack.internal().url()));
    let refused = said(&application, &["mapping", "check"], 1).await;
    assert!(refused.contains("leads through a pooler"), "{refused}");
}
