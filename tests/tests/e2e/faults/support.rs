//! What these tests share: a tenant, changes under way, and the comparison at the end.

use std::time::{Duration, Instant};

use tenant_sync_tests::compare::{self, Compared};
use tenant_sync_tests::database::{rows, try_connect};
use tenant_sync_tests::stack::{Stack, Workers};
use tenant_sync_tests::tenant::Tenant;
use tenant_sync_tests::wait::eventually;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Until everything is well again, on a busy machine.
pub(super) const HEALED: Duration = Duration::from_secs(90);
/// Until something is seen that happens without delay.
pub(super) const SOON: Duration = Duration::from_secs(20);
/// Transactions of a [`Load`], of 1,000 changes each.
pub(super) const STEPS: usize = 20;

/// Says why a test that needs servers of its own does nothing here.
pub(super) fn no_private_servers() -> bool {
    let missing = !tenant_sync_tests::cluster::PrivateCluster::available();
    if missing {
        eprintln!("skipped: this machine has no PostgreSQL server programs");
    }
    missing
}

/// A tenant whose target `main` is the stack's first external database.
pub(super) async fn tenant(stack: &Stack) -> Uuid {
    let tenant = Tenant::create(stack).await;
    tenant.target(stack.external(0)).add().await;
    tenant.id()
}

/// One transaction that adds this many users with a channel each.
pub(super) fn add_users(tenancy: Uuid, count: usize, name: &str) -> String {
    format!(
        r#"with fresh as (
             insert into "ProjectUser" ("tenancyId", "displayName", "serverMetadata")
             select '{tenancy}', '{name} ' || i, jsonb_build_object('number', i) from generate_series(1, {count}) i
             returning "tenancyId", "projectUserId")
           insert into "ContactChannel" ("tenancyId", "projectUserId", "value", "isPrimary")
           select "tenancyId", "projectUserId", "projectUserId" || '@example.com', true from fresh;"#
    )
}

/// One transaction of 1,000 changes: users come, change and go, each with a channel.
fn step(tenancy: Uuid, number: usize) -> String {
    let first = |n| {
        format!(
            r#"("tenancyId", "projectUserId") in (select "tenancyId", "projectUserId" from "ProjectUser"
                 where "tenancyId" = '{tenancy}' order by "projectUserId" limit {n})"#
        )
    };
    format!(
        r#"begin; {add}
           update "ProjectUser" set "displayName" = "displayName" || '!' where {changed};
           delete from "ProjectUser" where {gone};
           commit"#,
        add = add_users(tenancy, 400, &format!("step {number} user")),
        changed = first(100),
        gone = first(50),
    )
}

/// An application that makes 20,000 changes, and tries again when the database is away.
#[derive(Debug)]
pub(super) struct Load {
    done: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Load {
    /// Starts it, in the database of this connection string.
    pub(super) fn start(url: &str, tenancy: Uuid) -> Self {
        let (sender, done) = watch::channel(0);
        let url = url.to_owned();
        let task = tokio::spawn(async move {
            for number in 1..=STEPS {
                insist(&url, &step(tenancy, number)).await;
                sender.send_replace(number);
            }
        });
        Self { done, task }
    }

    /// Waits until this many transactions are committed.
    pub(super) async fn reached(&mut self, steps: usize) {
        self.done.wait_for(|done| *done >= steps).await.expect("the application goes on");
    }

    /// Waits until all of them are.
    pub(super) async fn finished(self) {
        self.task.await.expect("the application ends");
    }
}

/// Tries a transaction until it is committed.
async fn insist(url: &str, statements: &str) {
    let end = Instant::now() + HEALED;
    while let Err(reason) = ask(url, statements).await {
        assert!(Instant::now() < end, "the application's transaction: {reason}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The rows of a query by any connection string, one a line; an error is the server's words.
pub(super) async fn ask(url: &str, query: &str) -> Result<String, String> {
    Ok(rows(&try_connect(url).await?, query).await?.join("\n"))
}

/// Waits until a query answers this.
pub(super) async fn answers(url: &str, query: &str, expected: &str) {
    eventually(HEALED, query, async || {
        let found = ask(url, query).await?;
        if found == expected { Ok(()) } else { Err(format!("{found} instead of {expected}")) }
    })
    .await;
}

/// Compares both tables of a target with the source, all rows and columns.
pub(super) async fn equal(internal: &str, tenancy: Uuid, target: &str) -> Result<(), String> {
    let (inside, outside) = (try_connect(internal).await?, try_connect(target).await?);
    outside.batch_execute("set search_path = tenant_sync").await.map_err(|error| error.to_string())?;
    let of_tenant = |table: Compared| {
        let inside = table.inside.replace("{tenancy}", &tenancy.to_string());
        Compared { inside, ..table }
    };
    let tables: Vec<Compared> = compare::shipped().into_iter().map(of_tenant).collect();
    compare::equal(&inside, &outside, &tables).await
}

/// Waits until a target equals its source.
pub(super) async fn becomes_equal(stack: &Stack, tenancy: Uuid, target: &str) {
    let internal = stack.internal().url();
    eventually(HEALED, "the target to equal its source", async || equal(internal, tenancy, target).await)
        .await;
}

/// Waits until nothing is under way and every target is well.
pub(super) async fn settled(stack: &Stack) {
    let url = stack.internal().url();
    answers(
        url,
        r#"select (select count(*) from "OutgoingRequest"), (select count(*) from "ExternalDatabase"
             where "state" <> 'ok' or "consecutiveFailures" > 0 or "nextAttemptAt" is not null)"#,
        "0|0",
    )
    .await;
}

/// What is known of a target: state, failures in a row, class of the last error.
pub(super) async fn standing(stack: &Stack, id: &str) -> Result<String, String> {
    let query = format!(
        r#"select "state", "consecutiveFailures", "lastErrorClass" from "ExternalDatabase" where "id" = '{id}'"#
    );
    ask(stack.internal().url(), &query).await
}

/// Waits until a target that failed is known as such.
pub(super) async fn is_failing(stack: &Stack, id: &str, class: &str) {
    eventually(HEALED, "the failure to be known", async || {
        let found = standing(stack, id).await?;
        if found.ends_with(class) { Ok(()) } else { Err(found) }
    })
    .await;
}

/// What all workers may say while a server of ours is away.
pub(super) fn allow_lost_servers(workers: &mut Workers) {
    for worker in [&mut workers.sequencer, &mut workers.poller, &mut workers.sync_worker] {
        for text in [
            "lost RabbitMQ, connecting again",
            "not published, giving back",
            "cannot claim, trying again",
            "a pass failed, trying again",
            "maintenance of the outbox fails",
            "tombstones cannot be purged",
            "the feed of tracked tables cannot be looked after",
            "cannot write the heartbeat",
            "cannot read the fusebox",
            "a turn failed on our side",
            "a job could not be finished in the internal database",
            "cannot be registered yet",
            "is not there yet, waiting for it",
        ] {
            worker.allow(text);
        }
    }
}
