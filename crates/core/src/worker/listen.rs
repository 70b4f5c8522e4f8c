//! Waking at once: LISTEN on a session of its own. Where a pooler swallows it, the interval serves.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Notify;
use tokio_postgres::AsyncMessage;
use tokio_util::sync::CancellationToken;

use super::backoff::Reconnect;
use crate::db::{DbError, Internal};

/// Listens on `channel` until asked to stop, and again whenever the session is lost. A note with this `payload`
/// notifies `wake`, and so does each new session: whatever was said before it listened is made up for.
///
/// # Errors
/// Never; losing the session is no end.
pub async fn run(
    internal: Internal,
    channel: &'static str,
    payload: String,
    wake: Arc<Notify>,
    stopping: CancellationToken,
) -> Result<(), Infallible> {
    let mut reconnect = Reconnect::default();
    while !stopping.is_cancelled() {
        let began = Instant::now();
        let Some(ended) = stopping.run_until_cancelled(listen(&internal, channel, &payload, &wake)).await
        else {
            break;
        };
        let wait = reconnect.after(began.elapsed());
        if let Err(error) = ended {
            tracing::debug!(%error, "lost the session that listens");
        }
        stopping.run_until_cancelled(tokio::time::sleep(wait)).await;
    }
    Ok(())
}

async fn listen(internal: &Internal, channel: &str, payload: &str, wake: &Notify) -> Result<(), DbError> {
    let (client, mut connection) = internal.dedicated().await?;
    let subscribe = async {
        client.batch_execute(&format!("listen {channel}")).await?;
        // Whatever was asked for before we listened.
        wake.notify_one();
        std::future::pending::<Result<(), DbError>>().await
    };
    let hear = async {
        while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(note) = message?
                && note.channel() == channel
                && note.payload() == payload
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
