//! `tenant-sync request …`: HTTP requests that wait, were given up, or arrived.

use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Subcommand, ValueEnum};
use serde::Serialize;
use tenant_sync_core::config::Config;
use tenant_sync_core::outbox::{
    self, AttemptLine, Replay, RequestCursor, RequestFilter, RequestLine, RequestState,
};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::context::{Context, Usage};
use crate::output::{self, instant};
use crate::tenancies::MaybeNamed;

/// `request`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show requests along their time: when they are tried next, were given up or arrived; the latest first
    List(ListArgs),
    /// Show one request and its attempts
    Show(ShowArgs),
    /// Send requests again: one, or all that a filter means
    Replay(ReplayArgs),
}

/// Which requests; everything that is given must hold.
#[derive(Debug, clap::Args)]
struct Filter {
    #[command(flatten)]
    tenancy: MaybeNamed,
    /// Only of this trigger
    #[arg(long, value_name = "ID")]
    trigger: Option<Uuid>,
    /// Only of this event, such as user.created
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// Only those made at this time or later, such as 2030-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<OffsetDateTime>,
    /// Only in these states
    #[arg(long, value_name = "STATES", value_delimiter = ',')]
    state: Vec<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    Pending,
    Dead,
    Delivered,
}

impl From<State> for RequestState {
    fn from(state: State) -> Self {
        match state {
            State::Pending => Self::Pending,
            State::Dead => Self::Dead,
            State::Delivered => Self::Delivered,
        }
    }
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    filter: Filter,
    /// How many, at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    limit: i64,
    /// Go on where a list ended: its nextCursor
    #[arg(long, value_name = "C")]
    cursor: Option<RequestCursor>,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// The request's id
    #[arg(value_name = "ID")]
    id: Uuid,
}

#[derive(Debug, clap::Args)]
struct ReplayArgs {
    /// One request
    #[arg(value_name = "ID")]
    id: Option<Uuid>,
    #[command(flatten)]
    filter: Filter,
}

fn parse_time(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339).map_err(|_| "write a time like 2030-01-31T12:00:00Z".to_owned())
}

/// Runs one of the commands.
pub(crate) fn run(context: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    context.block_on(&config, async {
        match args.command {
            Command::List(args) => list(context, &config, &args).await,
            Command::Show(args) => show(context, &config, args.id).await,
            Command::Replay(args) => replay(context, &config, &args).await,
        }
    })
}

impl Filter {
    async fn read(&self, client: &deadpool_postgres::Object) -> anyhow::Result<RequestFilter> {
        Ok(RequestFilter {
            trigger_id: self.trigger,
            tenancy_id: self.tenancy.find(client).await?,
            event_type: self.event.clone(),
            since: self.since,
        })
    }

