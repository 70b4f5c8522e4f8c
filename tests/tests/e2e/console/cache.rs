//! The cache: one loader at a time over all processes, stale values while it runs, no errors kept, a bound on what is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tenant_sync_console::cache::{Cache, CacheError, Cached, Key, STALE_MAX, purge};
use tenant_sync_core::db::Internal;
use tenant_sync_tests::console::Console;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::wait::eventually;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::tenant::{Tenant, age, get};

const MINUTE: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(60);

/// A loader that waits until it is let go, and counts.
#[derive(Clone)]
struct Loader {
    begun: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Loader {
    fn held() -> Self {
        Self { begun: Arc::default(), gate: Arc::new(Semaphore::new(0)) }
    }

    fn open() -> Self {
        Self { begun: Arc::default(), gate: Arc::new(Semaphore::new(1_000)) }
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    async fn has_begun(&self, times: usize) {
        eventually(LONG, "the loader", async || {
            if self.begun() == times { Ok(()) } else { Err(self.begun().to_string()) }
        })
        .await;
    }

    async fn load(self, outcome: Result<Value, String>) -> Result<Value, String> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.expect("open").forget();
        outcome
    }
}

fn key(tenancy_id: Uuid) -> Key {
    Key { namespace: "test", tenancy_id, detail: "a".into() }
}

/// A cache as another process has it: nothing is shared but the database.
fn cache(stack: &Stack) -> Cache<String> {
    Cache::new(Internal::new(&stack.config().database, "test").expect("a pool"))
}

async fn ask(
    cache: &Cache<String>,
    key: Key,
    loader: &Loader,
    outcome: Result<Value, String>,
) -> Result<Cached, CacheError<String>> {
    let loader = loader.clone();
    cache.get_or_load(key, MINUTE, move || loader.load(outcome)).await
}

async fn expire(stack: &Stack, ago: &str) {
    stack.internal().sql(&format!(r#"update "CacheEntry" set "expiresAt" = now() - interval '{ago}', "loadedAt" = now() - interval '{ago}' - interval '1 minute'"#)).await;
}

#[tokio::test]
async fn one_loads_however_many_ask_in_however_many_processes() {
    let stack = Stack::plan().externals(0).start().await;
    let (one, other, id) = (cache(&stack), cache(&stack), Uuid::new_v4());
    let loader = Loader::held();
    let mut asking = Vec::new();
    for n in 0..60 {
        let (cache, loader) = (if n % 2 == 0 { one.clone() } else { other.clone() }, loader.clone());
        asking.push(tokio::spawn(async move { ask(&cache, key(id), &loader, Ok(json!({ "n": 7 }))).await }));
    }
    loader.has_begun(1).await;
    // Longer than a lease: who loads keeps it.
    let until = r#"select "loadingUntil" from "CacheEntry""#;
    let first = stack.internal().value(until).await;
    eventually(LONG, "a renewed lease", async || {
        if stack.internal().value(until).await > first { Ok(()) } else { Err("the first") }
    })
    .await;
    assert_eq!(loader.begun(), 1);
    loader.gate.add_permits(1);
    for one in asking {
        assert_eq!(*one.await.expect("no panic").expect("an answer").value, json!({ "n": 7 }));
    }
    assert_eq!(loader.begun(), 1);
    let again = ask(&other, key(id), &loader, Err("not asked".into())).await.expect("kept");
    assert!(!again.stale && again.age < MINUTE && loader.begun() == 1, "{again:?}");
    // Another tenancy's is another entry.
    loader.gate.add_permits(1);
    ask(&one, key(Uuid::new_v4()), &loader, Ok(json!(2))).await.expect("loaded");
    assert_eq!(loader.begun(), 2);
}

#[tokio::test]
async fn an_expired_value_is_served_while_one_renews_it() {
    let stack = Stack::plan().externals(0).start().await;
    let (one, other, id) = (cache(&stack), cache(&stack), Uuid::new_v4());
    ask(&one, key(id), &Loader::open(), Ok(json!(1))).await.expect("loaded");
    expire(&stack, "30 seconds").await;
    let loader = Loader::held();
    for cache in [&one, &other, &one, &other] {
        let cached = ask(cache, key(id), &loader, Ok(json!(2))).await.expect("at once");
        assert!(
            cached.stale && *cached.value == json!(1) && cached.age >= Duration::from_secs(90),
            "{cached:?}"
        );
    }
    loader.has_begun(1).await;
    loader.gate.add_permits(1);
    eventually(LONG, "the new value", async || {
        let cached = ask(&other, key(id), &loader, Ok(json!(3))).await.expect("a value");
        if !cached.stale && *cached.value == json!(2) { Ok(()) } else { Err(format!("{cached:?}")) }
    })
    .await;
    assert_eq!(loader.begun(), 1);
    // Too old to be served: everybody waits for a new one.
    expire(&stack, &format!("{} seconds", STALE_MAX.as_secs() + 1)).await;
    let cached = ask(&one, key(id), &Loader::open(), Ok(json!(4))).await.expect("loaded");
    assert!(!cached.stale && *cached.value == json!(4), "{cached:?}");
}

#[tokio::test]
async fn a_cache_that_serves_nothing_stale_waits_for_what_is_new() {
    let stack = Stack::plan().externals(0).start().await;
    let (cache, id) = (cache(&stack).with_stale(Duration::ZERO), Uuid::new_v4());
    ask(&cache, key(id), &Loader::open(), Ok(json!(1))).await.expect("loaded");
    expire(&stack, "1 second").await;
    let cached = ask(&cache, key(id), &Loader::open(), Ok(json!(2))).await.expect("loaded");
    assert!(!cached.stale && *cached.value == json!(2), "{cached:?}");
}

#[tokio::test]
async fn an_error_is_told_to_who_waits_and_kept_nowhere() {
    let stack = Stack::plan().externals(0).start().await;
    let (cache, id) = (cache(&stack), Uuid::new_v4());
    let loader = Loader::open();
    for n in 1..=2 {
        let error = ask(&cache, key(id), &loader, Err("no".into())).await.expect_err("refused");
        assert!(matches!(&error, CacheError::Load(text) if text == "no"), "{error:?}");
        assert_eq!(loader.begun(), n, "each question loads");
        assert_eq!(stack.internal().rows(r#"select * from "CacheEntry""#).await.len(), 0);
    }
    ask(&cache, key(id), &loader, Ok(json!("good"))).await.expect("loaded");
    expire(&stack, "1 second").await;
    let cached = ask(&cache, key(id), &loader, Err("no".into())).await.expect("the old value");
    assert_eq!((&*cached.value, cached.stale), (&json!("good"), true));
    loader.has_begun(4).await;
    let left = r#"select count(*) from "CacheEntry" where "payload" = '"good"' and "loadingBy" is null"#;
    eventually(LONG, "the lease to end", async || {
        if stack.internal().value(left).await == "1" { Ok(()) } else { Err("held") }
    })
    .await;
}

#[tokio::test]
async fn who_dies_while_loading_is_followed_by_another() {
    let stack = Stack::plan().externals(0).start().await;
    let (cache, id) = (cache(&stack), Uuid::new_v4());
    stack
        .internal()
        .sql(&format!(
            r#"insert into "CacheEntry" ("namespace", "cacheKey", "loadingBy", "loadingUntil")
        values ('test', '{id}/a', gen_random_uuid(), now() + interval '1 hour')"#
        ))
        .await;
    let loader = Loader::open();
    let asking = tokio::spawn({
        let (cache, loader) = (cache.clone(), loader.clone());
        async move { ask(&cache, key(id), &loader, Ok(json!(1))).await }
    });
    let (second, asked) = (cache.clone(), loader.clone());
    drop(tokio::spawn(async move { ask(&second, key(id), &asked, Ok(json!(1))).await }));
    assert_eq!(loader.begun(), 0, "somebody has the lease");
    stack.internal().sql(r#"update "CacheEntry" set "loadingUntil" = now()"#).await;
    assert_eq!(*asking.await.expect("no panic").expect("loaded").value, json!(1));
    assert_eq!(loader.begun(), 1);
}

#[tokio::test]
async fn a_time_to_live_that_cannot_be_used_is_refused_before_anything_is_loaded() {
    let stack = Stack::plan().externals(0).start().await;
    let cache = cache(&stack);
    let loader = Loader::open();
    for ttl in [Duration::ZERO, Duration::from_millis(10), Duration::from_secs(86_401), Duration::MAX] {
        let load = loader.clone();
        let outcome = cache.get_or_load(key(Uuid::new_v4()), ttl, move || load.load(Ok(json!(1)))).await;
        assert!(matches!(outcome, Err(CacheError::Ttl(_))), "{ttl:?}: {outcome:?}");
    }
    assert_eq!(loader.begun(), 0);
    assert_eq!(stack.internal().rows(r#"select * from "CacheEntry""#).await.len(), 0);
}

#[tokio::test]
async fn what_is_no_longer_served_is_purged_in_batches() {
    let stack = Stack::plan().externals(0).start().await;
    let internal = Internal::new(&stack.config().database, "test").expect("a pool");
    stack.internal().sql(r#"insert into "CacheEntry" ("namespace", "cacheKey", "payload", "loadedAt", "expiresAt")
        select 'old', n::text, '1', now(), now() - interval '1 hour' from generate_series(1, 12000) n;
        insert into "CacheEntry" ("namespace", "cacheKey", "payload", "loadedAt", "expiresAt")
        values ('stale', '1', '1', now(), now() - interval '1 minute'), ('fresh', '1', '1', now(), now() + interval '1 minute');
        insert into "CacheEntry" ("namespace", "cacheKey", "expiresAt", "loadingUntil") values ('loading', '1', now() - interval '1 hour', now() + interval '1 minute')"#).await;
    assert_eq!(purge(&internal).await.expect("purged"), 10_000, "a round has a bound");
    assert_eq!(purge(&internal).await.expect("purged"), 2_000);
    assert_eq!(
        stack.internal().rows(r#"select "namespace" from "CacheEntry" order by 1"#).await,
        ["fresh", "loading", "stale"]
    );
}

#[tokio::test]
async fn two_consoles_work_metrics_out_once_and_say_how_old_they_are() {
    let tenant = Tenant::start().await;
    let other = Console::start(&tenant.stack).await;
    let path = format!("/api/v1/tenancies/{}/metrics", tenant.id);
    // The loader is held: it reads this table.
    let held = tenant.stack.internal().connect().await;
    held.batch_execute(r#"begin; lock table "AuthMethod" in access exclusive mode"#).await.expect("a lock");
    let waiting = r#"select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database() and query like '%"AuthMethod"%'"#;
    let release = async {
        let loads = async || tenant.stack.internal().value(waiting).await;
        eventually(LONG, "the loader", async || if loads().await == "1" { Ok(()) } else { Err("nobody") })
            .await;
        held.batch_execute("commit").await.expect("commit");
    };
    let (one, two) = (&tenant.console, &other);
    let (a, b, c, d, ()) =
        tokio::join!(get(one, &path), get(two, &path), get(one, &path), get(two, &path), release);
    let mut computed = Vec::new();
    for reply in [a, b, c, d] {
        assert!(reply.status == 200 && age(&reply).is_some(), "{reply:?}");
        computed.push(reply.body["computedAt"].clone());
    }
    computed.dedup();
    assert_eq!(computed.len(), 1, "one of them worked it out: {computed:?}");
    tenant.sql(r#"update "CacheEntry" set "loadedAt" = now() - interval '42 seconds' where "loadedAt" is not null"#).await;
    let seconds = age(&tenant.get("metrics").await).expect("an age");
    assert!((42..60).contains(&seconds), "{seconds}");
}
