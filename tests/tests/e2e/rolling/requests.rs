//! HTTP requests: every committed change is an event that arrives, whatever happens to those who send it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use standardwebhooks::Webhook;
use tenant_sync_tests::receiver::{Behaviour, Received, Receiver};
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::{SOON, Tenant};
use tenant_sync_tests::wait::eventually;
use tenant_sync_tests::worker::Worker;
use uuid::Uuid;

use super::deployment::{Deployment, Ended, GRACE, stop};
use super::load::Load;

/// Until the last event has arrived, on a machine that has much else to do.
const DONE: Duration = Duration::from_secs(240);

/// How triggers want their events.
const MANNERS: [&[&str]; 3] =
    [&["--ordered"], &["--parallelism", "3"], &["--batch", "5", "--batch-wait", "50ms"]];

/// What an event says: its name, the user's number, and the user's name.
type Said = (String, usize, String);

/// A tenant, its application, and its endpoint.
struct Tenancy {
    secret: String,
    receiver: Receiver,
    load: Load,
}

/// A user comes, another one is renamed, a third one goes; and one comes who is never committed.
fn transaction(tenancy: Uuid, number: usize) -> String {
    let user = |number: usize| Uuid::from_u128(number as u128);
    let (new, renamed, gone) = (user(number), user(number - 1), user(number.saturating_sub(4)));
    let never = Uuid::from_u128(u128::MAX - number as u128);
    format!(
        r#"begin;
           insert into "ProjectUser" ("tenancyId", "projectUserId", "displayName") values ('{tenancy}', '{new}', '{number}');
           update "ProjectUser" set "displayName" = "displayName" || ' renamed'
           where "tenancyId" = '{tenancy}' and "projectUserId" = '{renamed}';
           delete from "ProjectUser" where "tenancyId" = '{tenancy}' and "projectUserId" = '{gone}';
           commit;
           begin;
           insert into "ProjectUser" ("tenancyId", "projectUserId", "displayName") values ('{tenancy}', '{never}', 'never');
           rollback"#
    )
}

/// The events that so many transactions make.
fn made_by(transactions: usize) -> BTreeSet<Said> {
    let mut made = BTreeSet::new();
    for number in 1..=transactions {
        made.insert(("user.created".to_owned(), number, number.to_string()));
        if number < transactions {
            made.insert(("user.updated".to_owned(), number, format!("{number} renamed")));
        }
        if number + 4 <= transactions {
            made.insert(("user.deleted".to_owned(), number, format!("{number} renamed")));
        }
    }
    made
}

/// The events of a request by their ids: one, or those of a batch.
fn events(received: &Received) -> Vec<(String, Said)> {
    let body: Value = serde_json::from_str(&received.body).expect("JSON");
    let (one, many) = (std::slice::from_ref(&body), body.as_array());
    let read = |event: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{event}")).to_owned();
        let user: Uuid = text(&event["data"]["id"]).parse().expect("an id");
        let said = (text(&event["type"]), user.as_u128() as usize, text(&event["data"]["display_name"]));
        (event["id"].as_str().unwrap_or(received.id()).to_owned(), said)
    };
    many.map_or(one, Vec::as_slice).iter().map(read).collect()
}

/// Whether the specification's library would sign it so. How old it is does not matter here.
fn is_signed(secret: &str, received: &Received) -> bool {
    let timestamp = received.header("webhook-timestamp").parse().expect("a number");
    let webhook = Webhook::new(secret).expect("a secret");
    let wanted = webhook.sign(received.id(), timestamp, received.body.as_bytes()).expect("a signature");
    received.header("webhook-signature").split(' ').any(|one| one == wanted)
}

impl Tenancy {
    async fn start(stack: &Stack, manner: &[&str]) -> Self {
        let (tenant, receiver) = (Tenant::create(stack).await, Receiver::start().await);
        // So that something is under way when a worker stops.
        receiver.behave(Behaviour::Slow(Duration::from_millis(20)));
        let (tenancy, id, url) = (tenant.id().to_string(), tenant.id(), receiver.url());
        let add = ["trigger", "add", "--tenancy", &tenancy, "--url", &url];
        let table = ["--table", "ProjectUser", "--on", "insert,update,delete"];
        let added = stack.cli().json(&[&add, table.as_slice(), manner].concat()).await;
        let text = |field: &str| added[field].as_str().unwrap_or_else(|| panic!("{added}"));
        Self {
            secret: text("secret").to_owned(),
            load: Load::start(stack, move |number| transaction(id, number)),
            receiver,
        }
    }

