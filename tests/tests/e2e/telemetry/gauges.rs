//! The gauges about the whole installation tell the truth, also when workers are gone.

use tenant_sync_tests::endpoint::Endpoint;
use tenant_sync_tests::receiver::Receiver;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::{SOON, Tenant};
use tenant_sync_tests::wait::eventually;

fn undelivered(state: &str) -> String {
    format!("tenant_sync_oldest_undelivered_seconds{{state=\"{state}\"}}")
}

#[tokio::test]
async fn a_change_ages_without_a_sequencer_and_without_a_sync_worker() {
    let stack = Stack::start().await;
    let mut workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    target.caught_up().await;
    workers.poller.shows(&undelivered("ok"), |age| age < 1.0).await;
    workers.poller.shows("tenant_sync_targets{state=\"ok\"}", |count| count == 1.0).await;
    workers.poller.shows("tenant_sync_workers{worker=\"sync-worker\"}", |count| count == 1.0).await;

    workers.sequencer.kill9();
    let began = std::time::Instant::now();
    tenant.user("Ada").await;
    workers.poller.shows(&undelivered("unsequenced"), |age| age > 3.0).await;
    let age = workers.poller.series(&undelivered("unsequenced")).await.expect("a gauge");
    // Known to the time between two looks, however long ago the last pass was.
    assert!(age <= began.elapsed().as_secs_f64() + 20.0, "{age} s, after {:?}", began.elapsed());

    workers.sync_worker.kill9();
    workers.sequencer.launch_again();
    workers.sequencer.wait_ready().await;
    workers.sequencer.shows(&undelivered("unsequenced"), |age| age == 0.0).await;
    workers.sequencer.shows(&undelivered("ok"), |age| age > 3.0).await;
    // Nobody has to notice that it is gone: 30 s after its last heartbeat it counts as that.
    workers.poller.shows("tenant_sync_workers{worker=\"sync-worker\"}", |count| count == 0.0).await;
    let last_seen = "tenant_sync_heartbeat_age_seconds{worker=\"sync-worker\"}";
    workers.poller.shows(last_seen, |age| age >= 30.0).await;

    workers.sync_worker.launch_again();
    target.caught_up().await;
    workers.poller.shows(&undelivered("ok"), |age| age < 1.0).await;
}

