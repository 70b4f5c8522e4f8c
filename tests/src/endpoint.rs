//! Endpoints of a test: triggers for events that the test makes itself, and what became of the requests.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tenant_sync_core::http::sign;
use tenant_sync_core::secrets::{Keyring, trigger_binding};
use uuid::Uuid;

use crate::stack::Stack;
use crate::wait::eventually;

/// A registered trigger and its destination.
#[derive(Debug)]
pub struct Endpoint<'a> {
    stack: &'a Stack,
    /// Of the trigger and of its destination.
    pub id: Uuid,
    /// What it signs with, the newest first.
    pub secrets: Vec<SecretString>,
}

impl<'a> Endpoint<'a> {
    /// A trigger that calls this URL, with one secret; `limits` are assignments to columns of its destination, such
    /// as `"parallelism" = 2`.
    ///
    /// # Panics
    /// The database refuses.
    pub async fn register(stack: &'a Stack, url: &str, limits: &str) -> Self {
        Self::for_event(stack, url, "test.event", limits).await
    }

    /// So many triggers that call this URL, each with a secret and a destination of its own.
    ///
    /// # Panics
    /// The database refuses.
    pub async fn register_many(stack: &Stack, url: &str, count: usize) {
        let ids: Vec<Uuid> = (0..count).map(|_| Uuid::new_v4()).collect();
        let secret = [sign::new_secret().expect("a secret")];
        let (key_ids, sealed): (Vec<_>, Vec<_>) = ids.iter().map(|id| seal(stack, *id, &secret)).unzip();
        let text = r#"
with made as (
    insert into "HttpTrigger" (id, events, url, secrets, "keyId")
    select id, array['test.event'], $2, secrets, key_id from unnest($1::uuid[], $3::bytea[], $4::text[]) as t(id, secrets, key_id)
    returning id)
insert into "HttpDestination" (id, "triggerId") select id, id from made"#;
        let client = stack.internal().connect().await;
        client.execute(text, &[&ids, &url, &sealed, &key_ids]).await.expect("triggers");
    }

    /// A trigger that calls this URL for one of tenant-sync's own events.
    ///
    /// # Panics
    /// The database refuses.
    pub async fn listen(stack: &'a Stack, url: &str, event: &str) -> Self {
        Self::for_event(stack, url, event, "").await
    }

    async fn for_event(stack: &'a Stack, url: &str, event: &str, limits: &str) -> Self {
        let id = Uuid::new_v4();
        let secrets = vec![sign::new_secret().expect("a secret")];
        let (key_id, sealed) = seal(stack, id, &secrets);
        let client = stack.internal().connect().await;
        client
            .execute(
                r#"insert into "HttpTrigger" (id, events, url, secrets, "keyId") values ($1, array[$5::text], $2, $3, $4)"#,
                &[&id, &url, &sealed, &key_id, &event],
            )
            .await
            .expect("a trigger");
        let set = if limits.is_empty() {
            String::new()
        } else {
            format!("update \"HttpDestination\" set {limits} where id = '{id}'")
        };
        let destination =
            format!(r#"insert into "HttpDestination" (id, "triggerId") values ('{id}', '{id}'); {set}"#);
        client.batch_execute(&destination).await.expect("a destination");
        Self { stack, id, secrets }
    }

    /// Replaces its secrets.
    ///
    /// # Panics
    /// The database refuses.
    pub async fn rotate(&mut self, secrets: Vec<SecretString>) {
        let (key_id, sealed) = seal(self.stack, self.id, &secrets);
        let text =
            r#"update "HttpTrigger" set secrets = $2, "keyId" = $3, "updatedAt" = now() where id = $1"#;
        self.stack
            .internal()
            .connect()
            .await
            .execute(text, &[&self.id, &sealed, &key_id])
            .await
            .expect("secrets");
        self.secrets = secrets;
    }

    /// Commits this many events `first`, `first + 1`, …, each with the number modulo `keys` as its order key; without
    /// one if that is zero.
    ///
    /// # Panics
    /// The database refuses.
    pub async fn send(&self, first: usize, count: usize, keys: usize) {
        self.stack.internal().sql(&self.events(first, count, keys)).await;
    }

    /// The statement that [`Endpoint::send`] commits.
    #[must_use]
    pub fn events(&self, first: usize, count: usize, keys: usize) -> String {
        let id = self.id;
        format!(
            r#"with made as (
                 insert into "OutgoingRequest" (kind, "destinationId", position, "eventType", body, "orderKey")
                 select 'http', '{id}', nextval('outgoing_request_seq'), 'test.event',
                   json_build_object('type', 'test.event', 'timestamp', now(), 'data', json_build_object('n', n)),
                   nullif(n % nullif({keys}, 0), -1)::text
                 from generate_series({first}, {first} + {count} - 1) n order by n)
               insert into "OutgoingRequest" (kind, "destinationId", "askedBy")
               values ('deliveryAsk', '{id}', pg_current_xact_id())"#
        )
    }

    /// How many of its requests wait, are dead, were delivered and were failed attempts.
    ///
    /// # Panics
    /// The database refuses.
    pub async fn counts(&self) -> String {
        let id = self.id;
        let query = format!(
            r#"select (select count(*) from "OutgoingRequest" where kind = 'http' and state = 'pending' and "destinationId" = '{id}'),
                 (select count(*) from "OutgoingRequest" where kind = 'http' and state = 'dead' and "destinationId" = '{id}'),
                 count(*) filter (where outcome = 'delivered'), count(*) filter (where outcome <> 'delivered')
               from "HttpAttempt" where "destinationId" = '{id}'"#
        );
        self.stack.internal().value(&query).await
    }

    /// Waits until nothing of it is pending, and no worker has its turn.
    ///
    /// # Panics
    /// That takes longer.
    pub async fn drained(&self, deadline: Duration) {
        eventually(deadline, "all requests to be sent", async || {
            let (counts, id) = (self.counts().await, self.id);
            let left = format!(
                r#"select exists (select from "OutgoingRequest" where state = 'pending' and "destinationId" = '{id}')"#
            );
            if self.stack.internal().value(&left).await == "f" { Ok(()) } else { Err(counts) }
        })
        .await;
    }

    /// Makes what is dead wait again, as an operator's command does.
    ///
    /// # Panics
    /// The database refuses.
    pub async fn replay_dead(&self) {
        let id = self.id;
        self.stack
            .internal()
            .sql(&format!(
                r#"update "OutgoingRequest" set state = 'pending', "diedAt" = null, attempts = 0, "dueAt" = now()
                   where kind = 'http' and state = 'dead' and "destinationId" = '{id}';
                   insert into "OutgoingRequest" (kind, "destinationId", "askedBy")
                   values ('deliveryAsk', '{id}', pg_current_xact_id())"#
            ))
            .await;
    }

    /// A column of its destination, as text.
    ///
    /// # Panics
    /// The database refuses.
    pub async fn standing(&self, column: &str) -> String {
        let query = format!(r#"select {column} from "HttpDestination" where id = '{}'"#, self.id);
        self.stack.internal().value(&query).await
    }
}

fn seal(stack: &Stack, id: Uuid, secrets: &[SecretString]) -> (String, Vec<u8>) {
    let keyring = Keyring::from_config(&stack.config().secrets.keys).expect("keys");
    let sealed = {
        let text: Vec<&str> = secrets.iter().map(ExposeSecret::expose_secret).collect();
        keyring.encrypt(text.join("\n").as_bytes(), &trigger_binding(id)).expect("sealed")
    };
    (sealed.key_id, sealed.bytes)
}