    /// Something that was written after this was asked arrives.
    async fn goes_on(&mut self) {
        let (seen, written) = (self.receiver.count(), self.load.goes_on().await);
        eventually(SOON, "a new event to arrive", async || {
            let arrived = self.receiver.received();
            let new = arrived.iter().skip(seen).flat_map(events).map(|(_, (_, number, _))| number).max();
            if new >= Some(written) { Ok(()) } else { Err(format!("{new:?} of {written}")) }
        })
        .await;
    }

    /// Everything has arrived that was committed, and nothing else. Returns who received it: what arrived and was not settled
    /// comes again.
    async fn ends(self, ordered: bool) -> Receiver {
        let made = made_by(self.load.finish().await);
        let said = || self.receiver.received().iter().flat_map(events).map(|(_, said)| said).collect();
        eventually(DONE, "every event to arrive", async || {
            let missing: Vec<Said> = made.difference(&said()).cloned().collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?}")) }
        })
        .await;
        let arrived: BTreeSet<Said> = said();
        assert_eq!(arrived, made, "nothing is invented");
        let received = self.receiver.received();
        received.iter().for_each(|one| assert!(is_signed(&self.secret, one), "{one:?}"));
        let mut by_id: BTreeMap<String, Said> = BTreeMap::new();
        let mut known: BTreeSet<Said> = BTreeSet::new();
        for (id, said) in received.iter().flat_map(events) {
            let first = by_id.entry(id).or_insert_with(|| said.clone());
            assert_eq!(*first, said, "an id means one event for ever");
            if ordered && known.insert(said.clone()) {
                let before = match said.0.as_str() {
                    "user.created" => None,
                    "user.updated" => Some("user.created"),
                    _ => Some("user.updated"),
                };
                let is_known = |name| known.iter().any(|(of, user, _)| of == name && *user == said.1);
                assert!(before.is_none_or(is_known), "{said:?} came before {before:?}");
            }
        }
        assert_eq!(by_id.len(), made.len(), "each change is one event");
        self.receiver
    }
}

/// With leases that lapse within the test.
async fn stack() -> Stack {
    let mut stack = Stack::plan().externals(0).start().await;
    stack.set("poller.claim_lease", "3s");
    stack.set("requests.run_lease", "3s");
    // Small turns, so that destinations move from worker to worker.
    stack.set("requests.turn_rows", 100);
    stack
}

async fn go_on(tenancies: &mut [Tenancy]) {
    for tenancy in tenancies {
        tenancy.goes_on().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_orchestrator_does_loses_no_event_and_invents_none() {
    let stack = stack().await;
    let mut pollers = Deployment::<Worker>::start(&stack, "poller", 2).await;
    let mut workers = Deployment::<Worker>::start(&stack, "request-worker", 2).await;
    let mut tenancies = Vec::new();
    for manner in MANNERS {
        tenancies.push(Tenancy::start(&stack, manner).await);
    }
    go_on(&mut tenancies).await;

    // Scaling up, a rolling update, scaling down.
    workers.scale_to(4).await;
    go_on(&mut tenancies).await;
    pollers.update().await;
    workers.update().await;
    go_on(&mut tenancies).await;
    workers.scale_to(1).await;
    go_on(&mut tenancies).await;

    // A node is lost.
    pollers.lose_one().await;
    workers.lose_one().await;
    go_on(&mut tenancies).await;

    // Another one is cut off, and what is on it replaced; it comes back and works on beside its successors until it is
    // asked to stop. One of its pods has no time left.
    workers.scale_to(2).await;
    let frozen = [pollers.cut_one_off().await, workers.cut_one_off().await, workers.cut_one_off().await];
    go_on(&mut tenancies).await;
    let [poller, worker, late] = frozen;
    assert_eq!(stop(late, Duration::from_millis(500)).await, Ended::Killed, "it is frozen");
    poller.resume();
    worker.resume();
    go_on(&mut tenancies).await;
    for pod in [poller, worker] {
        assert_eq!(stop(pod, GRACE).await, Ended::Cleanly);
    }

    let mut receivers = Vec::new();
    for (tenancy, manner) in tenancies.into_iter().zip(MANNERS) {
        receivers.push(tenancy.ends(manner.contains(&"--ordered")).await);
    }
    let left = r#"select count(*) from "OutgoingRequest" where kind in ('http', 'delivery', 'deliveryAsk')"#;
    eventually(DONE, "the outbox to be empty", async || {
        let left = stack.internal().value(left).await;
        if left == "0" { Ok(()) } else { Err(left) }
    })
    .await;
    let arrivals: usize = receivers.iter().map(Receiver::count).sum();
    eprintln!("{arrivals} requests arrived at {} endpoints", MANNERS.len());
}
