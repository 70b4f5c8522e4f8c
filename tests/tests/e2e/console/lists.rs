//! What pages of triggers and requests cost among a hundred thousand triggers and half a million requests: pages of
//! memory touched. And that a walk from page to page meets each of them once.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tenant_sync_core::db::Internal;
use tenant_sync_core::outbox::{self, RequestFilter, RequestState};
use tenant_sync_core::triggers::{self, TriggerFilter, TriggerStanding};
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::template::Template;
use time::OffsetDateTime;
use uuid::Uuid;

/// Pages of tables and indexes of ours that this session has looked at and not reported yet.
const PAGES: &str = "select coalesce(sum(pg_stat_get_xact_blocks_fetched(c.oid)), 0)::int8 from pg_class c
    where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'i')";

/// A trigger with 150,000 of the requests, and one with a few.
const BUSY: Uuid = Uuid::from_u128(1);
const QUIET: Uuid = Uuid::from_u128(2);

async fn fill(stack: &Stack) {
    let sql = format!(
        r#"insert into "Project" ("id") select 'project-' || n from generate_series(1, 1000) n;
           insert into "Tenancy" ("projectId", "tenantKey") select 'project-' || n, 'key-' || n from generate_series(1, 1000) n;
           insert into "HttpTrigger" ("id", "tenancyId", "events", "url", "secrets", "keyId", "state", "createdAt")
           select case n when 1 then '{BUSY}' when 2 then '{QUIET}' else gen_random_uuid() end, t."id", '{{target.broken}}',
               'https://hooks-' || n % 10 || '.example/' || n, '', 'k', case when n % 50 = 0 then 'paused' else 'active' end,
               now() - n * interval '1 second'
           from generate_series(1, 100000) n join (select row_number() over () as r, "id" from "Tenancy") t on t.r = n % 1000 + 1;
           insert into "HttpDestination" ("id", "triggerId", "state", "createdAt")
           select "id", "id", case when "url" like '%00' then 'broken' else 'ok' end, "createdAt" from "HttpTrigger";
           insert into "OutgoingRequest" (kind, "destinationId", position, "tenancyId", "eventType", body, "dueAt", "createdAt", state, "diedAt")
           select 'http', t."id", n, t."tenancyId", 'target.broken', '{{}}', now() - n % 100000 * interval '1 second',
               now() - interval '2 days', s.state, case s.state when 'dead' then now() - n * interval '1 second' end
           from (select case n % 2 when 0 then '{BUSY}'::uuid else m."id" end as id, n from generate_series(1, 300000) n
                 left join (select row_number() over () as r, "id" from "HttpTrigger") m on m.r = n % 99999 + 1) g
           join "HttpTrigger" t on t."id" = g.id, lateral (select case when n % 3 = 0 then 'dead' else 'pending' end as state) s;
           insert into "HttpAttempt" ("requestId", at, "destinationId", number, outcome, "durationMillis", "tenancyId", "eventType", "createdAt")
           select gen_random_uuid(), now() - n * interval '1 second', case when n % 1000 = 0 then '{QUIET}'::uuid else '{BUSY}' end, 1,
               case when n % 4 = 0 then 'delivered' else 'failed' end, 5, null, 'target.broken', now() - n * interval '1 second'
           from generate_series(1, 200000) n;"#
    );
    stack.internal().sql(&sql).await;
    stack.internal().sql("vacuum analyze").await;
}

