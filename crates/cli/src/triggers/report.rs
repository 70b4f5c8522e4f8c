//! How triggers are shown.

use serde::Serialize;
use tenant_sync_core::triggers::Line;
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
    destination_state: String,
    consecutive_failures: i32,
    last_error: Option<String>,
    last_success_at: Option<String>,
    waiting: i64,
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
            destination_state: line.destination_state,
            consecutive_failures: line.consecutive_failures,
            last_error: line.last_error,
            last_success_at: line.last_success_at.map(instant),
            waiting: line.waiting,
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
        let mut remarks: Vec<String> = self.state_reason.iter().cloned().collect();
        if self.missed_statements > 0 {
            remarks.push(format!(
                "{} statements made no events, the last with {}",
                self.missed_statements,
                self.last_fault.as_deref().unwrap_or("an unknown error")
            ));
        }
        if self.dead > 0 {
            remarks.push(format!("{} requests are dead", self.dead));
        }
        if let Some(error) = self.last_error.as_ref().filter(|_| self.destination_state != "ok") {
            remarks.push(format!("{}: {error}", self.destination_state));
        }
        remarks.join("; ")
    }
}

/// One line of `trigger list`.
pub(super) fn row(line: &TriggerLine) -> Vec<String> {
    vec![
        line.id.to_string(),
        line.tenancy_id.map_or_else(|| "all".to_owned(), |id| id.to_string()),
        line.listens_to(),
        line.url.clone(),
        line.state.clone(),
        line.waiting.to_string(),
        line.remarks(),
    ]
}

/// All of it.
pub(super) fn in_full(line: &TriggerLine) -> String {
    let mut lines = vec![
        format!("{} of {}", line.id, line.tenancy_id.map_or_else(|| "all".to_owned(), |id| id.to_string())),
        format!("listens to  {}", line.listens_to()),
        format!("calls       {}", line.url),
        format!("state       {} since {}", line.state, line.state_since),
        format!("waiting     {}, dead {}", line.waiting, line.dead),
    ];
    if let Some(columns) = &line.columns {
        lines.push(format!("columns     {}", columns.join(",")));
    }
    if let Some(when) = &line.when {
        lines.push(format!("when        {when}"));
    }
    if let Some(at) = &line.last_success_at {
        lines.push(format!("succeeded   {at}"));
    }
    let remarks = line.remarks();
    if !remarks.is_empty() {
        lines.push(remarks);
    }
    lines.join("\n")
}
