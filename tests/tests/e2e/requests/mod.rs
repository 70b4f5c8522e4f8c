//! HTTP requests: from the outbox to the receiver, whatever the receiver, a worker or the broker does.

mod batches;
mod deliveries;
mod faults;
mod guard;
mod hostile;
mod limits;
mod order;
mod retries;
mod signatures;

use std::time::Duration;

use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::template::Template;
use tenant_sync_tests::wait::eventually;
use tenant_sync_tests::worker::Worker;

/// Longest wait for anything that should happen soon, on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// What a worker may say of destinations that fail on purpose.
const FAILS: &str = "a destination fails";
const DEAD: &str = "requests have used up their attempts";

/// A poller and a request worker.
struct Road {
    poller: Worker,
    worker: Worker,
    _mini: mini::Mini,
}

/// A stack without targets.
async fn stack(settings: &[(&str, &str)]) -> Stack {
    let mut stack = Stack::plan().externals(0).template(Template::Engine).start().await;
    settings.iter().for_each(|(key, value)| stack.set(key, value));
    stack
}

/// Starts both; the worker may say these things.
async fn road(stack: &Stack, allowed: &[&str]) -> Road {
    let mut poller = stack.poller().spawn();
    let mut setup = stack.request_worker();
    for text in allowed {
        setup = setup.allow(text);
    }
    let mut worker = setup.spawn();
    poller.wait_ready().await;
    worker.wait_ready().await;
    Road { poller, worker, _mini: mini::Mini::start(stack) }
}

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    eventually(SOON, what, async || if is_so().await { Ok(()) } else { Err("not yet") }).await;
}

mod mini {
    use std::time::{Duration, SystemTime};
    use tenant_sync_core::db::Internal;
    use tenant_sync_core::outbox::{self, ClaimLimits};
    use tenant_sync_core::queue::{self, Broker};
    use tenant_sync_tests::stack::Stack;
    use tokio_util::sync::{CancellationToken, DropGuard};
    pub(super) struct Mini(#[allow(dead_code)] DropGuard);
    impl Mini {
        pub(super) fn start(stack: &Stack) -> Self {
            let stop = CancellationToken::new();
            let config = stack.config();
            let internal = Internal::new(&config.database, "mini").unwrap();
            let (publisher, link) = queue::publisher(Broker::new(&config.rabbitmq, "mini").unwrap());
            tokio::spawn(link.run(stop.clone()));
            let ending = stop.clone();
            tokio::spawn(async move {
                while !ending.is_cancelled() {
                    tokio::time::sleep(Duration::from_millis(25)).await;
                    let Ok(client) = internal.get().await else { continue };
                    let limits =
                        ClaimLimits { batch: 1000, max_queued: 1000, lease: config.poller.claim_lease };
                    let _ = outbox::fold_delivery_asks(&client, 0, 1000)
                        .await
                        .inspect_err(|e| eprintln!("{e:?}"));
                    let _ = outbox::sweep_destinations(&client, uuid::Uuid::nil(), 1000).await;
                    if !publisher.is_up() {
                        continue;
                    }
                    let Ok(scan) = outbox::claim_deliveries(&client, limits, SystemTime::UNIX_EPOCH).await
                    else {
                        continue;
                    };
                    let published = publisher.publish(scan.claims, limits.lease).await;
                    let _ = outbox::give_back_deliveries(&client, &published.failed).await;
                }
            });
            Self(stop.drop_guard())
        }
    }
}
