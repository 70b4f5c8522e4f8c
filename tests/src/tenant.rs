//! A tenant of a stack and its targets, made by plain SQL, without the command line.

use std::time::Duration;

use tenant_sync_core::secrets::{Keyring, target_binding};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::compare::{self, Compared};
use crate::database::{Database, connect, rows};
use crate::stack::Stack;
use crate::wait::eventually;

/// How long a change may take on a busy machine. No test waits for it to pass.
pub const SOON: Duration = Duration::from_secs(180);

/// One tenancy.
#[derive(Debug, Clone, Copy)]
pub struct Tenant<'a> {
    stack: &'a Stack,
    id: Uuid,
}

/// One target, not necessarily of a database that exists.
#[derive(Debug, Clone)]
pub struct Target<'a> {
    tenant: Tenant<'a>,
    id: String,
    /// As the workers reach it.
    way: String,
    /// As the test does.
    url: String,
    schema: String,
    mappings: Option<Vec<String>>,
    readers: Vec<String>,
    tables: Vec<Compared>,
}

impl<'a> Tenant<'a> {
    /// Makes a project with one tenancy.
    ///
    /// # Panics
    /// The internal database refuses.
    pub async fn create(stack: &'a Stack) -> Self {
        let id = Uuid::new_v4();
        let sql = format!(
            r#"insert into "Project" ("id") values ('{id}');
               insert into "Tenancy" ("id", "projectId") values ('{id}', '{id}')"#
        );
        stack.internal().sql(&sql).await;
        Self { stack, id }
    }

    /// A tenancy that is there.
    #[must_use]
    pub fn of(stack: &'a Stack, id: Uuid) -> Self {
        Self { stack, id }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Runs statements on the internal database; `{tenancy}` stands for this tenancy's id.
    ///
    /// # Panics
    /// One of them fails.
    pub async fn sql(&self, statements: &str) {
        self.stack.internal().sql(&self.here(statements)).await;
    }

    /// The one value of a query on the internal database.
    ///
    /// # Panics
    /// The query fails, or does not return exactly one row.
    pub async fn value(&self, query: &str) -> String {
        self.stack.internal().value(&self.here(query)).await
    }

    /// Inserts a user.
    ///
    /// # Panics
    /// The internal database refuses.
    pub async fn user(&self, name: &str) -> Uuid {
        let id = Uuid::new_v4();
        self.sql(&format!(
            r#"insert into "ProjectUser" ("tenancyId", "projectUserId", "displayName") values ('{{tenancy}}', '{id}', '{name}')"#
        ))
        .await;
        id
    }

    /// Inserts a channel of type EMAIL that is not primary; the first one of a user usually is: see
    /// [`Tenant::primary`].
    ///
    /// # Panics
    /// The internal database refuses.
    pub async fn channel(&self, user: Uuid, value: &str) -> Uuid {
        let id = Uuid::new_v4();
        self.sql(&format!(
            r#"insert into "ContactChannel" ("tenancyId", "projectUserId", "id", "value")
               values ('{{tenancy}}', '{user}', '{id}', '{value}')"#
        ))
        .await;
        id
    }

    /// Inserts a user's primary address.
    ///
    /// # Panics
    /// The internal database refuses.
    pub async fn primary(&self, user: Uuid, value: &str) -> Uuid {
        let id = self.channel(user, value).await;
        self.sql(&format!(r#"update "ContactChannel" set "isPrimary" = true where "id" = '{id}'"#)).await;
        id
    }

    /// Inserts `count` users, each with one primary address, in one transaction. Their names are numbers from
    /// `first` on, padded to six digits, and their keys sort like their names.
    ///
    /// # Panics
    /// The internal database refuses.
    pub async fn users(&self, first: usize, count: usize) {
        let last = first + count - 1;
        self.sql(&format!(
            r#"with made as (
                 insert into "ProjectUser" ("tenancyId", "projectUserId", "displayName", "clientMetadata")
                 select '{{tenancy}}', ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
                        lpad(n::text, 6, '0'), jsonb_build_object('n', n)
                 from generate_series({first}, {last}) n
                 returning "projectUserId", "displayName")
               insert into "ContactChannel" ("tenancyId", "projectUserId", "value", "isPrimary")
               select '{{tenancy}}', "projectUserId", 'user' || "displayName" || '@example.com', true from made"#
        ))
        .await;
    }

    /// A target of this tenant in a database, not added yet.
    #[must_use]
    pub fn target(&self, database: &Database) -> Target<'a> {
        self.target_at(database.url())
    }

    /// The same by a connection string.
    #[must_use]
    pub fn target_at(&self, url: &str) -> Target<'a> {
        Target {
            tenant: *self,
            id: "main".to_owned(),
            way: url.to_owned(),
            url: url.to_owned(),
            schema: "tenant_sync".to_owned(),
            mappings: None,
            readers: Vec::new(),
            tables: compare::shipped(),
        }
    }

