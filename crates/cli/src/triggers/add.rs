//! `trigger add`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use tenant_sync_core::config::Config;
use tenant_sync_core::guard::Guard;
use tenant_sync_core::http::{Destination, UrlError};
use tenant_sync_core::secrets::Keyring;
use tenant_sync_core::triggers::{self, Limits, Listens, NewTrigger, Operation};
use tenant_sync_core::{mapping, outbox};
use uuid::Uuid;

use crate::context::{Context, Usage};
use crate::tables::Remarks;
use crate::tenancies::MaybeNamed;

/// `trigger add`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    tenancy: MaybeNamed,
    /// Of all tenants
    #[arg(long, conflicts_with_all = ["tenancy", "tenant_key"])]
    all: bool,
    /// The table: ProjectUser, a mapping's name, or SCHEMA.TABLE of a tracked one
    #[arg(long, value_name = "T", required_unless_present = "event", conflicts_with = "event")]
    table: Option<String>,
    /// Which changes of it
    #[arg(long, value_name = "OPERATIONS", value_delimiter = ',', requires = "table")]
    on: Vec<On>,
    /// Events of our own instead: target.broken, target.recovered, trigger.paused, source.rewound
    #[arg(long, value_name = "EVENTS", value_delimiter = ',')]
    event: Vec<String>,
    /// Whom to call
    #[arg(long, value_name = "U")]
    url: String,
    /// An update counts only if one of these columns changed
    #[arg(long, value_name = "A,B", value_delimiter = ',', requires = "table")]
    columns: Option<Vec<String>>,
    /// File with a condition on the row, a JSON list of column, op and value; or -
    #[arg(long, value_name = "FILE", requires = "table")]
    when: Option<PathBuf>,
    /// File with signing secrets, one a line, the newest first; or - [default: one is made and printed]
    #[arg(long, value_name = "F")]
    secret_file: Option<PathBuf>,
    /// A header to send along, "Name: value"; may be repeated
    #[arg(long = "header", value_name = "H")]
    headers: Vec<String>,
    /// A statement that makes more events than this makes a single one with their number
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(i32).range(1..=1_000_000))]
    max_events: i32,
    /// The events of one row go strictly one after the other
    #[arg(long)]
    ordered: bool,
    /// Longest time of a request [default: requests.timeout]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    /// Requests at once [default: requests.parallelism]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=1_000))]
    parallelism: Option<i32>,
    /// Requests a second, at most
    #[arg(long, value_name = "R", value_parser = parse_rate)]
    rate: Option<f64>,
    /// Up to this many events in one request
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=1_000))]
    batch: i32,
    /// How long a request waits for that many
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_batch_wait)]
    batch_wait: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum On {
    Insert,
    Update,
    Delete,
}

impl From<On> for Operation {
    fn from(on: On) -> Self {
        match on {
            On::Insert => Self::Insert,
            On::Update => Self::Update,
            On::Delete => Self::Delete,
        }
    }
}

pub(super) fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    if (0.001..=100_000.0).contains(&rate) { Ok(rate) } else { Err("expected 0.001 to 100000".to_owned()) }
}

pub(super) fn parse_batch_wait(text: &str) -> Result<Duration, String> {
    let wait = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if wait <= Duration::from_secs(60) { Ok(wait) } else { Err("expected at most 60s".to_owned()) }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    id: Uuid,
    tenancy_id: Option<Uuid>,
    event: Option<String>,
    url: String,
    /// Shown here and never again; null if it was given.
    secret: Option<String>,
}

