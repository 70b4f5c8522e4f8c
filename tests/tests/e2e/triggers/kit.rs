//! An installation with two tenants, triggers on its tables, and the events that they leave.

use serde_json::Value;
use tenant_sync_tests::database;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::template::Template;
use tokio_postgres::Client;

/// The first tenant.
pub(super) const ONE: &str = "00000000-0000-0000-0000-000000000001";
/// The other tenant.
pub(super) const TWO: &str = "00000000-0000-0000-0000-000000000002";

/// Where nobody listens.
pub(super) const URL: &str = "http://127.0.0.1:9/hook";

/// The installation.
pub(super) struct Place {
    pub(super) stack: Stack,
    /// A superuser's session.
    pub(super) client: Client,
}

impl Place {
    /// With the sample application's tables.
    pub(super) async fn start() -> Self {
        Self::with(Template::Application).await
    }

    /// With a table of the operator's own, tracked: `public.invoices`.
    pub(super) async fn with_invoices() -> Self {
        let place = Self::with(Template::Engine).await;
        place
            .sql(
                "create table invoices (id bigint primary key, org text, plan text, amount numeric, at timestamptz, note text);
                 select track_table('invoices', 'org')",
            )
            .await;
        place
    }

    async fn with(template: Template) -> Self {
        let mut stack = Stack::plan().template(template).externals(0).start().await;
        stack.set("requests.allow_http", true);
        let client = stack.internal().connect().await;
        let place = Self { stack, client };
        place
            .sql(&format!(
                r#"insert into "Project" ("id") values ('p');
                   insert into "Tenancy" ("id", "projectId", "branchId", "tenantKey")
                   values ('{ONE}', 'p', 'a', 'one'), ('{TWO}', 'p', 'b', 'two');
                   update "HttpSettings" set "allowHttp" = true"#
            ))
            .await;
        place
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

    /// The server's words for a statement that must fail.
    pub(super) async fn refused(&self, statement: &str) -> String {
        let error = self.client.batch_execute(statement).await.expect_err(statement);
        error.as_db_error().expect("the server's words").message().to_owned()
    }

    /// Registers a trigger; returns its id.
    pub(super) async fn trigger(&self, options: &[&str]) -> String {
        let mut arguments = vec!["trigger", "add", "--url", URL];
        arguments.extend(options);
        let made = self.stack.cli().json(&arguments).await;
        made["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
    }

    /// Registers a trigger with a condition.
    pub(super) async fn trigger_when(&self, table: &str, on: &str, condition: &str) -> String {
        let arguments =
            ["trigger", "add", "--url", URL, "--all", "--table", table, "--on", on, "--when", "-", "--json"];
        let made = self.stack.cli().run_with_input(&arguments, condition).await.json();
        made["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
    }

    /// What statements left in the outbox for triggers, in the order of writing; nothing may have gone wrong unseen.
    pub(super) async fn events(&self, statements: &str) -> Vec<Value> {
        self.sql(statements).await;
        assert_eq!(self.rows(r#"select "sqlState" from "HttpFault""#).await, [""; 0], "{statements}");
        self.taken().await
    }

    /// The events that wait; takes them out.
    pub(super) async fn taken(&self) -> Vec<Value> {
        let query = r#"with gone as (delete from "OutgoingRequest" where kind = 'http' returning position, body)
                       select body from gone order by position"#;
        let rows = self.rows(query).await;
        self.sql(r#"delete from "OutgoingRequest" where kind = 'deliveryAsk'"#).await;
        rows.iter().map(|body| serde_json::from_str(body).expect("JSON")).collect()
    }

    /// The names of the events that statements left.
    pub(super) async fn names(&self, statements: &str) -> Vec<String> {
        self.events(statements)
            .await
            .iter()
            .map(|event| event["type"].as_str().expect("a name").to_owned())
            .collect()
    }

    /// Triggers of ours for events on a table.
    pub(super) async fn database_triggers(&self, table: &str) -> String {
        self.value(&format!(
            "select count(*) from pg_trigger where tgrelid = '{table}'::regclass and tgname like '%\\_http\\_%'"
        ))
        .await
    }
}

/// A user of a tenant, by number.
pub(super) fn user(tenant: &str, number: u32, name: &str) -> String {
    format!(
        r#"insert into "ProjectUser" ("tenancyId", "projectUserId", "displayName")
           values ('{tenant}', '{}', '{name}')"#,
        user_id(number)
    )
}

/// Its id.
pub(super) fn user_id(number: u32) -> String {
    format!("00000000-0000-0000-0001-{number:012}")
}