#[tokio::test]
async fn pages_cost_what_they_show_among_any_number() {
    let stack = Stack::plan().externals(0).template(Template::Engine).start().await;
    fill(&stack).await;
    let config = stack.config();
    let internal = Internal::new(&config.database, "test").expect("a pool");
    let mut costs: Vec<(String, i64, Duration)> = Vec::new();
    macro_rules! pages {
        ($what:expr, $client:ident, $statement:expr) => {{
            let mut object = internal.get().await.expect("a session");
            let $client = object.transaction().await.expect("a transaction");
            let before: i64 = $client.query_one(PAGES, &[]).await.expect("a count").get(0);
            let began = Instant::now();
            let page = $statement.await.expect("a page");
            let took = began.elapsed();
            let after: i64 = $client.query_one(PAGES, &[]).await.expect("a count").get(0);
            costs.push(($what.to_string(), after - before, took));
            page
        }};
    }
    let standing = |standing| TriggerFilter { standing: Some(standing), ..TriggerFilter::default() };
    let tenancy_id =
        stack.internal().value(r#"select "tenancyId" from "HttpTrigger" limit 1"#).await.parse().ok();
    let search = |text: &str| TriggerFilter { search: Some(text.to_owned()), ..TriggerFilter::default() };
    for (what, filter) in [
        ("triggers", TriggerFilter::default()),
        ("paused triggers", standing(TriggerStanding::Paused)),
        ("failing triggers", standing(TriggerStanding::Failing)),
        ("active triggers", standing(TriggerStanding::Active)),
        ("triggers of a tenancy", TriggerFilter { tenancy_id, ..TriggerFilter::default() }),
        ("triggers found by their URL", search("hooks-7.example/77")),
        ("triggers found by a project", search("project-77")),
    ] {
        let page = pages!(what, t, triggers::browse(&t, &filter, None, 50));
        assert!(!page.entries.is_empty(), "{what}");
        if let Some(next) = page.next {
            pages!(format!("{what}, next page"), t, triggers::browse(&t, &filter, Some(&next), 50));
        }
    }
    let all = RequestState::ALL;
    let of = |trigger| RequestFilter { trigger_id: Some(trigger), ..RequestFilter::default() };
    let since = |hours| RequestFilter {
        since: Some(OffsetDateTime::now_utc() - time::Duration::hours(hours)),
        ..RequestFilter::default()
    };
    for (what, filter, states) in [
        ("requests", RequestFilter::default(), &all[..]),
        ("waiting requests", RequestFilter::default(), &[RequestState::Pending][..]),
        ("dead requests", RequestFilter::default(), &[RequestState::Dead]),
        ("delivered requests", RequestFilter::default(), &[RequestState::Delivered]),
        ("requests of a busy trigger", of(BUSY), &all),
        ("requests of a quiet trigger", of(QUIET), &all),
        ("requests since an hour", since(1), &all),
    ] {
        let page = pages!(what, t, outbox::list_requests(&t, &filter, states, None, 100));
        if let Some(next) = page.next {
            let next = Some(&next);
            pages!(format!("{what}, next page"), t, outbox::list_requests(&t, &filter, states, next, 100));
        }
    }
    // Nothing is like that: a look at a bounded number says so, and where it goes on.
    let nothing = RequestFilter { event_type: Some("nobody.knows".to_owned()), ..RequestFilter::default() };
    let page =
        pages!("requests that there are none of", t, outbox::list_requests(&t, &nothing, &all, None, 100));
    assert!(page.entries.is_empty() && page.next.is_some());
    are_bounded(&costs, &stack).await;
    every_request_is_met_once(&internal, &stack).await;
}

/// That no page has cost more than it may.
async fn are_bounded(costs: &[(String, i64, Duration)], stack: &Stack) {
    for (what, pages, took) in costs {
        eprintln!("{what}: {pages} pages, {took:?}");
    }
    let whole: i64 = stack
        .internal()
        .value(r#"select sum(relpages)::int8 from pg_class where relname in ('HttpTrigger', 'HttpDestination', 'OutgoingRequest', 'HttpAttempt')"#)
        .await
        .parse()
        .expect("a number");
    for (what, pages, _) in costs {
        let bound = match what.as_str() {
            // 10,000 of each state are looked at, and counts of a trigger go to 1,000.
            "requests that there are none of" => 40_000,
            what if what.contains("since") => 40_000,
            _ => 6_000,
        };
        assert!(*pages <= bound, "{what}: {pages} pages of {whole}: {costs:?}");
    }
}

async fn every_request_is_met_once(internal: &Internal, stack: &Stack) {
    let client = internal.get().await.expect("a session");
    let filter = RequestFilter { trigger_id: Some(QUIET), ..RequestFilter::default() };
    let (mut met, mut after, mut last) = (HashSet::new(), None, None::<OffsetDateTime>);
    loop {
        let page = outbox::list_requests(&client, &filter, &RequestState::ALL, after.as_ref(), 7)
            .await
            .expect("a page");
        for line in page.entries {
            let at = line.due_at.or(line.ended_at).expect("a time");
            assert!(last.is_none_or(|last| at <= last), "the latest first");
            last = Some(at);
            assert!(met.insert((line.id, line.state.as_str())), "{} came twice", line.id);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let there = format!(
        r#"select (select count(*) from "OutgoingRequest" where kind = 'http' and "destinationId" = '{QUIET}')
               + (select count(*) from "HttpAttempt" where outcome = 'delivered' and "destinationId" = '{QUIET}')"#
    );
    assert_eq!(met.len().to_string(), stack.internal().value(&there).await);
}
