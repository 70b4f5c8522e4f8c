//! Workers that die, are stopped, or start too early.

use std::time::Duration;

use tenant_sync_tests::proxy::Proxy;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::Tenant;
use tenant_sync_tests::wait::eventually;

use super::support::{
    HEALED, Load, SOON, add_users, allow_lost_servers, answers, ask, becomes_equal, equal, settled, tenant,
};

/// Leases that lapse soon, for tests in which somebody dies while holding one.
fn short_leases(stack: &mut Stack) {
    stack.set("poller.claim_lease", "2s");
    stack.set("sync.run_lease", "2s");
}

/// Workers reach the internal Postgres and RabbitMQ through these only.
async fn behind_proxies(stack: &mut Stack) -> (Proxy, Proxy) {
    let postgres = Proxy::for_url(stack.internal().url()).await;
    let rabbitmq = Proxy::for_url(stack.vhost().url()).await;
    let (database_url, queue_url) = (postgres.url(stack.internal().url()), rabbitmq.url(stack.vhost().url()));
    stack.set("database.url", database_url);
    stack.set("rabbitmq.url", queue_url);
    (postgres, rabbitmq)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_worker_may_be_killed_in_the_middle_of_20_000_changes() {
    let mut stack = Stack::start().await;
    short_leases(&mut stack);
    // Small turns, so that there is a middle.
    stack.set("sync.batch_rows", 500);
    stack.set("sync.atomic_rows", 500);
    stack.set("sync.turn_rows", 1000);
    let tenancy = tenant(&stack).await;
    let mut workers = stack.start_workers().await;
    let mut load = Load::start(stack.internal().url(), tenancy);
    load.reached(4).await;
    workers.sequencer.kill9();
    workers.sequencer.launch_again();
    load.reached(8).await;
    workers.poller.kill9();
    workers.poller.launch_again();
    load.reached(12).await;
    let target = stack.external(0).url();
    eventually(SOON, "the first rows", async || {
        let count = ask(target, "select count(*) from tenant_sync.users").await?;
        if count == "0" { Err(count) } else { Ok(()) }
    })
    .await;
    workers.sync_worker.kill9();
    workers.sync_worker.launch_again();
    load.finished().await;
    becomes_equal(&stack, tenancy, target).await;
    settled(&stack).await;
}

/// Wherever it dies, the target has all of a turn or nothing of it, and the next worker goes on from there.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_worker_may_die_at_any_step() {
    let mut stack = Stack::start().await;
    short_leases(&mut stack);
    // The slot of a session that died with its worker is free only when its heartbeat is too old.
    stack.set("sync.target_connections", 9);
    let tenancy = tenant(&stack).await;
    let (_sequencer, _poller) = tokio::join!(stack.sequencer().start(), stack.poller().start());
    let (inside, outside) = (stack.internal(), stack.external(0).url());
    for point in ["sync.after_lock", "sync.after_write", "sync.before_commit", "sync.before_finish"] {
        let before = ask(outside, "select count(*) from tenant_sync.users").await.unwrap_or("0".into());
        inside.sql(&add_users(tenancy, 300, point)).await;
        let mut dying = stack.sync_worker().failpoint(format!("{point}=abort")).spawn();
        let status = dying.wait_exit(SOON).await;
        assert!(!status.success(), "{point}: it did not die");
        let after = ask(outside, "select count(*) from tenant_sync.users").await.unwrap_or("0".into());
        let all = ask(inside.url(), r#"select count(*) from "ProjectUser""#).await.expect("answers");
        let expected = if point == "sync.before_finish" { all } else { before };
        assert_eq!(after, expected, "{point}: a turn is whole or not at all");
        let _successor = stack.sync_worker().start().await;
        becomes_equal(&stack, tenancy, outside).await;
        settled(&stack).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poller_may_die_before_and_after_it_publishes() {
    let mut stack = Stack::start().await;
    short_leases(&mut stack);
    let tenancy = tenant(&stack).await;
    let (_sequencer, _sync_worker) = tokio::join!(stack.sequencer().start(), stack.sync_worker().start());
    for point in ["poller.before_publish", "poller.after_publish"] {
        stack.internal().sql(&add_users(tenancy, 300, point)).await;
        let mut dying = stack.poller().failpoint(format!("{point}=abort")).spawn();
        assert!(!dying.wait_exit(SOON).await.success(), "{point}: it did not die");
        let _successor = stack.poller().start().await;
        becomes_equal(&stack, tenancy, stack.external(0).url()).await;
        settled(&stack).await;
    }
}

/// With leases of half a minute: a successor that goes on at once was given the work back.
#[tokio::test(flavor = "multi_thread")]
async fn workers_that_are_stopped_give_back_what_they_hold() {
    let mut stack = Stack::start().await;
    stack.set("sync.batch_rows", 500);
    stack.set("sync.atomic_rows", 500);
    stack.set("sync.turn_rows", 1000);
    let tenancy = tenant(&stack).await;
    let mut workers = stack.start_workers().await;
    let (inside, outside) = (stack.internal().url(), stack.external(0).url());
    let mut load = Load::start(inside, tenancy);
    load.reached(4).await;
    workers.sequencer.terminate().await;
    workers.sequencer.launch_again();
    load.reached(8).await;
    workers.poller.terminate().await;
    workers.poller.launch_again();
    load.reached(10).await;
    workers.sync_worker.terminate().await;
    let held = r#"select (select count(*) from "OutgoingRequest" where "runningSince" is not null),
                         (select count(*) from "TargetSession")"#;
    assert_eq!(ask(inside, held).await.as_deref(), Ok("0|0"), "a row or a session's slot is still held");
    workers.sync_worker.launch_again();
    load.finished().await;
    let changed = std::time::Instant::now();
    becomes_equal(&stack, tenancy, outside).await;
    settled(&stack).await;
    assert!(changed.elapsed() < Duration::from_secs(25), "somebody waited for a lease");
}

/// The target hangs in the middle of a turn: the worker stops in time all the same, and holds nothing afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_worker_stops_although_a_target_hangs() {
    let stack = Stack::start().await;
    let proxy = Proxy::for_url(stack.external(0).url()).await;
    let tenant = Tenant::create(&stack).await;
    tenant.target_at(&proxy.url(stack.external(0).url())).add().await;
    let mut workers = stack.start_workers().await;
    becomes_equal(&stack, tenant.id(), stack.external(0).url()).await;
    settled(&stack).await;
    proxy.hold_answers();
    stack.internal().sql(&add_users(tenant.id(), 10, "user")).await;
    let running = r#"select count(*) from "OutgoingRequest" where "runningSince" is not null"#;
    answers(stack.internal().url(), running, "1").await;
    workers.sync_worker.terminate().await;
    answers(stack.internal().url(), running, "0").await;
    answers(stack.internal().url(), r#"select count(*) from "TargetSession""#, "0").await;
    proxy.cut_connections();
    proxy.pass();
    workers.sync_worker.launch_again();
    becomes_equal(&stack, tenant.id(), stack.external(0).url()).await;
    settled(&stack).await;
}

/// Neither server of ours answers any more: nothing can be given back, and workers stop in time all the same.
#[tokio::test(flavor = "multi_thread")]
async fn workers_stop_although_nobody_answers_them() {
    let mut stack = Stack::start().await;
    short_leases(&mut stack);
    let (postgres, rabbitmq) = behind_proxies(&mut stack).await;
    let tenancy = tenant(&stack).await;
    let mut workers = stack.start_workers().await;
    allow_lost_servers(&mut workers);
    becomes_equal(&stack, tenancy, stack.external(0).url()).await;
    postgres.hold();
    rabbitmq.hold();
    stack.internal().sql(&add_users(tenancy, 10, "user")).await;
    tokio::join!(workers.sequencer.terminate(), workers.poller.terminate(), workers.sync_worker.terminate());
    for proxy in [&postgres, &rabbitmq] {
        proxy.cut_connections();
        proxy.pass();
    }
    for worker in [&mut workers.sequencer, &mut workers.poller, &mut workers.sync_worker] {
        worker.launch_again();
    }
    becomes_equal(&stack, tenancy, stack.external(0).url()).await;
    settled(&stack).await;
}

/// Somebody holds the tables that workers look after in the background: their upkeep hangs when they are asked to stop.
#[tokio::test(flavor = "multi_thread")]
async fn workers_stop_although_their_upkeep_hangs() {
    let stack = Stack::start().await;
    let mut workers = stack.start_workers().await;
    let holder = stack.internal().connect().await;
    holder
        .batch_execute(r#"begin; lock table "WorkerHeartbeat", "TargetSession", "ExternalDatabase" in access exclusive mode"#)
        .await
        .expect("locks");
    let waiting = r#"select count(distinct a.application_name) filter (where l.relation = '"WorkerHeartbeat"'::regclass),
                            count(*) filter (where l.relation = '"TargetSession"'::regclass) > 0,
                            count(*) filter (where l.relation = '"ExternalDatabase"'::regclass) > 0
                     from pg_locks l join pg_stat_activity a using (pid)
                     where not l.granted and l.database = (select oid from pg_database where datname = current_database())"#;
    answers(stack.internal().url(), waiting, "3|t|t").await;
    tokio::join!(workers.sequencer.terminate(), workers.poller.terminate(), workers.sync_worker.terminate());
    holder.batch_execute("rollback").await.expect("lets go");
}

/// The lease of a running job is lost (its worker could not reach the database for too long): the job ends, and
/// the slot of its session is free again although the worker lives on.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_loses_its_lease_frees_its_slot() {
    let mut stack = Stack::start().await;
    short_leases(&mut stack);
    stack.set("sync.target_connections", 1);
    let tenancy = tenant(&stack).await;
    let hold = stack.hold("sync.after_write@1");
    let (_sequencer, _poller) = tokio::join!(stack.sequencer().start(), stack.poller().start());
    stack.internal().sql(&add_users(tenancy, 10, "user")).await;
    let _worker = stack.sync_worker().failpoint(hold.failpoint()).start().await;
    hold.reached().await;
    stack.internal().sql(r#"update "OutgoingRequest" set "claim" = "claim" + 1, "dueAt" = now()"#).await;
    becomes_equal(&stack, tenancy, stack.external(0).url()).await;
    settled(&stack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_start_before_their_servers() {
    let mut stack = Stack::start().await;
    let (postgres, rabbitmq) = behind_proxies(&mut stack).await;
    postgres.refuse();
    rabbitmq.refuse();
    let tenancy = tenant(&stack).await;
    stack.internal().sql(&add_users(tenancy, 10, "user")).await;
    let mut workers = ["sequencer", "poller", "sync-worker"].map(|program| {
        stack.worker(program).allow("is not there yet, waiting for it").allow("lost RabbitMQ").spawn()
    });
    for worker in &workers {
        let logs = worker.logs();
        let wait = "is not there yet, waiting for it";
        eventually(SOON, wait, async || if logs.matching(wait).is_empty() { Err("no line") } else { Ok(()) })
            .await;
    }
    postgres.pass();
    for worker in &workers[1..] {
        let logs = worker.logs();
        let wait = "lost RabbitMQ";
        eventually(SOON, wait, async || if logs.matching(wait).is_empty() { Err("no line") } else { Ok(()) })
            .await;
    }
    rabbitmq.pass();
    for worker in &mut workers {
        worker.wait_ready().await;
    }
    becomes_equal(&stack, tenancy, stack.external(0).url()).await;
    settled(&stack).await;
}

/// The road to a server is gone for a while; what workers hold and write meanwhile is found again.
#[tokio::test(flavor = "multi_thread")]
async fn connections_of_ours_may_hang_and_break() {
    let mut stack = Stack::start().await;
    short_leases(&mut stack);
    let (postgres, rabbitmq) = behind_proxies(&mut stack).await;
    let tenancy = tenant(&stack).await;
    let mut workers = stack.start_workers().await;
    allow_lost_servers(&mut workers);
    let mut load = Load::start(stack.internal().url(), tenancy);
    load.reached(5).await;
    postgres.cut_connections();
    load.reached(10).await;
    rabbitmq.cut_connections();
    load.reached(15).await;
    postgres.hold_answers();
    load.finished().await;
    postgres.cut();
    postgres.pass();
    let target = stack.external(0).url();
    eventually(HEALED, "the target", async || equal(stack.internal().url(), tenancy, target).await).await;
    settled(&stack).await;
    answers(stack.internal().url(), r#"select "consecutiveFailures" from "ExternalDatabase""#, "0").await;
}
