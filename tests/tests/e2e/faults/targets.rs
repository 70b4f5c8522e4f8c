//! Targets that hang, crawl, refuse or go away: the source is not held, nobody else notices, and they heal by themselves.

use std::time::Duration;

use tenant_sync_tests::cluster::{Options, PrivateCluster};
use tenant_sync_tests::database::{Database, connect, rows};
use tenant_sync_tests::proxy::Proxy;
use tenant_sync_tests::stack::{Stack, Workers};
use tenant_sync_tests::tenant::Tenant;
use tenant_sync_tests::urls;
use tenant_sync_tests::wait::eventually;
use uuid::Uuid;

use super::support::{
    HEALED, Load, SOON, add_users, answers, ask, becomes_equal, equal, is_failing, no_private_servers,
    settled, standing,
};

/// A tenant with a good target `good` (the second external database) and another one, `bad`.
async fn good_and_bad(stack: &Stack, bad: &str) -> Uuid {
    let tenant = Tenant::create(stack).await;
    tenant.target(stack.external(1)).id("good").add().await;
    tenant.target_at(bad).id("bad").add().await;
    tenant.id()
}

async fn start_workers(stack: &Stack) -> Workers {
    let mut workers = stack.start_workers().await;
    workers.sync_worker.allow("the target failed; it is tried again");
    workers
}

