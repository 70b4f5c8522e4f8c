//! A real Prometheus scrapes the real workers: every metric that a rule or the dashboard names is there, rules evaluate,
//! and the first alert fires when everything is gone.

use std::time::Duration;

use serde_json::Value;
use tenant_sync_tests::console::Console;
use tenant_sync_tests::pids::project_root;
use tenant_sync_tests::prometheus::{Prometheus, is_installed};
use tenant_sync_tests::receiver::Receiver;
use tenant_sync_tests::stack::{Stack, Workers};
use tenant_sync_tests::tenant::{SOON, Tenant};
use tenant_sync_tests::wait::eventually;

use super::files::names_in;

#[tokio::test]
async fn every_metric_of_rules_and_dashboard_is_scraped_and_the_rules_evaluate() {
    if !is_installed() {
        eprintln!("not tested: prometheus and promtool are not installed (Debian package prometheus)");
        return;
    }
    let stack = Stack::start().await;
    let mut workers = stack.start_workers().await;
    let mut request_worker = stack.request_worker().start().await;
    let mut console = Console::start(&stack).await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    target.caught_up().await;
    let monitoring = project_root().join("deploy/monitoring");
    let rules = super::files::RULES.map(|name| monitoring.join(format!("{name}.yml")));
    let targets = [
        ("sequencer", workers.sequencer.health_address()),
        ("poller", workers.poller.health_address()),
        ("sync-worker", workers.sync_worker.health_address()),
        ("request-worker", request_worker.health_address()),
        ("console", console.worker.health_address()),
    ];
    let prometheus = Prometheus::start(stack.scratch().path(), &targets, &rules).await;
    let receiver = Receiver::start().await;
    plain_http_is_allowed(&stack).await;
    stack.internal().sql(&format!("select enqueue_http_request('{}')", receiver.url())).await;
    for round in 0..20 {
        tenant.user(&format!("user {round}")).await;
        target.caught_up().await;
    }

    let rules = rules.map(|file| std::fs::read_to_string(file).expect("rules")).concat();
    let dashboard = std::fs::read_to_string(monitoring.join("dashboard.json")).expect("dashboard");
    let wanted = names_in(&format!("{rules}{dashboard}"));
    assert!(wanted.len() > 25, "{wanted:?}");
    eventually(SOON, "every metric in Prometheus", async || {
        let known = prometheus.names().await?;
        let missing: Vec<_> = wanted.iter().filter(|name| !known.contains(name)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?}")) }
    })
    .await;

    understands_all_of(&prometheus, &dashboard).await;
    all_is_well(&prometheus).await;
    let lag = prometheus.number("sum(tenant_sync_lag_seconds_count)").await.expect("a number");
    assert!(lag >= 1.0, "{lag}");

    // Those who deliver are gone, and nothing fails: age alone tells.
    let Workers { sequencer, poller, sync_worker } = &mut workers;
    sync_worker.kill9();
    request_worker.kill9();
    tenant.user("nobody brings her").await;
    stack.internal().sql(&format!("select enqueue_http_request('{}')", receiver.url())).await;
    for alert in ["TenantSyncChangesNotDelivered", "TenantSyncRequestsNotDelivered"] {
        sees_what_waits(&prometheus, &rules, alert).await;
    }

    // Nobody is left who could tell: the alert about age begins to count.
    for worker in [sequencer, poller, &mut console.worker] {
        worker.kill9();
    }
    eventually(Duration::from_secs(30), "the first alert", async || {
        let rules = rules_of(&prometheus).await?;
        let first = rules.iter().find(|rule| rule["name"] == "TenantSyncChangesNotDelivered");
        let first = first.ok_or("it is not there")?;
        if first["state"] == "inactive" { Err("inactive".to_owned()) } else { Ok(()) }
    })
    .await;
}

/// Every rule is evaluated, and none sees anything.
async fn all_is_well(prometheus: &Prometheus) {
    eventually(SOON, "the rules to be evaluated", async || {
        let rules = rules_of(prometheus).await?;
        assert!(rules.len() > 15, "{rules:?}");
        match rules.iter().find(|rule| rule["health"] != "ok") {
            None => Ok(()),
            Some(rule) => Err(format!("{}: {} {}", rule["name"], rule["health"], rule["lastError"])),
        }
    })
    .await;
    eventually(SOON, "nothing to be wrong", async || {
        let firing: Vec<_> =
            rules_of(prometheus).await?.into_iter().filter(|rule| rule["state"] != "inactive").collect();
        if firing.is_empty() { Ok(()) } else { Err(format!("{firing:?}")) }
    })
    .await;
}

/// An alert about age sees something that is older than four seconds, where it would wait for sixty.
async fn sees_what_waits(prometheus: &Prometheus, rules: &str, alert: &str) {
    let expression = expression_of(rules, alert).replace("> 60", "> 4");
    eventually(SOON, &format!("{alert} to see what waits"), async || {
        match prometheus.query(&expression).await?.as_slice() {
            [] => Err(format!("{expression} has no value")),
            _ => Ok(()),
        }
    })
    .await;
}

/// What an alert of these rules looks at.
fn expression_of(rules: &str, alert: &str) -> String {
    let (_, after) = rules.split_once(&format!("- alert: {alert}\n")).expect("an alert");
    let line = after.lines().find_map(|line| line.trim().strip_prefix("expr: "));
    line.expect("an expression on one line").to_owned()
}

/// Every expression of the dashboard is one that Prometheus understands.
async fn understands_all_of(prometheus: &Prometheus, dashboard: &str) {
    for expression in super::files::expressions(dashboard) {
        let asked = expression.replace("$__rate_interval", "1m");
        prometheus.query(&asked).await.unwrap_or_else(|error| panic!("{asked}: {error}"));
    }
}

async fn plain_http_is_allowed(stack: &Stack) {
    eventually(SOON, "the poller to say what is accepted", async || {
        let says = stack.internal().value(r#"select "allowHttp" from "HttpSettings""#).await;
        if says == "t" { Ok(()) } else { Err(says) }
    })
    .await;
}

async fn rules_of(prometheus: &Prometheus) -> Result<Vec<Value>, String> {
    let groups = prometheus.api("rules").await?;
    let groups = groups["groups"].as_array().cloned().unwrap_or_default();
    let rules: Vec<Value> =
        groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect();
    if rules.is_empty() { Err("no rules yet".to_owned()) } else { Ok(rules) }
}