    fn states(&self) -> Vec<RequestState> {
        self.state.iter().map(|state| RequestState::from(*state)).collect()
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    id: Uuid,
    state: &'static str,
    trigger_id: Option<Uuid>,
    tenancy_id: Option<Uuid>,
    event: Option<String>,
    method: String,
    url: Option<String>,
    created_at: Option<String>,
    due_at: Option<String>,
    attempts: i32,
    ended_at: Option<String>,
    last_error: Option<String>,
    last_status: Option<i32>,
}

impl From<RequestLine> for Shown {
    fn from(line: RequestLine) -> Self {
        Self {
            id: line.id,
            state: line.state.as_str(),
            trigger_id: line.trigger_id,
            tenancy_id: line.tenancy_id,
            event: line.event_type,
            method: line.method,
            url: line.url,
            created_at: line.created_at.map(instant),
            due_at: line.due_at.map(instant),
            attempts: line.attempts,
            ended_at: line.ended_at.map(instant),
            last_error: line.last_error,
            last_status: line.last_status,
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ListReport {
    requests: Vec<Shown>,
    next_cursor: Option<String>,
}

async fn list(context: &Context, config: &Config, args: &ListArgs) -> anyhow::Result<ExitCode> {
    let internal = context.internal(config).await?;
    let client = internal.get().await?;
    let filter = args.filter.read(&client).await?;
    let states = Some(args.filter.states()).filter(|states| !states.is_empty());
    let states = states.unwrap_or_else(|| RequestState::ALL.to_vec());
    let (mut requests, mut cursor) = (Vec::new(), args.cursor);
    let next = loop {
        let left = args.limit - i64::try_from(requests.len()).unwrap_or(i64::MAX);
        let page = outbox::list_requests(&client, &filter, &states, cursor.as_ref(), left).await?;
        requests.extend(page.entries.into_iter().map(Shown::from));
        // A page may be short, because few of those that it looked at are meant.
        match page.next {
            Some(next) if i64::try_from(requests.len()).unwrap_or(i64::MAX) < args.limit => {
                cursor = Some(next);
            }
            next => break next,
        }
    };
    let report = ListReport { requests, next_cursor: next.map(|cursor| cursor.to_string()) };
    context.output.result(&report, |report| {
        let head =
            ["ID", "STATE", "EVENT", "URL", "MADE", "DUE", "ATTEMPTS", "REMARKS"].map(str::to_owned).to_vec();
        let row = |shown: &Shown| {
            let text = |value: &Option<String>| value.clone().unwrap_or_default();
            vec![
                shown.id.to_string(),
                shown.state.to_owned(),
                shown.event.clone().unwrap_or_else(|| shown.method.clone()),
                text(&shown.url),
                text(&shown.created_at),
                text(&shown.due_at),
                shown.attempts.to_string(),
                text(&shown.last_error),
            ]
        };
        output::table(&std::iter::once(head).chain(report.requests.iter().map(row)).collect::<Vec<_>>())
    })?;
    context.output.more(report.next_cursor.as_deref());
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Attempt {
    number: i32,
    at: String,
    outcome: String,
    duration_millis: i32,
    status: Option<i32>,
    error_class: Option<String>,
    error: Option<String>,
    response_excerpt: Option<String>,
}

impl From<AttemptLine> for Attempt {
    fn from(line: AttemptLine) -> Self {
        Self {
            number: line.number,
            at: instant(line.at),
            outcome: line.outcome,
            duration_millis: line.duration_millis,
            status: line.status,
            error_class: line.error_class,
            error: line.error,
            response_excerpt: line.response_excerpt,
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShowReport {
    #[serde(flatten)]
    request: Shown,
    body: Option<String>,
    attempt_log: Vec<Attempt>,
}

async fn show(context: &Context, config: &Config, id: Uuid) -> anyhow::Result<ExitCode> {
    let internal = context.internal(config).await?;
    let client = internal.get().await?;
    let Some((line, body)) = outbox::find_request(&client, id).await? else {
        return Err(anyhow!(
            "there is no request {id}: it may have been delivered longer ago than requests.attempt_retention, or given \
             up longer ago than requests.dead_retention; `request list` shows those there are"
        ));
    };
    let attempts = outbox::attempts(&client, id).await?;
    let report = ShowReport {
        request: line.into(),
        body,
        attempt_log: attempts.into_iter().map(Attempt::from).collect(),
    };
    context.output.result(&report, |report| {
        let shown = &report.request;
        let mut lines = vec![format!("{} {}", shown.id, shown.state)];
        lines.push(format!("{} {}", shown.method, shown.url.as_deref().unwrap_or("(its trigger is gone)")));
        lines.extend(shown.event.iter().map(|event| format!("event {event}")));
        lines.extend(shown.due_at.iter().map(|due| format!("due {due}")));
        lines.extend(report.body.iter().cloned());
        for attempt in &report.attempt_log {
            let status = attempt.status.map_or_else(String::new, |status| format!(" {status}"));
            let error = attempt.error.as_deref().unwrap_or_default();
            lines.push(format!(
                "{} {}{status} after {} ms {error}",
                attempt.at, attempt.outcome, attempt.duration_millis
            ));
        }
        lines.join("\n")
    })?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Serialize)]
struct ReplayReport {
    replayed: i64,
}

async fn replay(context: &Context, config: &Config, args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let internal = context.internal(config).await?;
    let client = internal.get().await?;
    let filter = args.filter.read(&client).await?;
    let replay = Replay::of(args.id, filter, &args.filter.states()).map_err(|_| {
        Usage("give an ID, or say which: --trigger, --tenancy, --event, --since or --state".into())
    })?;
    let replayed = outbox::replay_requests(&client, &replay).await?;
    outbox::notify(&client).await?;
    let report = ReplayReport { replayed };
    context.output.result(&report, |report| match report.replayed {
        1 => "1 request is sent again".to_owned(),
        number => format!("{number} requests are sent again"),
    })?;
    if let Some(id) = args.id.filter(|_| replayed == 0) {
        return Err(anyhow!("{}", nothing(&client, id).await?));
    }
    Ok(ExitCode::SUCCESS)
}

/// Why one request is not sent again.
async fn nothing(client: &deadpool_postgres::Object, id: Uuid) -> anyhow::Result<String> {
    Ok(match outbox::find_request(client, id).await? {
        None => format!("there is no request {id}; `request list` shows those there are"),
        Some((line, _)) if line.state == RequestState::Pending => {
            format!("{id} waits for its first attempt: `request show {id}` tells when that is due")
        }
        Some(_) => format!("{id} is not among those that --state and the other options mean"),
    })
}
