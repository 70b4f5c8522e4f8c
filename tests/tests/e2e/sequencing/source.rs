//! An internal database of a test's own: the application and the sequencer are both plain SQL.

use std::fmt::Write as _;
use std::sync::Arc;

use tenant_sync_core::config::Config;
use tenant_sync_core::db::Internal;
use tenant_sync_tests::database::{self, Database};
use tenant_sync_tests::services::Services;
use tenant_sync_tests::template::Template;
use tokio_postgres::Client;
use uuid::Uuid;

/// Rows of a usual pass.
pub(super) const BATCH: i32 = 5_000;

/// The database, with one session that serves as application and sequencer where no second one is needed.
pub(super) struct Source {
    pub(super) database: Database,
    pub(super) sql: Client,
}

/// What a pass did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pass {
    pub(super) outcome: String,
    pub(super) rows: i64,
    pub(super) asked: i64,
    pub(super) parked: i64,
    pub(super) last: i64,
    pub(super) more: bool,
}

impl Source {
    pub(super) async fn new() -> Self {
        let services = Services::from_env();
        let database = Database::internal(&services.internal_url, Template::Application).await;
        let sql = database.connect().await;
        Self { database, sql }
    }

    /// Another session.
    pub(super) async fn session(&self) -> Client {
        self.database.connect().await
    }

    /// Sessions as the workers have them.
    pub(super) fn internal(&self) -> Internal {
        let url = ("TENANT_SYNC_DATABASE__URL".to_owned(), self.database.url().to_owned());
        let config = Arc::new(Config::from_sources(None, [url]).expect("configuration"));
        Internal::new(&config.database, "test").expect("internal")
    }

    pub(super) async fn run(&self, statements: &str) {
        run(&self.sql, statements).await;
    }

    /// The one value of a query, as text.
    pub(super) async fn value(&self, query: &str) -> String {
        value(&self.sql, query).await
    }

    pub(super) async fn rows(&self, query: &str) -> Vec<String> {
        database::rows(&self.sql, query).await.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// A tenancy without a target.
    pub(super) async fn tenancy(&self) -> Uuid {
        let id = Uuid::new_v4();
        self.run(&format!(
            r#"insert into "Project" ("id") values ('{id}');
               insert into "Tenancy" ("id", "projectId") values ('{id}', '{id}')"#
        ))
        .await;
        id
    }

    /// A tenancy with one target, which nobody visits.
    pub(super) async fn tenancy_with_target(&self) -> Uuid {
        let tenancy = self.tenancy().await;
        self.target(tenancy, "main").await;
        tenancy
    }

    pub(super) async fn target(&self, tenancy: Uuid, id: &str) {
        self.run(&format!(
            r#"insert into "ExternalDatabase" ("tenancyId", "id", "nextVisitAt") values ('{tenancy}', '{id}', 'infinity')"#
        ))
        .await;
    }

    /// Inserts and commits a user.
    pub(super) async fn user(&self, tenancy: Uuid) -> Uuid {
        let id = Uuid::new_v4();
        self.run(&insert_user(tenancy, id)).await;
        id
    }

    /// Inserts and commits an e-mail channel.
    pub(super) async fn channel(&self, tenancy: Uuid, user: Uuid) -> Uuid {
        let id = Uuid::new_v4();
        self.run(&insert_channel(tenancy, user, id)).await;
        id
    }

    /// A usual pass, in a transaction of its own.
    pub(super) async fn pass(&self) -> Pass {
        pass(&self.sql, BATCH).await
    }

    pub(super) async fn pass_of(&self, limit: i32) -> Pass {
        pass(&self.sql, limit).await
    }

    /// Passes until nothing is pending.
    pub(super) async fn settle(&self) {
        while self.pass().await.rows > 0 {}
    }

    /// The user's id in the sequence; `None` while a change of it has none.
    pub(super) async fn user_id(&self, user: Uuid) -> Option<i64> {
        self.sequence_id("ProjectUser", "projectUserId", user).await
    }

    pub(super) async fn channel_id(&self, channel: Uuid) -> Option<i64> {
        self.sequence_id("ContactChannel", "id", channel).await
    }

    async fn sequence_id(&self, table: &str, key: &str, id: Uuid) -> Option<i64> {
        let query = format!(
            r#"select case when "shouldUpdateSequenceId" then 'pending' else "sequenceId"::text end
               from "{table}" where "{key}" = '{id}'"#
        );
        self.value(&query).await.parse().ok()
    }

    /// How many rows of all relations have no id for their last change.
    pub(super) async fn pending(&self) -> i64 {
        let mut query = String::from("select 0");
        for table in ["ProjectUser", "ContactChannel", "DeletedRow", "ChangedRow"] {
            let _ = write!(query, r#" + (select count(*) from "{table}" where "shouldUpdateSequenceId")"#);
        }
        self.value(&query).await.parse().expect("a number")
    }

    /// Takes a guard out of a function of this database.
    pub(super) async fn without(&self, function: &str, guard: &str, instead: &str) {
        let query = format!("select pg_get_functiondef('{function}'::regproc)");
        let text = self.value(&query).await;
        assert!(text.contains(guard), "{function} has no {guard}");
        self.run(&text.replace(guard, instead)).await;
        if function == "build_sequencer" {
            self.run("select build_sequencer()").await;
        }
    }
}

pub(super) fn insert_user(tenancy: Uuid, id: Uuid) -> String {
    format!(
        r#"insert into "ProjectUser" ("tenancyId", "projectUserId", "displayName") values ('{tenancy}', '{id}', 'U')"#
    )
}

pub(super) fn insert_channel(tenancy: Uuid, user: Uuid, id: Uuid) -> String {
    format!(
        r#"insert into "ContactChannel" ("tenancyId", "projectUserId", "id", "value")
           values ('{tenancy}', '{user}', '{id}', '{id}@example.com')"#
    )
}

pub(super) async fn run(client: &Client, statements: &str) {
    client.batch_execute(statements).await.unwrap_or_else(|error| panic!("{statements}: {error:?}"));
}

pub(super) async fn value(client: &Client, query: &str) -> String {
    let mut rows = database::rows(client, query).await.unwrap_or_else(|error| panic!("{query}: {error}"));
    assert_eq!(rows.len(), 1, "{query} returned {rows:?}");
    rows.remove(0)
}

/// A pass in the session's transaction, if one is open, else in one of its own.
pub(super) async fn pass(client: &Client, limit: i32) -> Pass {
    let query =
        "select outcome, rows_given, coalesce(targets_asked, 0), parked, coalesce(last_sequence_id, 0), more
                 from backfill_null_sequence_ids($1)";
    let row = client.query_one(query, &[&limit]).await.expect("a pass");
    Pass {
        outcome: row.get(0),
        rows: row.get(1),
        asked: row.get(2),
        parked: row.get(3),
        last: row.get(4),
        more: row.get(5),
    }
}
