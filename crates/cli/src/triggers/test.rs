//! `trigger test`.

use std::process::ExitCode;
use std::time::Duration;

use deadpool_postgres::Object;
use serde::Serialize;
use tenant_sync_core::config::Config;
use tenant_sync_core::outbox::{self, AttemptLine};
use tenant_sync_core::triggers::{self, TriggerError};
use tokio::time::Instant;
use uuid::Uuid;

use crate::context::Context;

/// Between looks for the answer.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// `trigger test`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The trigger's id
    #[arg(value_name = "ID")]
    id: Uuid,
    /// How long to wait for the answer
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    wait: Duration,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    id: Uuid,
    request_id: Uuid,
    outcome: String,
    status: Option<i32>,
    error: Option<String>,
    duration_millis: Option<i32>,
}

/// Sends the event on the road that all events take, and waits for its first attempt.
pub(super) async fn run(context: &Context, config: &Config, args: &Args) -> anyhow::Result<ExitCode> {
    let internal = context.internal(config).await?;
    let client = internal.get().await?;
    let request_id = triggers::test(&client, args.id).await?.ok_or(TriggerError::Unknown(args.id))?;
    outbox::notify(&client).await?;
    let attempt = first_attempt(&client, request_id, args.wait).await?;
    let delivered = attempt.as_ref().is_some_and(|attempt| attempt.outcome == "delivered");
    let report = Report {
        id: args.id,
        request_id,
        outcome: attempt.as_ref().map_or_else(|| "waiting".to_owned(), |attempt| attempt.outcome.clone()),
        status: attempt.as_ref().and_then(|attempt| attempt.status),
        error: attempt.as_ref().and_then(|attempt| attempt.error.clone()),
        duration_millis: attempt.as_ref().map(|attempt| attempt.duration_millis),
    };
    context.output.result(&report, |report| match (&*report.outcome, report.status, &report.error) {
        ("delivered", Some(status), _) => format!("delivered: answered {status}"),
        ("waiting", ..) => format!(
            "{} waits: no worker has tried it yet (is the trigger paused, does a request-worker run?); `request show {0}` tells",
            report.request_id
        ),
        ("dead", _, Some(error)) => format!("dead: {error}"),
        (outcome, Some(status), Some(error)) => {
            format!("{outcome}: answered {status}. {error} It is tried again.")
        }
        (outcome, None, Some(error)) => format!("{outcome}: {error} It is tried again."),
        (outcome, ..) => outcome.to_owned(),
    })?;
    Ok(if delivered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn first_attempt(
    client: &Object,
    request_id: Uuid,
    wait: Duration,
) -> anyhow::Result<Option<AttemptLine>> {
    let deadline = Instant::now() + wait;
    loop {
        let mut attempts = outbox::attempts(client, request_id).await?;
        if !attempts.is_empty() {
            return Ok(Some(attempts.swap_remove(0)));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
