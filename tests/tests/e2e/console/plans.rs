//! What a status costs at a hundred thousand tenants: pages of memory touched, and time.

use std::time::{Duration, Instant};

use tenant_sync_core::db::Internal;
use tenant_sync_core::outbox;
use tenant_sync_core::registry::browse::{self, TargetFilter, TargetOrder};
use tenant_sync_core::status::road;
use tenant_sync_tests::console::Console;
use tenant_sync_tests::many;
use tenant_sync_tests::stack::Stack;

const TENANTS: u32 = 100_000;

/// Pages of tables and indexes of ours that this session has looked at and not reported yet.
const PAGES: &str = "select coalesce(sum(pg_stat_get_xact_blocks_fetched(c.oid)), 0)::int8 from pg_class c
    where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'i')";

async fn fill(stack: &Stack) {
    stack.internal().sql(&many::tenants(TENANTS)).await;
    stack.internal().sql("vacuum analyze").await;
}

#[tokio::test]
async fn a_status_of_a_hundred_thousand_tenants_looks_at_a_bounded_part() {
    let stack = Stack::start().await;
    // Registers what the mappings read.
    let mut sequencer = stack.sequencer().start().await;
    sequencer.terminate().await;
    stack.internal().sql(r#"update "Fusebox" set "sequencerEnabled" = false"#).await;
    fill(&stack).await;

    let config = stack.config();
    let internal = Internal::new(&config.database, "test").expect("a pool");
    let costs = costs(&internal).await;
    println_costs(&costs);
    let mappings = tenant_sync_core::mapping::load(&config).expect("the shipped ones");
    for round in 1..=3 {
        let client = internal.get().await.expect("a session");
        let found =
            browse::targets(&client, &TargetFilter::default(), Some(&middle()), 50).await.expect("a page");
        drop(client);
        let began = Instant::now();
        let read = tenant_sync_core::status::read_of(&internal, &mappings, found.entries, 1_000).await;
        eprintln!("how far 50 targets are, round {round}: {:?}", began.elapsed());
        assert_eq!(read.expect("read").len(), 50);
    }

    let whole: i64 = stack
        .internal()
        .value(r#"select sum(relpages)::int8 from pg_class where relname in ('ExternalDatabase', 'OutgoingRequest', 'ProjectUser', 'SyncState')"#)
        .await
        .parse()
        .expect("a number");
    for (what, pages, _) in &costs {
        // Counts go to 10,000 entries of an index, each at most one page of the table.
        let bound = match *what {
            "outbox" | "longest" | "troubles" | "search" => 12_000,
            "sequencer" => 8_000,
            _ => 2_500,
        };
        assert!(*pages <= bound, "{what}: {pages} pages of {whole}: {costs:?}");
    }

    let console = Console::start(&stack).await;
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..15 {
        let began = Instant::now();
        let status = console.get("…/status?scope=all").await;
        times.push(began.elapsed());
        assert_eq!(status["targets"]["total"]["atLeast"], true);
        let relations = status["sequencer"]["relations"].as_array().expect("a list");
        let users = relations.iter().find(|one| one["relation"] == "ProjectUser").expect("users");
        assert_eq!(users["pending"]["atLeast"], true, "{users}");
    }
    times.sort();
    eprintln!("status of {TENANTS} tenants: median {:?}, worst {:?}", times[7], times[14]);
    assert!(times[7] < Duration::from_secs(1), "{times:?}");
}

fn println_costs(costs: &[(&str, i64, Duration)]) {
    for (what, pages, took) in costs {
        eprintln!("{what}: {pages} pages, {took:?}");
    }
}

/// A place in the middle of all targets.
fn middle() -> browse::TargetCursor {
    browse::TargetCursor {
        place: 0,
        text: String::new(),
        key: outbox::TargetKey {
            tenancy_id: uuid::Uuid::from_u128(u128::MAX / 2),
            database_id: String::new(),
        },
    }
}

/// What each statement looks at, and how long it takes.
async fn costs(internal: &Internal) -> Vec<(&'static str, i64, Duration)> {
    let mut costs: Vec<(&'static str, i64, Duration)> = Vec::new();
    macro_rules! pages {
        ($what:literal, $client:ident, $statement:expr) => {{
            let mut object = internal.get().await.expect("a session");
            let $client = object.transaction().await.expect("a transaction");
            let before: i64 = $client.query_one(PAGES, &[]).await.expect("a count").get(0);
            let began = Instant::now();
            $statement.await.expect($what);
            let took = began.elapsed();
            let after: i64 = $client.query_one(PAGES, &[]).await.expect("a count").get(0);
            costs.push(($what, after - before, took));
        }};
    }
    pages!("sequencer", t, road::sequencing(&t, None));
    pages!("outbox", t, outbox::fill(&t, None));
    pages!("waiting", t, outbox::waiting(&t, 50));
    pages!("longest", t, outbox::waiting_longest(&t, 500));
    pages!("watermarks", t, road::highest_watermarks(&t, 100));
    pages!("targets", t, browse::targets_about(&t));
    pages!("troubles", t, browse::troubles(&t));
    let middle = middle();
    pages!("page", t, browse::targets(&t, &TargetFilter::default(), Some(&middle), 50));
    let broken = TargetFilter {
        state: Some("broken".into()),
        class: Some("unreachable".into()),
        order: TargetOrder::Failures,
        ..TargetFilter::default()
    };
    pages!("broken", t, browse::targets(&t, &broken, None, 50));
    let by_state = TargetFilter { order: TargetOrder::State, ..TargetFilter::default() };
    let within = browse::TargetCursor { text: "broken/passwordRefused".to_owned(), ..middle.clone() };
    pages!("by state", t, browse::targets(&t, &by_state, Some(&within), 50));
    let newest = TargetFilter { order: TargetOrder::Newest, ..TargetFilter::default() };
    pages!("newest", t, browse::targets(&t, &newest, None, 50));
    let search = TargetFilter { search: Some("project-77".into()), ..TargetFilter::default() };
    pages!("search", t, browse::targets(&t, &search, None, 50));
    pages!("tenancies", t, browse::tenancies(&t, Some("key-9"), None, 100));
    costs
}
