//! An application that writes while its surroundings change.

use std::time::Duration;

use tenant_sync_tests::database::connect;
use tenant_sync_tests::stack::Stack;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// An application of one tenant that writes until it is told to stop.
pub(super) struct Load {
    written: watch::Receiver<usize>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Load {
    /// Commits `transaction(1)`, `transaction(2)`, …
    pub(super) fn start(stack: &Stack, transaction: impl Fn(usize) -> String + Send + 'static) -> Self {
        let (sender, written) = watch::channel(0);
        let stop = CancellationToken::new();
        let (url, asked) = (stack.internal().url().to_owned(), stop.clone());
        let task = tokio::spawn(async move {
            let client = connect(&url).await;
            let mut number = 0;
            while !asked.is_cancelled() {
                number += 1;
                client.batch_execute(&transaction(number)).await.expect("the application may write");
                sender.send_replace(number);
                // Changes all the time, and not a backlog that grows as fast as this machine can write.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        Self { written, stop, task }
    }

    /// Waits until more is written than was when it was asked; the number of the last transaction.
    pub(super) async fn goes_on(&mut self) -> usize {
        let already = *self.written.borrow_and_update();
        let written = self.written.wait_for(|written| *written >= already + 3).await;
        *written.expect("the application goes on")
    }

    /// Ends it; how many transactions it has committed.
    pub(super) async fn finish(self) -> usize {
        self.stop.cancel();
        self.task.await.expect("the application ends well");
        *self.written.borrow()
    }
}
