//! How triggers are shown.

use std::time::Duration;

use serde::Serialize;
use tenant_sync_core::triggers::{COUNT_MAX, Line};
use uuid::Uuid;

use crate::output::instant;

/// A trigger, as JSON and for people.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TriggerLine {
    pub(super) id: Uuid,
    tenancy_id: Option<Uuid>,
    table: Option<String>,
    event: Option<String>,
    on: Vec<String>,
    events: Vec<String>,
    columns: Option<Vec<String>>,
    when: Option<Box<serde_json::value::RawValue>>,
    url: String,
    header_names: Vec<String>,
    /// How many secrets sign its requests; null = not known.
    secret_count: Option<usize>,
    /// Since when each of them does, the newest first; null = since before that was noted.
    secrets_since: Option<Vec<Option<String>>>,
    state: String,
    state_reason: Option<String>,
    state_since: String,
    missed_statements: i64,
    last_fault: Option<String>,
    last_fault_at: Option<String>,
    ordered: bool,
    max_events: i32,
    parallelism: Option<i32>,
    rate_per_second: Option<f64>,
    batch_events: i32,
    batch_wait_millis: i32,
    timeout_millis: Option<i32>,
    destination_state: String,
    consecutive_failures: i32,
    last_error: Option<String>,
    last_success_at: Option<String>,
    waiting: i64,
    oldest_waiting_at: Option<String>,
    dead: i64,
    created_at: String,
}

impl TriggerLine {
    pub(super) fn new(line: Line) -> Self {
        Self {
            id: line.id,
            tenancy_id: line.tenancy_id,
            table: line.table,
            event: line.event,
            on: line.operations,
            events: line.events,
            columns: line.columns,
            when: line.condition.and_then(|text| serde_json::value::RawValue::from_string(text).ok()),
            url: line.url,
            header_names: line.header_names,
            secret_count: line.secrets_since.as_ref().map(Vec::len),
            secrets_since: line.secrets_since.map(|all| all.into_iter().map(|at| at.map(instant)).collect()),
            state: line.state,
            state_reason: line.state_reason,
            state_since: instant(line.state_since),
            missed_statements: line.missed_statements,
            last_fault: line.last_fault,
            last_fault_at: line.last_fault_at.map(instant),
            ordered: line.ordered,
            max_events: line.event_limit,
            parallelism: line.parallelism,
            rate_per_second: line.rate_per_second,
            batch_events: line.batch_events,
            batch_wait_millis: line.batch_wait_millis,
            timeout_millis: line.timeout_millis,
            destination_state: line.destination_state,
            consecutive_failures: line.consecutive_failures,
            last_error: line.last_error,
            last_success_at: line.last_success_at.map(instant),
            waiting: line.waiting,
            oldest_waiting_at: line.oldest_waiting_at.map(instant),
            dead: line.dead,
            created_at: instant(line.created_at),
        }
    }

    fn listens_to(&self) -> String {
        match &self.table {
            Some(table) => format!("{table} {}", self.on.join(",")),
            None => self.events.join(","),
        }
    }

    fn remarks(&self) -> String {
        let part = |sentence: &str| sentence.trim_end_matches('.').to_owned();
        let mut remarks: Vec<String> = self.state_reason.iter().map(|reason| part(reason)).collect();
        if self.missed_statements > 0 {
            remarks.push(format!(
                "{} statements made no events, the last with {}",
                self.missed_statements,
                self.last_fault.as_deref().unwrap_or("an unknown error")
            ));
        }
        if self.dead > 0 {
            remarks.push(format!("{} requests are dead", counted(self.dead)));
        }
        if let Some(error) = self.last_error.as_ref().filter(|_| self.destination_state != "ok") {
            remarks.push(format!("{}: {}", self.destination_state, part(error)));
        }
        remarks.join("; ")
    }
}

/// As far as it was counted.
fn counted(number: i64) -> String {
    if number > COUNT_MAX { format!("{COUNT_MAX}+") } else { number.to_string() }
}

/// One line of `trigger list`.
pub(super) fn row(line: &TriggerLine) -> Vec<String> {
    vec![
        line.id.to_string(),
        line.tenancy_id.map_or_else(|| "all".to_owned(), |id| id.to_string()),
        line.listens_to(),
        line.url.clone(),
        line.state.clone(),
        counted(line.waiting),
        line.remarks(),
    ]
}

/// All of it.
pub(super) fn in_full(line: &TriggerLine) -> String {
    let mut facts = vec![
        ("listens to", line.listens_to()),
        ("calls", line.url.clone()),
        ("state", format!("{} since {}", line.state, line.state_since)),
    ];
    let oldest =
        line.oldest_waiting_at.as_ref().map_or_else(String::new, |at| format!(", the oldest made {at}"));
    facts.push(("waiting", format!("{}{oldest}, dead {}", counted(line.waiting), counted(line.dead))));
    facts.extend(line.columns.iter().map(|columns| ("columns", columns.join(","))));
    facts.extend(line.when.iter().map(|when| ("when", when.to_string())));
    if !line.header_names.is_empty() {
        facts.push(("headers", line.header_names.join(", ")));
    }
    facts.push(("secrets", line.secrets()));
    facts.push(("limits", line.limits()));
    facts.extend(line.last_success_at.iter().map(|at| ("succeeded", at.clone())));
    let whose = line.tenancy_id.map_or_else(|| "all".to_owned(), |id| id.to_string());
    let mut lines = vec![format!("{} of {whose}", line.id)];
    lines.extend(facts.into_iter().map(|(name, value)| format!("{name:<11} {value}")));
    lines.extend(Some(line.remarks()).filter(|remarks| !remarks.is_empty()));
    lines.join("\n")
}

impl TriggerLine {
    fn secrets(&self) -> String {
        let Some(since) = &self.secrets_since else {
            return "since before it was noted how many there are".to_owned();
        };
        let since: Vec<&str> =
            since.iter().map(|at| at.as_deref().unwrap_or("before that was noted")).collect();
        match since.as_slice() {
            [one] => format!("1, since {one}"),
            [newest, older @ ..] => format!(
                "{}, the newest since {newest}, older ones since {} (`trigger update {} --drop-old-secrets` leaves the newest)",
                since.len(),
                older.join(", "),
                self.id
            ),
            [] => "none".to_owned(),
        }
    }

    fn limits(&self) -> String {
        let millis =
            |millis: i32| humantime::format_duration(Duration::from_millis(millis.unsigned_abs().into()));
        let mut limits = vec![match self.parallelism {
            Some(number) => format!("{number} at once"),
            None => "requests.parallelism at once".to_owned(),
        }];
        limits.extend(self.rate_per_second.map(|rate| format!("{rate} a second")));
        limits.push(match self.timeout_millis {
            Some(timeout) => format!("{} each", millis(timeout)),
            None => "requests.timeout each".to_owned(),
        });
        if self.batch_events > 1 {
            limits.push(format!(
                "up to {} events in one, which waits {} for them",
                self.batch_events,
                millis(self.batch_wait_millis)
            ));
        }
        if self.ordered {
            limits.push("the events of a row one after the other".to_owned());
        }
        if self.table.is_some() {
            limits.push(format!("a statement of more than {} events makes one", self.max_events));
        }
        limits.join(", ")
    }
}
