//! Traces, where `telemetry.otlp_endpoint` asks for them: one from what asks for a sync to the target's commit, and one
//! for each turn of a destination of HTTP requests.
//!
//! ```text
//! pass, visits, asks, sync now ─▶ "OutgoingRequest"."traceparent" ─▶ publish ─▶ header traceparent ─▶ sync ─▶ lock, …, commit
//!                                             a delivery row's claim ─▶ publish ─▶ header traceparent ─▶ deliver ─▶ read, call, settle
//! ```
//! Whether a trace is recorded is decided where it begins, and nowhere else. Off, a span is an empty value, and nothing is
//! built, measured or sent. Spans that cannot be sent are lost, counted, and hold nobody up.

mod context;
mod export;

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::SystemTime;

use opentelemetry::trace::Status;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

pub use context::Context;
pub use export::{TraceError, init, shutdown};
pub use opentelemetry::trace::SpanKind;

use export::Tracer;

static TRACER: OnceLock<Tracer> = OnceLock::new();

/// A piece of work. It ends when it is dropped.
#[derive(Debug, Default)]
pub struct Span {
    open: Option<Box<Open>>,
}

#[derive(Debug)]
struct Open {
    context: Context,
    parent: Option<Context>,
    kind: SpanKind,
    name: Cow<'static, str>,
    began: SystemTime,
    attributes: Vec<KeyValue>,
    status: Status,
}

impl Span {
    /// Of nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Begins a trace, if this process traces and `telemetry.sample_ratio` means this one.
    #[must_use]
    pub fn root(name: &'static str) -> Self {
        Self::root_of(name, SpanKind::Internal)
    }

    /// As [`Span::root`], of another kind.
    #[must_use]
    pub fn root_of(name: &'static str, kind: SpanKind) -> Self {
        match TRACER.get() {
            Some(tracer) if tracer.means_this_one() => Self::begin(name, kind, None),
            _ => Self::none(),
        }
    }

    /// Takes up work that another process has handed on.
    #[must_use]
    pub fn of(name: impl Into<Cow<'static, str>>, kind: SpanKind, parent: Option<&str>) -> Self {
        if TRACER.get().is_none() {
            return Self::none();
        }
        match parent.and_then(Context::parse) {
            Some(parent) if parent.is_sampled() => Self::begin(name, kind, Some(parent)),
            _ => Self::none(),
        }
    }

    /// A part of this work.
    #[must_use]
    pub fn child(&self, name: &'static str, kind: SpanKind) -> Self {
        Self::part_of(self.context(), name, kind)
    }

    /// A part of the work that this is the context of.
    #[must_use]
    pub fn part_of(whole: Option<Context>, name: &'static str, kind: SpanKind) -> Self {
        match whole {
            Some(whole) => Self::begin(name, kind, Some(whole)),
            None => Self::none(),
        }
    }

    /// Where parts of this work belong; `None` = it is not recorded.
    #[must_use]
    pub fn context(&self) -> Option<Context> {
        self.open.as_ref().map(|open| open.context)
    }

    fn begin(name: impl Into<Cow<'static, str>>, kind: SpanKind, parent: Option<Context>) -> Self {
        let context = parent.map_or_else(Context::new, Context::within);
        Self {
            open: Some(Box::new(Open {
                context,
                parent,
                kind,
                name: name.into(),
                began: SystemTime::now(),
                attributes: Vec::new(),
                status: Status::Unset,
            })),
        }
    }

    /// Whether it is recorded.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.open.is_some()
    }

    /// What is handed on to whoever goes on with the work, as a `traceparent`.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        self.open.as_ref().map(|open| open.context.to_string())
    }

    /// Adds what is known of the work. The value is not computed where nobody traces.
    pub fn set<V: Into<opentelemetry::Value>>(&mut self, key: &'static str, value: impl FnOnce() -> V) {
        if let Some(open) = &mut self.open {
            open.attributes.push(KeyValue::new(key, value()));
        }
    }

    /// The work failed. The reason must hold no secret.
    pub fn fail(&mut self, reason: impl FnOnce() -> String) {
        if let Some(open) = &mut self.open {
            open.status = Status::error(reason());
        }
    }

    /// There was nothing to do: it is not told.
    pub fn forget(mut self) {
        self.open = None;
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let (Some(open), Some(tracer)) = (self.open.take(), TRACER.get()) {
            tracer.end(open.into_data());
        }
    }
}

impl Open {
    fn into_data(self) -> SpanData {
        SpanData {
            span_context: self.context.to_otel(),
            parent_span_id: self.parent.map_or(opentelemetry::SpanId::INVALID, |parent| parent.span()),
            parent_span_is_remote: self.parent.is_some() && self.kind != SpanKind::Internal,
            span_kind: self.kind,
            name: self.name,
            start_time: self.began,
            end_time: SystemTime::now(),
            attributes: self.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: self.status,
            instrumentation_scope: InstrumentationScope::builder("tenant-sync")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn off_a_span_is_nothing_and_computes_nothing() {
        let mut span = Span::root("pass");
        assert!(!span.is_on() && span.traceparent().is_none());
        span.set("rows", || -> i64 { unreachable!("nobody traces") });
        span.fail(|| unreachable!("nobody traces"));
        let parent = Context::new().to_string();
        assert!(!Span::of("sync", SpanKind::Consumer, Some(&parent)).is_on());
        assert!(!span.child("commit", SpanKind::Internal).is_on());
    }
}
