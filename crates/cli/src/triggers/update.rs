//! `trigger update`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use tenant_sync_core::config::Config;
use tenant_sync_core::outbox;
use tenant_sync_core::secrets::Keyring;
use tenant_sync_core::triggers::{self, Change, Limits, Setting};
use uuid::Uuid;

use super::add::{On, check_host, headers, operations, parse_batch_wait, parse_rate, read, secrets};
use super::report::{self, TriggerLine};
use crate::context::{Context, Usage};
use crate::tables::Remarks;

/// `trigger update`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The trigger's id
    #[arg(value_name = "ID")]
    id: Uuid,
    /// Whom to call from now on; what waits goes there, too
    #[arg(long, value_name = "U")]
    url: Option<String>,
    /// Which changes of its table
    #[arg(long, value_name = "OPERATIONS", value_delimiter = ',')]
    on: Vec<On>,
    /// Which events of our own, for a trigger that was added with --event
    #[arg(long, value_name = "EVENTS", value_delimiter = ',')]
    event: Option<Vec<String>>,
    /// An update counts only if one of these columns changed
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    columns: Option<Vec<String>>,
    /// File with a condition on the row, a JSON list of column, op and value; or -
    #[arg(long, value_name = "FILE")]
    when: Option<PathBuf>,
    /// A header to send along, "Name: value", in place of one of that name; may be repeated
    #[arg(long = "header", value_name = "H")]
    headers: Vec<String>,
    /// A header that is not sent along any more; may be repeated
    #[arg(long, value_name = "NAME")]
    drop_header: Vec<String>,
    /// A statement that makes more events than this makes a single one with their number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=1_000_000))]
    max_events: Option<i32>,
    /// The events of one row go strictly one after the other (--ordered=false: not any more)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    ordered: Option<bool>,
    /// Longest time of a request
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    /// Requests at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=1_000))]
    parallelism: Option<i32>,
    /// Requests a second, at most
    #[arg(long, value_name = "R", value_parser = parse_rate)]
    rate: Option<f64>,
    /// Up to this many events in one request (1: no batches)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=1_000))]
    batch: Option<i32>,
    /// How long a request waits for that many
    #[arg(long, value_name = "DURATION", value_parser = parse_batch_wait)]
    batch_wait: Option<Duration>,
    /// What is as a new trigger has it, from now on
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    clear: Vec<Cleared>,
    /// Make a secret that signs beside those there are, and print it
    #[arg(long, conflicts_with = "secret_file")]
    new_secret: bool,
    /// File with secrets that sign beside those there are, one a line, the newest first; or -
    #[arg(long, value_name = "F")]
    secret_file: Option<PathBuf>,
    /// Only what is added signs from now on; if nothing is, the newest secret
    #[arg(long)]
    drop_old_secrets: bool,
}

/// What need not be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Cleared {
    Columns,
    When,
    Headers,
    Timeout,
    Parallelism,
    Rate,
}

impl Args {
    fn change(&self) -> anyhow::Result<Change> {
        let condition = self.when.as_deref().map(|file| read(file, "the condition")).transpose()?;
        let change = Change {
            url: self.url.clone(),
            headers: self.headers()?,
            drop_headers: self.clear.contains(&Cleared::Headers),
            new_secret: self.new_secret,
            secrets: self.secret_file.as_deref().map(secrets).transpose()?.unwrap_or_default(),
            drop_old: self.drop_old_secrets,
            operations: (!self.on.is_empty()).then(|| operations(&self.on)),
            events: self.event.clone(),
            columns: self.setting(self.columns.clone(), Cleared::Columns, "columns")?,
            condition: self.setting(condition, Cleared::When, "when")?,
            event_limit: self.max_events,
            ordered: self.ordered,
            timeout: self.setting(self.timeout, Cleared::Timeout, "timeout")?,
            parallelism: self.setting(self.parallelism, Cleared::Parallelism, "parallelism")?,
            rate_per_second: self.setting(self.rate, Cleared::Rate, "rate")?,
            batch_events: self.batch,
            batch_wait: self.batch_wait,
        };
        if change.is_nothing() {
            return Err(Usage(
                "say what shall be another one, such as --url, --on or --new-secret; --help lists all".into(),
            )
            .into());
        }
        Ok(change)
    }

    fn headers(&self) -> Result<BTreeMap<String, Option<String>>, Usage> {
        let given = headers(&self.headers)?;
        let mut all: BTreeMap<String, Option<String>> =
            given.into_iter().map(|(name, value)| (name, Some(value))).collect();
        for name in &self.drop_header {
            if all.insert(name.clone(), None).is_some() {
                return Err(Usage(format!("the header {name} is given and dropped at once")));
            }
        }
        Ok(all)
    }

    fn setting<T>(&self, given: Option<T>, what: Cleared, option: &str) -> Result<Setting<T>, Usage> {
        match (given, self.clear.contains(&what)) {
            (Some(_), true) => {
                Err(Usage(format!("--{option} and --clear {option} cannot be used with one another")))
            }
            (Some(value), false) => Ok(Setting::To(value)),
            (None, true) => Ok(Setting::Clear),
            (None, false) => Ok(Setting::Keep),
        }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    trigger: TriggerLine,
    /// Shown here and never again; null if none was made.
    secret: Option<String>,
}

pub(super) async fn run(context: &Context, config: &Config, args: &Args) -> anyhow::Result<ExitCode> {
    let change = args.change()?;
    if let Some(url) = &change.url {
        check_host(config, url)?;
    }
    let internal = context.internal(config).await?;
    let client = internal.get().await?;
    outbox::publish_settings(&client, config.requests.allow_http, config.requests.max_body_bytes).await?;
    drop(client);
    let keys = Keyring::from_config(&config.secrets.keys)?;
    let done = triggers::update(&internal, &keys, args.id, &change, Limits::default(), &mut Remarks).await?;
    outbox::notify(&internal.get().await?).await?;
    let report = Report {
        trigger: super::find(context, config, args.id).await?,
        secret: done.new_secret.map(|secret| secret.expose_secret().to_owned()),
    };
    context.output.result(&report, |report| {
        let mut text = format!("updated {}", report::in_full(&report.trigger));
        if let Some(secret) = &report.secret {
            text.push_str(&format!("\nsecret {secret}\nwhich signs its requests and is not shown again"));
        }
        text
    })?;
    Ok(ExitCode::SUCCESS)
}