/// A change reaches the good target, whatever the bad one does.
async fn good_goes_on(stack: &Stack, tenancy: Uuid) {
    stack.internal().sql(&add_users(tenancy, 5, "meanwhile")).await;
    let (inside, good) = (stack.internal().url(), stack.external(1).url());
    eventually(SOON, "the good target", async || equal(inside, tenancy, good).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_hangs_in_a_first_copy_holds_nobody_up() {
    let mut stack = Stack::plan().externals(2).start().await;
    stack.set("sync.statement_timeout", "1s");
    stack.set("sync.batch_rows", 2000);
    let proxy = Proxy::for_url(stack.external(0).url()).await;
    let tenant = Tenant::create(&stack).await;
    let tenancy = tenant.id();
    tenant.target(stack.external(1)).id("good").add().await;
    let _workers = start_workers(&stack).await;
    stack
        .internal()
        .sql(&add_users(tenancy, 10_000, "user with a long name, so that there is much to copy"))
        .await;
    becomes_equal(&stack, tenancy, stack.external(1).url()).await;
    settled(&stack).await;
    // A trickle, to stop it in the middle of the copy.
    proxy.slow(1_000_000, Duration::ZERO);
    tenant.target_at(&proxy.url(stack.external(0).url())).id("bad").add().await;
    eventually(SOON, "the copy", async || {
        let sent = proxy.counts().to_server;
        if sent > 200_000 { Ok(()) } else { Err(sent) }
    })
    .await;
    proxy.hold();
    snapshots_move_on(stack.internal().url()).await;
    good_goes_on(&stack, tenancy).await;
    is_failing(&stack, "bad", "unreachable").await;
    proxy.cut_connections();
    proxy.pass();
    becomes_equal(&stack, tenancy, stack.external(0).url()).await;
    settled(&stack).await;
}

/// Within a second none of our sessions holds a snapshot from before: vacuum of the source is never held up.
async fn snapshots_move_on(internal: &str) {
    let now = ask(internal, "select pg_current_xact_id()::xid").await.expect("answers");
    let held = format!(
        "select coalesce(string_agg(query, '; '), '') from pg_stat_activity where datname = current_database()
           and application_name like 'tenant-sync%' and age(backend_xmin) > age('{now}'::xid)"
    );
    let session = connect(internal).await;
    eventually(Duration::from_secs(1), "our snapshots to move on", async || {
        let held = rows(&session, &held).await?.concat();
        if held.is_empty() { Ok(()) } else { Err(held) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_accepts_and_never_answers_is_given_up_and_heals() {
    let mut stack = Stack::plan().externals(2).start().await;
    stack.set("sync.connect_timeout", "500ms");
    let proxy = Proxy::for_url(stack.external(0).url()).await;
    proxy.hold();
    let tenancy = good_and_bad(&stack, &proxy.url(stack.external(0).url())).await;
    let _workers = start_workers(&stack).await;
    good_goes_on(&stack, tenancy).await;
    is_failing(&stack, "bad", "unreachable").await;
    proxy.pass();
    becomes_equal(&stack, tenancy, stack.external(0).url()).await;
    settled(&stack).await;
}

/// After the login every answer is late or missing: no wait of ours is without an end.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_falls_silent_after_any_answer_is_given_up_and_heals() {
    let mut stack = Stack::plan().externals(2).start().await;
    stack.set("sync.connect_timeout", "500ms");
    stack.set("sync.statement_timeout", "250ms");
    let proxy = Proxy::for_url(stack.external(0).url()).await;
    let tenancy = good_and_bad(&stack, &proxy.url(stack.external(0).url())).await;
    let _workers = start_workers(&stack).await;
    // Each round stops later on the way from login to commit.
    for bytes in [100, 800, 1600] {
        let before = proxy.counts();
        eventually(SOON, "some answers", async || {
            let now = proxy.counts();
            let answered = now.to_client - before.to_client;
            if answered >= bytes { Ok(()) } else { Err(answered) }
        })
        .await;
        proxy.hold_answers();
        stack.internal().sql(&add_users(tenancy, 5, "user")).await;
        is_failing(&stack, "bad", "unreachable").await;
        proxy.cut_connections();
        proxy.pass();
        stack.internal().sql(&add_users(tenancy, 5, "user")).await;
        becomes_equal(&stack, tenancy, stack.external(0).url()).await;
        settled(&stack).await;
        proxy.cut_connections();
        stack.internal().sql(&add_users(tenancy, 5, "user")).await;
    }
    becomes_equal(&stack, tenancy, stack.external(0).url()).await;
    settled(&stack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_target_arrives_all_the_same() {
    let stack = Stack::plan().externals(2).start().await;
    let proxy = Proxy::for_url(stack.external(0).url()).await;
    proxy.slow(300_000, Duration::from_millis(60));
    let tenancy = good_and_bad(&stack, &proxy.url(stack.external(0).url())).await;
    stack.internal().sql(&add_users(tenancy, 3_000, "user")).await;
    let _workers = stack.start_workers().await;
    good_goes_on(&stack, tenancy).await;
    becomes_equal(&stack, tenancy, stack.external(0).url()).await;
    settled(&stack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_server_may_be_killed_in_the_middle_of_20_000_changes() {
    if no_private_servers() {
        return;
    }
    let mut cluster = PrivateCluster::start(Options::default()).await;
    let stack = Stack::plan().externals(2).start().await;
    let tenancy = good_and_bad(&stack, &cluster.url()).await;
    let _workers = start_workers(&stack).await;
    let mut load = Load::start(stack.internal().url(), tenancy);
    load.reached(6).await;
    cluster.kill9();
    load.reached(12).await;
    is_failing(&stack, "bad", "unreachable").await;
    cluster.launch().await;
    load.finished().await;
    becomes_equal(&stack, tenancy, stack.external(1).url()).await;
    becomes_equal(&stack, tenancy, &cluster.url()).await;
    settled(&stack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_target_server_is_given_up_and_heals() {
    if no_private_servers() {
        return;
    }
    let cluster = PrivateCluster::start(Options::default()).await;
    let mut stack = Stack::plan().externals(2).start().await;
    stack.set("sync.connect_timeout", "500ms");
    stack.set("sync.statement_timeout", "500ms");
    let tenancy = good_and_bad(&stack, &cluster.url()).await;
    let _workers = start_workers(&stack).await;
    good_goes_on(&stack, tenancy).await;
    becomes_equal(&stack, tenancy, &cluster.url()).await;
    cluster.pause();
    good_goes_on(&stack, tenancy).await;
    is_failing(&stack, "bad", "unreachable").await;
    cluster.resume();
    becomes_equal(&stack, tenancy, &cluster.url()).await;
    settled(&stack).await;
}

/// A COMMIT that waits for a standby that is gone is bounded by no time-out of the server's.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_waits_for_a_lost_standby_is_cancelled() {
    if no_private_servers() {
        return;
    }
    let cluster = PrivateCluster::start(Options::default()).await;
    let mut stack = Stack::plan().externals(2).start().await;
    stack.set("sync.statement_timeout", "2s");
    let tenancy = good_and_bad(&stack, &cluster.url()).await;
    let _workers = start_workers(&stack).await;
    good_goes_on(&stack, tenancy).await;
    becomes_equal(&stack, tenancy, &cluster.url()).await;
    settled(&stack).await;

    cluster.append_conf("synchronous_standby_names = 'nobody'");
    cluster.reload();
    answers(&cluster.url(), "show synchronous_standby_names", "nobody").await;
    good_goes_on(&stack, tenancy).await;
    is_failing(&stack, "bad", "statementTimeout").await;
    // What waited was committed there; it is found by the watermark, and not written twice.
    answers(&cluster.url(), "select count(*) from tenant_sync.users", "10").await;
    good_goes_on(&stack, tenancy).await;

    cluster.append_conf("synchronous_standby_names = ''");
    cluster.reload();
    becomes_equal(&stack, tenancy, &cluster.url()).await;
    settled(&stack).await;
    let waiting = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'";
    answers(&cluster.url(), waiting, "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_password_waits_for_five_minutes() {
    let stack = Stack::plan().externals(2).start().await;
    let role = stack.external(0).role("nosuperuser").await;
    let wrong = urls::with_user(stack.external(0).url(), &role.name, "wrong");
    let tenancy = good_and_bad(&stack, &wrong).await;
    let _workers = start_workers(&stack).await;
    good_goes_on(&stack, tenancy).await;
    is_failing(&stack, "bad", "passwordRefused").await;
    let waits = r#"select d."state", d."nextAttemptAt" > now() + interval '4 minutes', r."dueAt" > now() + interval '4 minutes'
                   from "ExternalDatabase" d join "OutgoingRequest" r on r."databaseId" = d."id" where d."id" = 'bad'"#;
    answers(stack.internal().url(), waits, "broken|t|t").await;
    // A change does not shorten the wait, and the good target does not share it.
    good_goes_on(&stack, tenancy).await;
    answers(stack.internal().url(), waits, "broken|t|t").await;
    assert_eq!(standing(&stack, "bad").await.as_deref(), Ok("broken|1|passwordRefused"), "one attempt");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_breaker_opens_and_closes_by_itself() {
    let stack = Stack::plan().externals(2).start().await;
    let proxy = Proxy::for_url(stack.external(0).url()).await;
    let tenancy = good_and_bad(&stack, &proxy.url(stack.external(0).url())).await;
    let workers = start_workers(&stack).await;
    good_goes_on(&stack, tenancy).await;
    becomes_equal(&stack, tenancy, stack.external(0).url()).await;
    settled(&stack).await;
    for _ in 0..2 {
        proxy.refuse();
        good_goes_on(&stack, tenancy).await;
        eventually(HEALED, "the breaker to open", async || {
            let found = standing(&stack, "bad").await?;
            if found.starts_with("broken|") { Ok(()) } else { Err(found) }
        })
        .await;
        good_goes_on(&stack, tenancy).await;
        proxy.pass();
        becomes_equal(&stack, tenancy, stack.external(0).url()).await;
        settled(&stack).await;
    }
    assert_eq!(workers.sync_worker.logs().matching("the target works again").len(), 2);
}

/// The database that a target names is dropped and made again, empty: it is filled.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_was_lost_is_filled_again() {
    let stack = Stack::plan().externals(2).start().await;
    let lost = Database::external(stack.services(), 0).await;
    let tenancy = good_and_bad(&stack, lost.url()).await;
    let _workers = start_workers(&stack).await;
    good_goes_on(&stack, tenancy).await;
    becomes_equal(&stack, tenancy, lost.url()).await;
    lost.sql("drop schema tenant_sync cascade").await;
    good_goes_on(&stack, tenancy).await;
    becomes_equal(&stack, tenancy, lost.url()).await;
    settled(&stack).await;
}
