//! What a trace says of a destination's turn: of each call its status and which attempt it was. Where a call goes is said by
//! the destination's id, never by the URL, which may hold a secret. Receivers are told nothing of it.

use tenant_sync_core::http::Client;
use tenant_sync_core::http::outcome::Action;
use tenant_sync_core::outbox::requests::Due;
use tenant_sync_core::queue::DeliveryJob;
use tenant_sync_core::trace::{Context, Span, SpanKind};

use crate::call::{self, Called, Common};

/// A destination's turn.
pub(crate) fn of_job(job: &DeliveryJob) -> Span {
    let mut span = Span::of("deliver", SpanKind::Consumer, job.traceparent.as_deref());
    span.set("messaging.system", || "rabbitmq");
    span.set("tenant_sync.request", || job.held.request_id.to_string());
    span.set("tenant_sync.claim", || job.held.claim);
    span.set("tenant_sync.destination", || job.destination_id.to_string());
    span
}

/// Makes a call, as a part of the turn's trace.
pub(crate) async fn call(turn: Option<Context>, client: &Client, common: &Common, rows: Vec<Due>) -> Called {
    let span = of_call(turn, &rows);
    let called = call::send(client, common, rows).await;
    end_call(span, &called);
    called
}

/// One HTTP request, which begins now.
fn of_call(turn: Option<Context>, rows: &[Due]) -> Span {
    let mut span = Span::part_of(turn, "call", SpanKind::Client);
    if let Some(first) = rows.first() {
        span.set("tenant_sync.request", || first.id.to_string());
        span.set("tenant_sync.attempt", || i64::from(first.attempts) + 1);
        span.set("tenant_sync.waited_ms", || i64::try_from(first.age.as_millis()).unwrap_or(i64::MAX));
        span.set("http.request.method", || first.method.clone().unwrap_or_else(|| "POST".to_owned()));
    }
    if rows.len() > 1 {
        span.set("tenant_sync.requests", || i64::try_from(rows.len()).unwrap_or(i64::MAX));
    }
    span
}

/// It has ended.
fn end_call(mut span: Span, called: &Called) {
    let policy = called.class.policy();
    if let Some(status) = called.status {
        span.set("http.response.status_code", || i64::from(status));
    }
    span.set("tenant_sync.class", || policy.code);
    if policy.action != Action::Done {
        span.fail(|| policy.sentence.to_owned());
    }
}
