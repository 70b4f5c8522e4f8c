//! Consoles: whoever looks finds one that answers, and what is shown is true.

use std::time::Duration;

use serde_json::{Value, json};
use tenant_sync_tests::console::Console;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::{SOON, Tenant};
use tenant_sync_tests::wait::eventually;
use uuid::Uuid;

use super::deployment::{Deployment, Ended, GRACE, stop};
use super::load::Load;

/// An operator who logged in once, and looks at one tenant whose users come all the time.
struct Operator {
    cookie: String,
    tenancy: Uuid,
    load: Load,
}

impl Operator {
    async fn begin(stack: &Stack, console: &Console) -> Self {
        let cookie = console.cookie().await;
        let tenancy = Tenant::create(stack).await.id();
        let load = Load::start(stack, move |number| {
            format!(
                r#"insert into "ProjectUser" ("tenancyId", "projectUserId", "displayName")
                   values ('{tenancy}', '{}', 'user {number}')"#,
                Uuid::from_u128(number as u128)
            )
        });
        Self { cookie, tenancy, load }
    }

    /// What a page is made of, with the session that was begun at another console.
    async fn asks(&self, console: &Console, path: &str) -> Value {
        eventually(SOON, path, async || {
            let answer = console.raw("GET", path, &[&self.cookie], "").await;
            if answer.status != 200 {
                return Err(format!("{answer:?}"));
            }
            serde_json::from_str(&answer.body).map_err(|error| error.to_string())
        })
        .await
    }

    /// Each of them answers, tells what happens now, and knows who came last.
    async fn finds_all_well(&mut self, consoles: &[Console]) {
        for console in consoles {
            let (name, _) = console.listen().await.next().await.expect("an event");
            assert_eq!(name, "overview");
            self.asks(console, &format!("{}/status?scope=all", Console::SYNC)).await;
            self.knows_who_came_last(console).await;
        }
    }

    async fn knows_who_came_last(&mut self, console: &Console) {
        let written = self.load.goes_on().await;
        let path =
            format!("/api/v1/tenancies/{}/users?order_by=signed_up_at&desc=true&limit=1", self.tenancy);
        eventually(SOON, "the user who came last", async || {
            let page = self.asks(console, &path).await;
            let shown = page["users"][0]["id"].as_str().and_then(|id| id.parse::<Uuid>().ok());
            let shown = shown.map(|id| id.as_u128() as usize);
            if shown >= Some(written) { Ok(()) } else { Err(format!("{shown:?} of {written}: {page}")) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_orchestrator_does_leaves_a_console_that_answers() {
    let stack = Stack::plan().externals(0).start().await;
    let mut consoles = Deployment::<Console>::start(&stack, "console", 2).await;
    let mut operator = Operator::begin(&stack, &consoles.pods[0]).await;
    operator.finds_all_well(&consoles.pods).await;

    // A rolling update: streams that are open end, and their listeners find the next console.
    let mut open = [consoles.pods[0].listen().await, consoles.pods[1].listen().await];
    consoles.update().await;
    for stream in &mut open {
        while stream.next().await.is_some() {}
    }
    operator.finds_all_well(&consoles.pods).await;

    // Scaling down, and losing the only one: another comes for it.
    consoles.scale_to(1).await;
    operator.finds_all_well(&consoles.pods).await;
    consoles.lose_one().await;
    operator.finds_all_well(&consoles.pods).await;

    // Two are cut off, with what only one of all consoles does at a time. Others go on with it; then one of the two has no
    // time left, and the other one is back with the stream that it was serving.
    consoles.scale_to(3).await;
    let mut kept = consoles.pods[0].listen().await;
    kept.next().await.expect("an event");
    let frozen = [consoles.cut_one_off().await, consoles.cut_one_off().await];
    operator.finds_all_well(&consoles.pods).await;
    let [back, late] = frozen;
    assert_eq!(stop(late, Duration::from_millis(500)).await, Ended::Killed, "it is frozen");
    consoles.pods[0].post("…/fusebox", &json!({ "requestsEnabled": false })).await;
    back.worker.resume();
    let mut shown = Value::Null;
    while shown["switches"]["requestsEnabled"] != false {
        shown = kept.next().await.expect("it goes on").1;
    }
    let back = [back];
    operator.finds_all_well(&back).await;
    operator.finds_all_well(&consoles.pods).await;
    let [back] = back;
    assert_eq!(stop(back, GRACE).await, Ended::Cleanly);

    let written = operator.load.finish().await;
    let console = &consoles.pods[0];
    eventually(SOON, "the number of all users", async || {
        let metrics = console.get(&format!("/api/v1/tenancies/{}/metrics", operator.tenancy)).await;
        if metrics["totalUsers"] == written { Ok(()) } else { Err(metrics.to_string()) }
    })
    .await;
}
