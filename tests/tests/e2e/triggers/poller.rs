//! What the poller makes of requests: one message a destination, and nothing is lost by a purge.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tenant_sync_core::db::Internal;
use tenant_sync_core::outbox::{self, ClaimLimits};
use tenant_sync_core::queue::{self, Broker, delivery_job, names::Queue};
use tenant_sync_core::worker::Fusebox;
use tenant_sync_poller::{Place as Sweep, Poller, Tick, maintain};
use tenant_sync_tests::wait::eventually;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::kit::{ONE, Place, user};

const SOON: Duration = Duration::from_secs(30);

/// A poller to be ticked by hand.
struct Manual {
    poller: Poller,
    internal: Internal,
    _stop: DropGuard,
}

async fn poller(place: &Place, lease: Duration) -> Manual {
    let mut config = place.stack.config();
    config.poller.claim_lease = lease;
    let (publisher, link) = queue::publisher(Broker::new(&config.rabbitmq, "test").expect("broker"));
    let stop = CancellationToken::new();
    tokio::spawn(link.run(stop.clone()));
    eventually(
        SOON,
        "the publisher is connected",
        async || if publisher.is_up() { Ok(()) } else { Err("not yet") },
    )
    .await;
    let internal = Internal::new(&config.database, "test").expect("internal");
    let fusebox = Arc::new(Fusebox::new(internal.clone()));
    let poller = Poller::new(&config, internal.clone(), fusebox, publisher);
    Manual { poller, internal, _stop: stop.drop_guard() }
}

impl Manual {
    /// Ticks, and says how many messages were published.
    async fn tick(&mut self) -> usize {
        match self.poller.tick().await.expect("a tick") {
            Tick::Claimed(handed) => handed.published,
            _ => 0,
        }
    }
}