pub(super) async fn run(context: &Context, config: &Config, args: &Args) -> anyhow::Result<ExitCode> {
    let internal = context.internal(config).await?;
    let tenancy_id = args.tenancy.find(&internal.get().await?).await?;
    if tenancy_id.is_none() && !args.all {
        return Err(Usage("give --tenancy, --tenant-key or --all".into()).into());
    }
    let operations = operations(&args.on);
    let listens = match &args.table {
        Some(_) if operations.is_empty() => {
            return Err(Usage("give --on with insert, update or delete".into()).into());
        }
        Some(table) => Listens::Table {
            table: table.clone(),
            operations,
            columns: args.columns.clone(),
            condition: args.when.as_deref().map(|file| read(file, "the condition")).transpose()?,
        },
        None => Listens::Own(args.event.clone()),
    };
    let new = NewTrigger {
        tenancy_id,
        listens,
        url: args.url.clone(),
        headers: headers(&args.headers)?,
        secrets: args.secret_file.as_deref().map(secrets).transpose()?.unwrap_or_default(),
        event_limit: args.max_events,
        ordered: args.ordered,
        timeout: args.timeout,
        parallelism: args.parallelism,
        rate_per_second: args.rate,
        batch_events: args.batch,
        batch_wait: args.batch_wait,
    };
    check_host(config, &args.url)?;
    let (mappings, keys) = (mapping::load(config)?, Keyring::from_config(&config.secrets.keys)?);
    let client = internal.get().await?;
    outbox::publish_settings(&client, config.requests.allow_http, config.requests.max_body_bytes).await?;
    drop(client);
    let done = triggers::register(&internal, &mappings, &keys, &new, Limits::default(), &mut Remarks).await?;
    let report = Report {
        id: done.id,
        tenancy_id: new.tenancy_id,
        event: done.event,
        url: new.url,
        secret: done.new_secret.map(|secret| secret.expose_secret().to_owned()),
    };
    context.output.result(&report, |report| {
        let mut text = format!("added {}", report.id);
        if let Some(secret) = &report.secret {
            text.push_str(&format!("\nsecret {secret}\nwhich signs its requests and is not shown again"));
        }
        text
    })?;
    Ok(ExitCode::SUCCESS)
}

/// An address in place of a name is judged before it is registered; a name, when it is called. What else may be wrong with
/// a URL is said where it is registered.
pub(super) fn check_host(config: &Config, url: &str) -> anyhow::Result<()> {
    match Destination::parse(url, true, &Guard::from_config(&config.network)) {
        Err(error @ UrlError::Guard(_)) => Err(anyhow::anyhow!(
            "{error}; network.allow_private or network.allow_cidrs, set for the request workers, too, allow it"
        )),
        _ => Ok(()),
    }
}

/// Each once.
pub(super) fn operations(given: &[On]) -> Vec<Operation> {
    let mut operations: Vec<Operation> = Vec::new();
    for on in given.iter().map(|on| Operation::from(*on)) {
        if !operations.contains(&on) {
            operations.push(on);
        }
    }
    operations
}

pub(super) fn read(file: &Path, what: &str) -> anyhow::Result<String> {
    if file == Path::new("-") {
        return std::io::read_to_string(std::io::stdin()).with_context(|| format!("cannot read {what}"));
    }
    std::fs::read_to_string(file).with_context(|| format!("cannot read {what} from {}", file.display()))
}

pub(super) fn secrets(file: &Path) -> anyhow::Result<Vec<SecretString>> {
    let text = read(file, "the secrets")?;
    let secrets: Vec<SecretString> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(SecretString::from).collect();
    if secrets.is_empty() {
        return Err(Usage(format!("{} holds no secret", file.display())).into());
    }
    Ok(secrets)
}

pub(super) fn headers(given: &[String]) -> Result<BTreeMap<String, String>, Usage> {
    let mut headers = BTreeMap::new();
    for header in given {
        let (name, value) =
            header.split_once(':').ok_or_else(|| Usage("write a header as \"Name: value\"".into()))?;
        if headers.insert(name.to_owned(), value.trim_matches(' ').to_owned()).is_some() {
            return Err(Usage(format!("the header {name} is given twice")));
        }
    }
    Ok(headers)
}
