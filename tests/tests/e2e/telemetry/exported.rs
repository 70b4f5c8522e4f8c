//! What workers export is what the catalogue lists: names, kinds, labels and their values.

use std::collections::BTreeMap;

use tenant_sync_core::worker::Kind;
use tenant_sync_core::worker::metrics::catalog::{self, Metric, Shape};
use tenant_sync_tests::console::Console;
use tenant_sync_tests::stack::{Stack, Workers};
use tenant_sync_tests::tenant::{SOON, Tenant};
use tenant_sync_tests::wait::eventually;
use tenant_sync_tests::worker::Worker;

/// A line of the text format, without its value.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
}

pub(super) fn series(text: &str) -> Vec<Series> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (series, _) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let pairs = labels.trim_end_matches('}').split("\",").filter(|pair| !pair.is_empty());
            let labels = pairs.map(|pair| {
                let (label, value) = pair.split_once("=\"").expect("a label");
                (label.to_owned(), value.trim_end_matches('"').to_owned())
            });
            Series { name: name.to_owned(), labels: labels.collect() }
        })
        .collect()
}

fn metric_of(name: &str) -> Option<&'static Metric> {
    let histogram = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| name.strip_suffix(end));
    let find = |name: &str| catalog::ALL.iter().find(|metric| metric.name == name);
    find(name).or_else(|| histogram.and_then(find).filter(|metric| metric.shape == Shape::Histogram))
}

/// Every series is one that the catalogue lists for this kind of worker.
fn check(kind: Kind, text: &str) {
    for Series { name, mut labels } in series(text) {
        let metric = metric_of(&name).unwrap_or_else(|| panic!("{kind} exports {name}, which is not listed"));
        assert!(metric.by.contains(&kind), "{kind} exports {name}, and is not listed there");
        labels.remove("le");
        assert_eq!(labels.len(), metric.labels.len(), "{kind}: {name}{labels:?}");
        for (label, values) in metric.labels {
            let value = labels.get(*label).map(String::as_str).unwrap_or_default();
            assert!(values.all().contains(&value), "{kind}: {name} has {label}={value:?}");
        }
        let help = format!("# HELP {} {}", metric.name, metric.help);
        assert!(text.contains(&help), "{kind}: {name} is not described");
        let shape = format!("# TYPE {} {}\n", metric.name, metric.shape.name());
        assert!(text.contains(&shape), "{kind}: {name} is no {}", metric.shape.name());
    }
}

async fn pages(workers: &Workers, request_worker: &Worker, console: &Console) -> [(Kind, String); 5] {
    [
        (Kind::Sequencer, workers.sequencer.metrics().await),
        (Kind::Poller, workers.poller.metrics().await),
        (Kind::SyncWorker, workers.sync_worker.metrics().await),
        (Kind::RequestWorker, request_worker.metrics().await),
        (Kind::Console, console.worker.metrics().await),
    ]
}

#[tokio::test]
async fn workers_export_what_the_catalogue_lists_and_nothing_else() {
    let stack = Stack::start().await;
    let workers = stack.start_workers().await;
    let request_worker = stack.request_worker().start().await;
    let console = Console::start(&stack).await;
    // Counters are there before anything has happened.
    for (kind, text) in pages(&workers, &request_worker, &console).await {
        for metric in catalog::ALL.iter().filter(|m| m.by.contains(&kind) && m.shape == Shape::Counter) {
            assert!(text.contains(&format!("# TYPE {} counter", metric.name)), "{kind}: {}", metric.name);
        }
        check(kind, &text);
    }

    let tenants = [Tenant::create(&stack).await, Tenant::create(&stack).await];
    for (at, tenant) in tenants.iter().enumerate() {
        let target = tenant.target(stack.external(0)).schema(&format!("t{at}")).add().await;
        target.caught_up().await;
        tenant.user("Ada").await;
        target.caught_up().await;
    }
    eventually(SOON, "every metric to be exported", async || {
        let pages = pages(&workers, &request_worker, &console).await;
        let missing: Vec<_> = catalog::ALL
            .iter()
            .filter(|metric| {
                // What nobody has sent yet has no duration.
                let sent = metric.shape == Shape::Histogram && metric.by == [Kind::RequestWorker];
                let by = pages.iter().filter(|(kind, _)| metric.by.contains(kind) && !sent);
                !by.clone().all(|(_, text)| text.contains(&format!("# TYPE {} ", metric.name)))
            })
            .map(|metric| metric.name)
            .collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?}")) }
    })
    .await;
    for (kind, text) in pages(&workers, &request_worker, &console).await {
        check(kind, &text);
        for tenant in &tenants {
            assert!(!text.contains(&tenant.id().to_string()), "{kind} has series of a tenant");
        }
    }
}

#[tokio::test]
async fn the_lag_of_a_change_is_measured_and_that_of_a_fill_is_not() {
    let stack = Stack::start().await;
    let workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    tenant.users(1, 50).await;
    stack.settled().await;
    let target = tenant.target(stack.external(0)).add().await;
    target.caught_up().await;
    let lag = async || {
        let text = workers.sync_worker.metrics().await;
        let value = |name: &str| {
            let line =
                text.lines().find(|line| line.starts_with(&format!("tenant_sync_lag_seconds_{name} ")));
            line.and_then(|line| line.rsplit_once(' ')).and_then(|(_, value)| value.parse::<f64>().ok())
        };
        (value("count").unwrap_or(0.0), value("sum").unwrap_or(0.0))
    };
    let (before, sum_before) = lag().await;
    assert!(before < 1.0, "a first copy is no change: {before}");

    // The pass has given the id; the target is not written as long as its worker is held.
    let committed = std::time::Instant::now();
    tenant.user("Ada").await;
    target.caught_up().await;
    let visible = committed.elapsed().as_secs_f64();
    eventually(SOON, "the lag to be counted", async || {
        let (count, sum) = lag().await;
        if count < 1.0 {
            return Err("not yet".to_owned());
        }
        // Seen from outside it took at least as long as from pass to commit; a poll interval is added.
        let measured = sum - sum_before;
        assert!(measured > 0.0 && measured <= visible + 0.06, "{measured} s of {visible} s");
        Ok(())
    })
    .await;
}
