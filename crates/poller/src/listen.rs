//! Waking at once: LISTEN on a session of its own. Where a pooler swallows it, the interval serves.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Instant;

use tenant_sync_core::db::{DbError, Internal};
use tenant_sync_core::outbox::NOTIFY_CHANNEL;
use tenant_sync_core::worker::backoff::Reconnect;
use tokio::sync::Notify;
use tokio_postgres::AsyncMessage;
use tokio_util::sync::CancellationToken;

/// Listens until asked to stop, and again whenever the session is lost.
pub(crate) async fn run(
    internal: Internal,
    wake: Arc<Notify>,
    stopping: CancellationToken,
) -> Result<(), Infallible> {
    let mut reconnect = Reconnect::default();
    while !stopping.is_cancelled() {
        let began = Instant::now();
        let Some(ended) = stopping.run_until_cancelled(listen(&internal, &wake)).await else { break };
        let wait = reconnect.after(began.elapsed());
        if let Err(error) = ended {
            tracing::debug!(%error, "lost the session that listens");
        }
        stopping.run_until_cancelled(tokio::time::sleep(wait)).await;
    }
    Ok(())
}

async fn listen(internal: &Internal, wake: &Notify) -> Result<(), DbError> {
    let (client, mut connection) = internal.dedicated().await?;
    let subscribe = async {
        client.batch_execute(&format!("listen {NOTIFY_CHANNEL}")).await?;
        // Whatever was asked for before we listened.
        wake.notify_one();
        std::future::pending::<Result<(), DbError>>().await
    };
    let hear = async {
        while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(note) = message?
                && note.channel() == NOTIFY_CHANNEL
                && note.payload() == internal.schema()
            {
                wake.notify_one();
            }
        }
        Ok(())
    };
    tokio::select! {
        ended = hear => ended,
        failed = subscribe => failed,
    }
}