    fn here(&self, sql: &str) -> String {
        sql.replace("{tenancy}", &self.id.to_string())
    }
}

impl Target<'_> {
    /// Another id than `main`.
    #[must_use]
    pub fn id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self
    }

    /// The workers reach it by this connection string, such as a pooler's; the test does so directly.
    #[must_use]
    pub fn through(mut self, url: &str) -> Self {
        url.clone_into(&mut self.way);
        self
    }

    /// Another schema than the default.
    #[must_use]
    pub fn schema(mut self, schema: &str) -> Self {
        schema.clone_into(&mut self.schema);
        self
    }

    /// Only this mapping, and others named in further calls.
    #[must_use]
    pub fn mapping(mut self, name: &str) -> Self {
        self.mappings.get_or_insert_default().push(name.to_owned());
        self.tables.retain(|table| self.mappings.iter().flatten().any(|name| *name == table.table));
        self
    }

    /// A role that may read.
    #[must_use]
    pub fn reader(mut self, role: &str) -> Self {
        self.readers.push(role.to_owned());
        self
    }

    /// One more table to compare, beside those of the shipped mappings.
    #[must_use]
    pub fn compare(mut self, table: Compared) -> Self {
        self.tables.push(table);
        self
    }

    /// Whether it was said to have this table.
    #[must_use]
    pub fn holds(&self, table: &str) -> bool {
        self.tables.iter().any(|compared| compared.table == table)
    }

    /// Stores it and asks for its first sync.
    ///
    /// # Panics
    /// The internal database refuses.
    pub async fn add(self) -> Self {
        let config = self.tenant.stack.config();
        let keys = Keyring::from_config(&config.secrets.keys).expect("the stack's keys");
        let sealed =
            keys.encrypt(self.way.as_bytes(), &target_binding(self.tenant.id, &self.id)).expect("encrypts");
        let client = self.tenant.stack.internal().connect().await;
        client
            .execute(
                r#"insert into "ExternalDatabase" ("tenancyId", "id", "connectionString", "keyId", "schema", "mappings",
                     "readRoles") values ($1, $2, $3, $4, $5, $6, $7)"#,
                &[
                    &self.tenant.id,
                    &self.id,
                    &sealed.bytes,
                    &sealed.key_id,
                    &self.schema,
                    &self.mappings,
                    &self.readers,
                ],
            )
            .await
            .expect("stores the target");
        self.ask().await;
        self
    }

    /// Asks for a sync, as an application may.
    ///
    /// # Panics
    /// The internal database refuses.
    pub async fn ask(&self) {
        self.tenant.value("select enqueue_tenant_sync('{tenancy}')").await;
    }

    /// Asks for a sync that is due at once, whatever back-off there was, as an operator's `sync now` does.
    ///
    /// # Panics
    /// The internal database refuses.
    pub async fn try_now(&self) {
        let (tenancy, id) = (self.tenant.id, &self.id);
        self.tenant
            .sql(&format!(
                r#"insert into "OutgoingRequest" as r ("deduplicationKey", "tenancyId", "databaseId")
                   values ('sync:{tenancy}:{id}', '{tenancy}', '{id}')
                   on conflict ("deduplicationKey") where "kind" = 'sync' do update set "counter" = r."counter" + 1,
                     "dueAt" = case when r."startedFulfillingAt" is null then now() else r."dueAt" end"#
            ))
            .await;
    }

    /// Pauses it; a job that runs goes on to its end.
    ///
    /// # Panics
    /// The internal database refuses.
    pub async fn pause(&self) {
        self.set_state("paused").await;
    }

    /// Lets it go on, at once.
    ///
    /// # Panics
    /// The internal database refuses.
    pub async fn resume(&self) {
        self.set_state("ok").await;
        self.try_now().await;
    }

    async fn set_state(&self, state: &str) {
        let id = &self.id;
        self.tenant
            .sql(&format!(
                r#"update "ExternalDatabase" set "state" = '{state}' where "tenancyId" = '{{tenancy}}' and "id" = '{id}'"#
            ))
            .await;
    }

    /// Whether its tables hold exactly the tenant's rows.
    ///
    /// # Errors
    /// What differs.
    pub async fn equal(&self) -> Result<(), String> {
        let inside = self.tenant.stack.internal().connect().await;
        self.equal_for(&inside).await
    }

    async fn equal_for(&self, inside: &Client) -> Result<(), String> {
        let tables: Vec<Compared> = self
            .tables
            .iter()
            .map(|table| Compared { inside: self.tenant.here(&table.inside), ..table.clone() })
            .collect();
        let session = self.session().await;
        let Err(difference) = compare::equal(inside, &session, &tables).await else { return Ok(()) };
        Err(format!("{difference}; {}", self.standing(inside, &session).await))
    }

    /// What the internal database and the target say about it, for one who asks why it differs.
    async fn standing(&self, inside: &Client, target: &Client) -> String {
        let (tenancy, id) = (self.tenant.id, &self.id);
        let request = format!(
            r#"select coalesce((select to_jsonb(r) from "OutgoingRequest" r
                 where "deduplicationKey" = 'sync:{tenancy}:{id}')::text, 'no request')"#
        );
        let state = format!(
            r#"select concat_ws(' ', d."state", d."lastError", 'failures', d."consecutiveFailures", 'next', d."nextAttemptAt",
                 'now', clock_timestamp(), 'last id given', (select last_value from global_seq_id))
               from "ExternalDatabase" d where d."tenancyId" = '{tenancy}' and d."id" = '{id}'"#
        );
        let watermarks = "select concat_ws(' ', mapping_name, last_synced_sequence_id, complete_as_of) from _sync_metadata";
        let mut told = Vec::new();
        for (session, query) in [(inside, request.as_str()), (inside, &state), (target, watermarks)] {
            told.push(rows(session, query).await.map_or_else(|error| error.clone(), |rows| rows.join(", ")));
        }
        told.join("; ")
    }

    /// Waits until it holds exactly the tenant's rows.
    ///
    /// # Panics
    /// It does not soon.
    pub async fn caught_up(&self) {
        let inside = self.tenant.stack.internal().connect().await;
        let what = format!("target {} to equal its source", self.id);
        eventually(SOON, &what, async || self.equal_for(&inside).await).await;
    }

    /// A session in the target's schema.
    ///
    /// # Panics
    /// The server refuses.
    pub async fn session(&self) -> Client {
        compare::reader(&self.url, &self.schema).await
    }

    /// The rows of a query in the target's schema, as [`Database::rows`] shows them.
    ///
    /// # Panics
    /// The query fails.
    pub async fn rows(&self, query: &str) -> Vec<String> {
        rows(&self.session().await, query).await.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// The one value of a query in the target's schema.
    ///
    /// # Panics
    /// The query fails, or does not return exactly one row.
    pub async fn value(&self, query: &str) -> String {
        let mut found = self.rows(query).await;
        assert_eq!(found.len(), 1, "{query} returned {found:?}");
        found.remove(0)
    }

    /// Runs statements in the target's schema, as its owner may.
    ///
    /// # Panics
    /// One of them fails.
    pub async fn sql(&self, statements: &str) {
        let session = self.session().await;
        session.batch_execute(statements).await.unwrap_or_else(|error| panic!("{statements}: {error:?}"));
    }

    /// Waits until a query in the target's schema returns these rows.
    ///
    /// # Panics
    /// It does not soon.
    pub async fn shows(&self, query: &str, expected: &[&str]) {
        let session = self.session().await;
        eventually(SOON, query, async || match rows(&session, query).await {
            Ok(found) if found == expected => Ok(()),
            Ok(found) => Err(format!("{found:?} instead of {expected:?}")),
            Err(error) => Err(error),
        })
        .await;
    }

    /// Waits until the internal database says this of the target: `state|lastErrorClass`.
    ///
    /// # Panics
    /// It does not soon.
    pub async fn is(&self, expected: &str) {
        let session = connect(self.tenant.stack.internal().url()).await;
        let query = format!(
            r#"select "state", "lastErrorClass" from "ExternalDatabase" where "tenancyId" = '{}' and "id" = '{}'"#,
            self.tenant.id, self.id
        );
        eventually(SOON, &format!("target {} to be {expected}", self.id), async || {
            let found = rows(&session, &query).await?;
            if found == [expected] { Ok(()) } else { Err(format!("it is {found:?}")) }
        })
        .await;
    }

    /// What is shown of its last failure.
    ///
    /// # Panics
    /// There is no such target.
    pub async fn last_error(&self) -> String {
        let id = &self.id;
        self.tenant
            .value(&format!(
                r#"select "lastError" from "ExternalDatabase" where "tenancyId" = '{{tenancy}}' and "id" = '{id}'"#
            ))
            .await
    }
}

impl Stack {
    /// Waits until every change has its sequence id.
    ///
    /// # Panics
    /// One has none after a while.
    pub async fn sequenced(&self) {
        self.nothing_of("select 0").await;
    }

    /// Waits until nothing is left to do: no change without an id, no request.
    ///
    /// # Panics
    /// Something is left after a while.
    pub async fn settled(&self) {
        self.nothing_of(r#"select count(*) from "OutgoingRequest""#).await;
    }

    async fn nothing_of(&self, requests: &str) {
        let session = self.internal().connect().await;
        let query = format!(
            r#"select (select count(*) from "ProjectUser" where "shouldUpdateSequenceId"),
                      (select count(*) from "ContactChannel" where "shouldUpdateSequenceId"),
                      (select count(*) from "DeletedRow" where "shouldUpdateSequenceId"), ({requests})"#
        );
        eventually(SOON, "everything to be done", async || {
            let left = rows(&session, &query).await?;
            if left == ["0|0|0|0"] {
                Ok(())
            } else {
                Err(format!("users, channels, deletes, requests: {left:?}"))
            }
        })
        .await;
    }
}
