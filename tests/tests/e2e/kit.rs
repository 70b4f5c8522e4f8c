//! The test kit itself: what the other suites rely on.

use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use tenant_sync_tests::broker::PrivateBroker;
use tenant_sync_tests::cluster::{Options, PrivateCluster};
use tenant_sync_tests::database::{Database, connect, rows, try_connect};
use tenant_sync_tests::proxy::Proxy;
use tenant_sync_tests::services::Services;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::template::Template;
use tenant_sync_tests::vhost::Vhost;
use tenant_sync_tests::wait::eventually;

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn two_stacks_share_nothing() {
    let (a, b) = tokio::join!(Stack::plan().externals(2).start(), Stack::start());
    let project = r#"insert into "Project"("id") values ('p')"#;
    a.internal().sql(project).await;
    assert_eq!(a.internal().value(r#"select count(*) from "Project""#).await, "1");
    assert_eq!(b.internal().value(r#"select count(*) from "Project""#).await, "0");

    a.external(0).sql("create table here(x int)").await;
    for other in [a.external(1), b.external(0)] {
        assert_eq!(other.value("select to_regclass('here') is null").await, "t");
    }

    let connection = a.vhost().connect().await;
    let channel = connection.create_channel().await.expect("a channel");
    channel
        .queue_declare("q".into(), QueueDeclareOptions::default(), FieldTable::default())
        .await
        .expect("declares");
    assert_eq!((a.vhost().ready_messages("q").await, b.vhost().ready_messages("q").await), (Some(0), None));
}

#[tokio::test]
async fn nothing_is_left_when_a_test_ends() {
    let services = Services::from_env();
    let (internal, external, role, vhost) = {
        let stack = Stack::start().await;
        let role = stack.external(0).role("nosuperuser").await;
        connect(&role.url).await.batch_execute("select 1").await.expect("the role may log in");
        let names = (stack.internal().name(), stack.external(0).name(), stack.vhost().name());
        (names.0.to_owned(), names.1.to_owned(), role.name, names.2.to_owned())
    };
    let left = async |url: &str, query: String| rows(&connect(url).await, &query).await.expect("a query");
    let database = |name: &str| format!("select 1 from pg_database where datname = '{name}'");
    assert!(left(&services.internal_url, database(&internal)).await.is_empty());
    assert!(left(&services.external_urls[0], database(&external)).await.is_empty());
    let roles = format!("select 1 from pg_roles where rolname = '{role}'");
    assert!(left(&services.external_urls[0], roles).await.is_empty());
    let management = Vhost::create(&services).await.management().clone();
    assert!(
        management.queues(&vhost).await.is_err_and(|reason| reason.contains("404")),
        "{vhost} is still there"
    );
}

#[tokio::test]
async fn an_empty_database_is_really_empty() {
    let services = Services::from_env();
    let database = Database::internal(&services.internal_url, Template::Empty).await;
    assert_eq!(
        database.value("select count(*) from pg_class where relnamespace = 'public'::regnamespace").await,
        "0"
    );
}

#[tokio::test]
async fn the_management_api_closes_connections_and_drops_queues() {
    let vhost = Vhost::create(&Services::from_env()).await;
    let (api, name) = (vhost.management(), vhost.name());
    let connection = vhost.connect().await;
    let channel = connection.create_channel().await.expect("a channel");
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("q".into(), durable, FieldTable::default()).await.expect("declares");
    let publish =
        channel.basic_publish("".into(), "q".into(), Default::default(), b"hello", Default::default());
    publish.await.expect("publishes");
    eventually(SOON, "the message", async || {
        if vhost.ready_messages("q").await == Some(1) { Ok(()) } else { Err("not there yet") }
    })
    .await;
    assert_eq!(vhost.take_message("q").await.as_deref(), Some(b"hello".as_slice()));
    api.purge_queue(name, "q").await.expect("purges");

    eventually(SOON, "our connection to be closed", async || {
        api.close_connections(name).await?;
        if connection.status().connected() { Err("it is open".to_owned()) } else { Ok(()) }
    })
    .await;
    api.delete_queue(name, "q").await.expect("deletes");
    assert!(api.queue(name, "q").await.expect("answers").is_none());
}

#[tokio::test]
async fn a_proxy_passes_holds_cuts_and_refuses() {
    let services = Services::from_env();
    let proxy = Proxy::for_url(&services.internal_url).await;
    let url = proxy.url(&services.internal_url);
    let client = connect(&url).await;
    client.batch_execute("select 1").await.expect("passes");
    let before = proxy.counts();
    assert!(
        before.open == 1 && before.opened == 1 && before.to_server > 0 && before.to_client > 0,
        "{before:?}"
    );

    proxy.hold_answers();
    let query = tokio::spawn(async move { (client.batch_execute("select 2").await, client) });
    eventually(SOON, "the request to go through", async || {
        if proxy.counts().to_server > before.to_server { Ok(()) } else { Err("no byte yet") }
    })
    .await;
    assert_eq!(proxy.counts().to_client, before.to_client, "no answer while it is held");
    proxy.pass();
    let (outcome, client) = query.await.expect("the task ends");
    outcome.expect("the answer arrives late");

    proxy.cut();
    eventually(
        SOON,
        "the connection to be cut",
        async || if client.is_closed() { Ok(()) } else { Err("open") },
    )
    .await;
    try_connect(&url).await.map(drop).expect_err("a new connection is closed");
    proxy.refuse();
    eventually(SOON, "new connections to be refused", async || match try_connect(&url).await {
        Err(reason) if reason.contains("refused") => Ok(()),
        Err(reason) => Err(reason),
        Ok(_) => Err("it was accepted".to_owned()),
    })
    .await;
    proxy.pass();
    eventually(SOON, "the proxy to listen again", async || try_connect(&url).await.map(drop)).await;
}

#[tokio::test]
async fn a_slow_proxy_delays_and_paces() {
    let services = Services::from_env();
    let proxy = Proxy::for_url(&services.external_urls[0]).await;
    let client = connect(&proxy.url(&services.external_urls[0])).await;
    proxy.slow(100_000, Duration::from_millis(50));
    let start = std::time::Instant::now();
    client.simple_query("select repeat('x', 20000)").await.expect("arrives");
    let took = start.elapsed();
    // 20 kB at 100 kB/s, and two ways of 50 ms.
    assert!(took >= Duration::from_millis(250), "{took:?}");
}

#[tokio::test]
async fn a_worker_starts_stops_dies_and_comes_back() {
    let stack = Stack::start().await;
    let mut poller = stack.poller().set("poller.poll_interval", "20ms").start().await;
    poller.metrics().await;
    poller.pause();
    poller.resume();
    poller.terminate().await;

    poller.launch_again();
    poller.wait_ready().await;
    poller.kill9();
    assert!(!poller.logs().lines().is_empty(), "it wrote something");
    assert!(poller.logs().unexpected(&[]).is_empty());
}

#[tokio::test]
#[should_panic(expected = "wrote what the test did not expect")]
async fn an_unexpected_line_fails_the_test() {
    let mut stack = Stack::start().await;
    stack.set("database.pool_size", "none");
    let mut poller = stack.poller().spawn();
    assert!(!poller.wait_exit(SOON).await.success(), "it refuses the configuration");
}

#[tokio::test]
async fn an_allowed_line_does_not_fail_the_test() {
    let stack = Stack::start().await;
    let mut poller = stack.poller().set("database.pool_size", "none").allow("database.pool_size").spawn();
    assert!(!poller.wait_exit(SOON).await.success(), "it refuses the configuration");
    let output = stack.cli().run(&["no-such-command"]).await;
    assert_eq!(output.code, Some(2), "{output:?}");
}

#[tokio::test]
async fn a_private_cluster_survives_kill_9_and_can_be_copied() {
    if !PrivateCluster::available() {
        return eprintln!("skipped: this machine has no PostgreSQL server programs");
    }
    let mut cluster = PrivateCluster::start(Options::default().conf("work_mem = '7MB'")).await;
    let client = connect(&cluster.url()).await;
    assert_eq!(rows(&client, "show work_mem").await.expect("a query"), ["7MB"]);
    client.batch_execute("create table t(x int); insert into t values (1)").await.expect("writes");
    let backup = cluster.back_up();

    cluster.kill9();
    try_connect(&cluster.url()).await.map(drop).expect_err("it is down");
    cluster.launch().await;
    let count = async |cluster: &PrivateCluster| {
        rows(&connect(&cluster.url()).await, "select count(*) from t").await.expect("a query").concat()
    };
    assert_eq!(count(&cluster).await, "1", "what was committed is there");

    connect(&cluster.url()).await.batch_execute("insert into t values (2)").await.expect("writes");
    let standby = cluster.standby().await;
    let copy = cluster.clone_now().await;
    connect(&copy.url())
        .await
        .batch_execute("insert into t values (3)")
        .await
        .expect("a clone may be written to");
    connect(&standby.url())
        .await
        .batch_execute("insert into t values (3)")
        .await
        .expect_err("a standby may not");
    cluster.restore(&backup).await;
    assert_eq!(
        (count(&cluster).await, count(&standby).await, count(&copy).await),
        ("1".into(), "2".into(), "3".into())
    );
}

#[tokio::test]
async fn a_private_broker_comes_back_after_kill_9_and_forgets_when_wiped() {
    if !PrivateBroker::available() {
        return eprintln!("skipped: this machine has no RabbitMQ");
    }
    let mut broker = PrivateBroker::start().await;
    let url = broker.amqp_url().to_owned();
    let vhost = Vhost::create_on(&url, broker.management()).await;
    assert!(vhost.connect().await.status().connected());

    broker.kill9();
    broker.management().queues("%2f").await.expect_err("it is down");
    broker.launch().await;
    assert_eq!(broker.amqp_url(), url, "it comes back where it was");
    // What it was told just before it was killed may be lost, so it is told again.
    broker.management().put_vhost(vhost.name()).await.expect("it answers");
    assert!(vhost.connect().await.status().connected());

    broker.wipe();
    broker.launch().await;
    let reason = broker.management().queues(vhost.name()).await.expect_err("it forgot the vhost");
    assert!(reason.contains("404"), "{reason}");
}
