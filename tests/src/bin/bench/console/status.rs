//! What a status of many tenants takes, through HTTP.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tenant_sync_tests::console::Console;
use tenant_sync_tests::many;
use tenant_sync_tests::stack::Stack;

use super::{millis, plain};

const TENANTS: u32 = 100_000;
const ROUNDS: usize = 30;
const GOAL: Duration = Duration::from_millis(50);

/// Measures, prints, and returns the section of the report.
pub(super) async fn of_many_tenants() -> Value {
    let stack = Stack::plan().externals(0).start().await;
    // It registers what the mappings read; what waits stays as it is.
    let mut sequencer = stack.sequencer().start().await;
    sequencer.terminate().await;
    stack.internal().sql(r#"update "Fusebox" set "sequencerEnabled" = false, "pollerEnabled" = false"#).await;
    stack.internal().sql(&many::tenants(TENANTS)).await;
    stack.internal().sql("vacuum analyze").await;
    let console = Console::start(&stack).await;
    println!("status of {TENANTS} tenants through HTTP, median and least of {ROUNDS}");
    let one =
        stack.internal().value(r#"select "id" from "Tenancy" where "projectId" = 'project-77777'"#).await;
    let mut section = serde_json::Map::new();
    for (name, path) in [
        ("all", "…/status?scope=all".to_owned()),
        ("tenancy", format!("…/status?scope=tenancy&tenancy_id={one}")),
    ] {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let began = Instant::now();
            let status = console.get(&path).await;
            times.push(began.elapsed());
            assert!(status["externalDatabases"].as_array().is_some_and(|list| !list.is_empty()));
        }
        let least = times.iter().min().copied().unwrap_or_default();
        let median = plain::middle(times);
        let goal = GOAL.as_millis();
        println!("  scope={name:<8} {:>8.2} ms {:>8.2} ms (goal {goal})", millis(median), millis(least));
        section
            .insert(name.to_owned(), json!({"medianMillis": millis(median), "leastMillis": millis(least)}));
    }
    section.into()
}