async fn count(place: &Place, kind: &str) -> String {
    place.value(&format!(r#"select count(*) from "OutgoingRequest" where kind = '{kind}'"#)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_requests_of_one_destination_are_one_message() {
    let place = Place::start().await;
    let trigger = place.trigger(&["--all", "--table", "users", "--on", "insert"]).await;
    place
        .sql(&format!(r#"insert into "ProjectUser" ("tenancyId", "displayName") select '{ONE}', 'u' from generate_series(1, 10000)"#))
        .await;
    place.sql(&user(ONE, 1, "one more")).await;
    let mut manual = poller(&place, Duration::from_secs(30)).await;
    assert_eq!(manual.tick().await, 1);
    assert_eq!(
        (count(&place, "http").await, count(&place, "delivery").await, count(&place, "deliveryAsk").await),
        ("10001".into(), "1".into(), "0".into())
    );
    assert_eq!(manual.tick().await, 0, "it is queued");
    let vhost = place.stack.vhost();
    assert_eq!(vhost.ready_messages(Queue::Requests.name()).await, Some(1));
    let body = vhost.take_message(Queue::Requests.name()).await.expect("a message");
    let job = delivery_job::decode(&body, &lapin::BasicProperties::default()).expect("readable");
    assert_eq!(job.destination_id.to_string(), trigger);
    // More for it while it is queued raises the counter alone.
    place.sql(&user(ONE, 2, "more")).await;
    assert_eq!(manual.tick().await, 0);
    assert_eq!(
        place.value(r#"select counter || ' ' || claim from "OutgoingRequest" where kind = 'delivery'"#).await,
        "1 1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purged_queue_loses_nothing() {
    let place = Place::start().await;
    place
        .sql("select enqueue_http_request('https://a.example'), enqueue_http_request('https://b.example')")
        .await;
    let mut manual = poller(&place, Duration::from_secs(2)).await;
    assert_eq!(manual.tick().await, 2);
    assert_eq!(
        place.value(r#"select string_agg(origin, ' ' order by origin) from "HttpDestination""#).await,
        "https://a.example:443 https://b.example:443"
    );
    let vhost = place.stack.vhost();
    vhost.management().purge_queue(vhost.name(), Queue::Requests.name()).await.expect("purges");
    let mut published = 0;
    eventually(SOON, "the claims lapse and are published again", async || {
        published += manual.tick().await;
        if published >= 2 { Ok(()) } else { Err("not yet") }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_due_waits_and_a_back_off_is_not_shortened() {
    let place = Place::start().await;
    place
        .sql("select enqueue_http_request('https://a.example', options => jsonb_build_object('not_before', now() + interval '1 hour'))")
        .await;
    let mut manual = poller(&place, Duration::from_secs(30)).await;
    assert_eq!(manual.tick().await, 0);
    assert_eq!(place.value(r#"select "dueAt" > now() + interval '50 minutes' from "OutgoingRequest" where kind = 'delivery'"#).await, "t");
    // Something sooner brings it forward, but not before the breaker allows a probe.
    place.sql(r#"update "HttpDestination" set "state" = 'broken', "nextAttemptAt" = now() + interval '10 minutes'"#).await;
    place.sql("select enqueue_http_request('https://a.example')").await;
    assert_eq!(manual.tick().await, 0);
    assert_eq!(
        place.value(r#"select "dueAt" between now() + interval '9 minutes' and now() + interval '10 minutes' from "OutgoingRequest" where kind = 'delivery'"#).await,
        "t"
    );
    place.sql(r#"update "HttpDestination" set "nextAttemptAt" = null"#).await;
    place.sql("select enqueue_http_request('https://a.example')").await;
    assert_eq!(manual.tick().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_trigger_sends_nothing_and_a_switch_stops_all() {
    let place = Place::start().await;
    let trigger = place.trigger(&["--all", "--table", "users", "--on", "insert"]).await;
    place.sql(&user(ONE, 1, "a")).await;
    place.stack.cli().json(&["trigger", "pause", &trigger]).await;
    place.sql(&user(ONE, 2, "b")).await;
    assert_eq!(count(&place, "http").await, "1", "a paused trigger makes no events");
    let mut manual = poller(&place, Duration::from_secs(30)).await;
    assert_eq!(manual.tick().await, 0);
    maintain(&manual.internal, &place.stack.config(), &mut Sweep::default()).await.expect("maintain");
    assert_eq!(manual.tick().await, 0);
    assert_eq!(count(&place, "http").await, "1", "what waits goes on waiting");
    place.stack.cli().json(&["fusebox", "set", "requests=off"]).await;
    place.stack.cli().json(&["trigger", "resume", &trigger]).await;
    let mut off = poller(&place, Duration::from_secs(30)).await;
    assert_eq!(off.tick().await, 0);
    place.stack.cli().json(&["fusebox", "set", "requests=on"]).await;
    let mut on = poller(&place, Duration::from_secs(30)).await;
    assert_eq!(on.tick().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_finds_what_nobody_asked_for_and_orphans_go() {
    let place = Place::start().await;
    let trigger = place.trigger(&["--tenancy", ONE, "--table", "users", "--on", "insert"]).await;
    place.sql(&user(ONE, 1, "a")).await;
    place.sql(r#"delete from "OutgoingRequest" where kind = 'deliveryAsk'"#).await;
    let mut manual = poller(&place, Duration::from_secs(30)).await;
    assert_eq!(manual.tick().await, 0);
    let config = place.stack.config();
    assert_eq!(maintain(&manual.internal, &config, &mut Sweep::default()).await.expect("maintain").woken, 1);
    assert_eq!(manual.tick().await, 1);
    assert_eq!(maintain(&manual.internal, &config, &mut Sweep::default()).await.expect("maintain").woken, 0);
    place.sql(&format!(r#"delete from "HttpTrigger" where "id" = '{trigger}'"#)).await;
    maintain(&manual.internal, &config, &mut Sweep::default()).await.expect("maintain");
    assert_eq!(count(&place, "http").await, "0");
}

/// A claim of syncs and a fold cost what is pending, whatever waits on the other road, also under a held snapshot.
#[tokio::test(flavor = "multi_thread")]
async fn both_roads_share_a_table_and_no_index_scan() {
    let place = Place::start().await;
    place.trigger(&["--all", "--table", "users", "--on", "insert", "--max-events", "100000"]).await;
    let holder = place.stack.internal().connect().await;
    holder.batch_execute("begin isolation level repeatable read; select 1").await.expect("a held snapshot");
    place
        .sql(&format!(r#"insert into "ProjectUser" ("tenancyId", "displayName") select '{ONE}', 'u' from generate_series(1, 20000)"#))
        .await;
    let mut manual = poller(&place, Duration::from_secs(30)).await;
    for _ in 0..300 {
        place.sql("select enqueue_http_request('https://a.example')").await;
    }
    manual.tick().await;
    place.sql(r#"analyze "OutgoingRequest""#).await;
    let client = place.stack.internal().connect().await;
    let claim = r#"explain (analyze, buffers, format json)
        select id from "OutgoingRequest" where kind = 'sync' and lane = 'live' and "dueAt" >= '-infinity' and "dueAt" <= now()
        order by "dueAt" limit 1000 for update skip locked"#;
    let fold = |from: &str| {
        format!(
            r#"explain (analyze, buffers, format json) select id from "OutgoingRequest"
               where kind = 'deliveryAsk' and "askedBy" >= '{from}'::xid8 order by "askedBy" limit 5000 for update skip locked"#
        )
    };
    let pages = async |text: &str| -> (i64, String) {
        let plan: serde_json::Value = client.query_one(text, &[]).await.expect("a plan").get(0);
        let top = &plan[0]["Plan"];
        (
            top["Shared Hit Blocks"].as_i64().expect("hits")
                + top["Shared Read Blocks"].as_i64().expect("reads"),
            plan.to_string(),
        )
    };
    let (of_claim, plan) = pages(claim).await;
    assert!(of_claim <= 5 && plan.contains("OutgoingRequest_sync_"), "{of_claim} pages: {plan}");
    let session = manual.internal.get().await.expect("session");
    let next = outbox::fold_delivery_asks(&session, 0, 5000).await.expect("fold").next_from;
    let (of_fold, plan) = pages(&fold(&next.to_string())).await;
    assert!(of_fold <= 5 && plan.contains("OutgoingRequest_delivery_asks"), "{of_fold} pages: {plan}");
    let limits = ClaimLimits { batch: 1000, max_queued: 1000, lease: Duration::from_secs(30) };
    let found = outbox::claim_deliveries(&session, limits, SystemTime::UNIX_EPOCH).await.expect("claim");
    assert!(found.claims.is_empty(), "both destinations are queued");
    assert_eq!(
        place.value(r#"select count(*) from "OutgoingRequest" where kind = 'http' and claim > 0"#).await,
        "0"
    );
}

/// An ask that commits after later ones were folded is not behind the place from which the next fold looks.
#[tokio::test(flavor = "multi_thread")]
async fn an_ask_of_a_long_transaction_is_folded_too() {
    let place = Place::start().await;
    let slow = place.stack.internal().connect().await;
    slow.batch_execute("begin; select enqueue_http_request('https://slow.example')")
        .await
        .expect("an open transaction");
    let mut manual = poller(&place, Duration::from_secs(30)).await;
    for _ in 0..3 {
        place.sql("select enqueue_http_request('https://quick.example')").await;
        manual.tick().await;
    }
    assert_eq!(count(&place, "deliveryAsk").await, "0");
    slow.batch_execute("commit").await.expect("commit");
    assert_eq!(manual.tick().await, 1);
    assert_eq!(count(&place, "deliveryAsk").await, "0");
}
