//! An application of its own beside us, and what was recorded of it.

use tenant_sync_tests::database::{self, Database, Role};
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::template::Template;
use tokio_postgres::Client;

/// An installation without the sample tables, with the tenants `1`, `2` and `acme`.
pub(super) struct Place {
    pub(super) stack: Stack,
    /// A superuser's session.
    pub(super) client: Client,
}

const TENANTS: &str = r#"insert into "Project" ("id") values ('p');
    insert into "Tenancy" ("projectId", "branchId", "tenantKey") values ('p', 'a', '1'), ('p', 'b', '2'), ('p', 'c', 'acme')"#;

/// The feed, sorted: `changed`, or `gone`, tenant, table and key.
const RECORDED: &str = r#"
    select f.kind || ' ' || t."tenantKey" || ' ' || f."tableName" || ' ' || f."primaryKey"::text
    from (select 'changed' as kind, "tenancyId", "tableName", "primaryKey" from "ChangedRow"
          union all select 'gone', "tenancyId", "tableName", "primaryKey" from "DeletedRow") f
    join "Tenancy" t on t."id" = f."tenancyId" order by 1"#;

impl Place {
    pub(super) async fn start() -> Self {
        let stack = Stack::plan().template(Template::Engine).externals(0).start().await;
        let client = stack.internal().connect().await;
        client.batch_execute(TENANTS).await.expect("tenants");
        Self { stack, client }
    }

    /// With the usual table, tracked.
    pub(super) async fn with_invoices() -> Self {
        let place = Self::start().await;
        place
            .sql("create table invoices (id bigint primary key, org_id bigint, amount numeric, note text)")
            .await;
        place.sql("select track_table('invoices', 'org_id')").await;
        place
    }

    pub(super) fn internal(&self) -> &Database {
        self.stack.internal()
    }

    pub(super) async fn sql(&self, statements: &str) {
        self.client.batch_execute(statements).await.unwrap_or_else(|error| panic!("{statements}: {error:?}"));
    }

    pub(super) async fn rows(&self, query: &str) -> Vec<String> {
        database::rows(&self.client, query).await.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    pub(super) async fn value(&self, query: &str) -> String {
        self.rows(query).await.pop().expect("a row")
    }

    /// Runs statements and returns what they left in the feed; nothing may have gone wrong unseen.
    pub(super) async fn records(&self, statements: &str) -> Vec<String> {
        self.sql(statements).await;
        let recorded = self.recorded().await;
        assert_eq!(self.value(r#"select count(*) from "TrackingFault""#).await, "0", "{statements}");
        recorded
    }

    /// What is in the feed; takes it out.
    pub(super) async fn recorded(&self) -> Vec<String> {
        let rows = self.rows(RECORDED).await;
        self.sql(r#"delete from "ChangedRow"; delete from "DeletedRow""#).await;
        rows
    }

    /// The server's words for a statement that must fail.
    pub(super) async fn refused(&self, statement: &str) -> String {
        let error = self.client.batch_execute(statement).await.expect_err(statement);
        error.as_db_error().expect("the server's words").message().to_owned()
    }

    /// The application's role: rights on `tables`, none on anything of ours.
    pub(super) async fn application(&self, tables: &str) -> (Role, Client) {
        let role = self.internal().role("nosuperuser").await;
        self.sql(&format!(
            "grant select, insert, update, delete, truncate on {tables} to {0};
             grant usage on all sequences in schema public to {0};
             revoke all on \"ChangedRow\", \"DeletedRow\", \"Tenancy\", \"TrackedTable\", \"TrackingFault\" from {0}",
            role.name
        ))
        .await;
        let client = database::connect(&role.url).await;
        (role, client)
    }
}