#[tokio::test]
async fn a_broken_target_and_a_busy_one_are_told_apart() {
    let stack = Stack::start().await;
    let mut workers = stack.start_workers().await;
    workers.sync_worker.allow("the target failed");
    workers.sync_worker.allow("the target is broken");
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    target.caught_up().await;
    // It refuses from now on, whatever is tried.
    target.sql("revoke all on all tables in schema tenant_sync from public; drop schema tenant_sync cascade; create schema tenant_sync; create table tenant_sync.users (mine int)").await;
    tenant.user("Ada").await;
    workers.sequencer.shows("tenant_sync_targets{state=\"ok\"}", |count| count == 0.0).await;
    workers.sequencer.shows(&undelivered("ok"), |age| age == 0.0).await;
    let failing = async || {
        let mut oldest = 0.0_f64;
        for state in ["retrying", "broken", "refused"] {
            oldest = oldest.max(workers.sequencer.series(&undelivered(state)).await.unwrap_or(0.0));
        }
        oldest
    };
    eventually(SOON, "the age of what it lacks", async || {
        let age = failing().await;
        if age > 1.0 { Ok(()) } else { Err(age.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn switches_parked_rows_and_waiting_wishes_are_seen_by_whoever_lives() {
    let stack = Stack::start().await;
    let mut sequencer = stack.sequencer().start().await;
    sequencer.allow("rows refused their sequence id");
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    stack.cli().json(&["fusebox", "set", "poller=off"]).await;
    sequencer.shows("tenant_sync_switch_on{switch=\"poller\"}", |on| on == 0.0).await;
    sequencer.shows("tenant_sync_switch_on{switch=\"sequencer\"}", |on| on == 1.0).await;

    target.ask().await;
    stack.internal().sql(&format!("select enqueue_tenant_sync('{}')", tenant.id())).await;
    sequencer.shows("tenant_sync_outbox_asks", |count| count >= 1.0).await;

    stack
        .internal()
        .sql(
            r#"create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
               create trigger refuse before update of "sequenceId" on "ProjectUser"
               for each row when (new."displayName" = 'Bad') execute function refuse()"#,
        )
        .await;
    tenant.user("Bad").await;
    sequencer.shows("tenant_sync_parked_rows", |count| count == 1.0).await;
    // A row that refuses is told as that, and not as a sequencer that is behind.
    sequencer.shows(&undelivered("unsequenced"), |age| age == 0.0).await;
}

#[tokio::test]
async fn a_request_ages_without_a_request_worker_and_without_a_poller() {
    let mut stack = Stack::plan().externals(0).start().await;
    // So that what nobody takes is claimed in vain again and again.
    stack.set("poller.claim_lease", "1s");
    let sequencer = stack.sequencer().start().await;
    let mut poller = stack.poller().start().await;
    let receiver = Receiver::start().await;
    let (first, second) = (
        Endpoint::register(&stack, &receiver.url(), "").await,
        Endpoint::register(&stack, &receiver.url(), "").await,
    );
    let unsent = "tenant_sync_oldest_unsent_seconds{state=\"ok\"}";
    sequencer.shows(unsent, |age| age == 0.0).await;
    first.send(0, 1, 0).await;
    poller.shows(unsent, |age| age > 3.0).await;
    poller.shows("tenant_sync_poller_claimed_total{lane=\"requests\"}", |claims| claims >= 2.0).await;
    // What a paused trigger keeps back does not count; what nobody has taken up at all does.
    poller.kill9();
    let pause = format!(
        r#"update "HttpTrigger" set state = 'paused', "stateReason" = 'a test' where id = '{}'"#,
        first.id
    );
    stack.internal().sql(&pause).await;
    sequencer.shows(unsent, |age| age == 0.0).await;
    second.send(0, 1, 0).await;
    sequencer.shows(unsent, |age| age > 3.0).await;

    poller.launch_again();
    let _worker = stack.request_worker().start().await;
    second.drained(SOON).await;
    sequencer.shows(unsent, |age| age == 0.0).await;
}

/// One look costs what the targets cost, and that is bounded.
#[tokio::test]
async fn a_look_at_ten_thousand_targets_is_cheap() {
    let stack = Stack::start().await;
    stack
        .internal()
        .sql(
            r#"insert into "Project" (id) select 'p' || n from generate_series(1, 10000) n;
               insert into "Tenancy" (id, "projectId") select gen_random_uuid(), 'p' || n from generate_series(1, 10000) n;
               insert into "ExternalDatabase" ("tenancyId", id, state)
               select id, 'main', case when random() < 0.1 then 'broken' else 'ok' end from "Tenancy";
               insert into "SyncState" ("tenancyId", "databaseId", "mappingName", "mappingVersion", "completeAsOf")
               select "tenancyId", id, m, 1, now() from "ExternalDatabase", unnest(array['users', 'contact_channels']) m;
               insert into "OutgoingRequest" (kind, "deduplicationKey", "tenancyId", "databaseId", "createdAt")
               select 'sync', 'sync:' || "tenancyId" || ':main', "tenancyId", id, now() - interval '1 hour'
               from "ExternalDatabase";
               insert into "HttpDestination" (id, origin) select gen_random_uuid(), 'http://h' || n || '.invalid' from generate_series(1, 10000) n;
               insert into "OutgoingRequest" (kind, "destinationId", position, url, "dueAt")
               select 'http', id, nextval('outgoing_request_seq'), origin, now() - interval '1 hour' from "HttpDestination";
               analyze"#,
        )
        .await;
    let sequencer = stack.sequencer().start().await;
    sequencer.shows("tenant_sync_outbox_requests{lane=\"live\",state=\"due\"}", |n| n == 10000.0).await;
    let took = sequencer.series("tenant_sync_observation_duration_seconds").await.expect("a gauge");
    sequencer.shows("tenant_sync_oldest_unsent_seconds{state=\"ok\"}", |age| age >= 3600.0).await;
    eprintln!("a look at 10000 targets and 10000 destinations with a request each took {took:.3} s");
    // On a machine that does much else; what is not linear would take its ten seconds and fail.
    assert!(took < 5.0, "{took} s");
}
