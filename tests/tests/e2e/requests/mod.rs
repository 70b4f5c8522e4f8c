//! HTTP requests: from the outbox to the receiver, whatever the receiver, a worker or the broker does.

mod batches;
mod deliveries;
mod faults;
mod guard;
mod hostile;
mod limits;
mod order;
mod own_range;
mod proxy;
mod retries;
mod rotation;
mod settling;
mod signatures;
mod stream;

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
    Road { poller, worker }
}

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    eventually(SOON, what, async || if is_so().await { Ok(()) } else { Err("not yet") }).await;
}
