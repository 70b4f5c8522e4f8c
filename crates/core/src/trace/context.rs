//! A W3C trace context: which trace, which span of it, and whether it is recorded.

use std::fmt;

use opentelemetry::trace::{SpanContext, TraceState};
use opentelemetry::{SpanId, TraceFlags, TraceId};

/// What a `traceparent` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    trace: TraceId,
    span: SpanId,
    sampled: bool,
}

impl Context {
    /// A new trace, recorded.
    pub(super) fn new() -> Self {
        Self { trace: TraceId::from(rand::random::<u128>() | 1), span: new_span(), sampled: true }
    }

    /// Another span in the same trace.
    pub(super) fn within(self) -> Self {
        Self { span: new_span(), ..self }
    }

    /// Reads a `traceparent`; `None` if it is none (a message may come from anybody).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_hex =
            |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        let lengths = [version.len(), trace.len(), span.len(), flags.len()];
        // Later versions may say more at the end; this one may not.
        let well_formed = lengths == [2, 32, 16, 2] && [version, trace, span, flags].into_iter().all(is_hex);
        if !well_formed || version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let trace = TraceId::from(u128::from_str_radix(trace, 16).ok()?);
        let span = SpanId::from(u64::from_str_radix(span, 16).ok()?);
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        (trace != TraceId::INVALID && span != SpanId::INVALID).then_some(Self { trace, span, sampled })
    }

    pub(super) fn is_sampled(self) -> bool {
        self.sampled
    }

    pub(super) fn span(self) -> SpanId {
        self.span
    }

    pub(super) fn to_otel(self) -> SpanContext {
        let flags = if self.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        SpanContext::new(self.trace, self.span, flags, false, TraceState::NONE)
    }
}

fn new_span() -> SpanId {
    SpanId::from(rand::random::<u64>() | 1)
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}") {
            let _ = Context::parse(&text);
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let context = Context::new();
        let text = context.to_string();
        assert_eq!((text.len(), Context::parse(&text)), (55, Some(context)));
        let child = context.within();
        assert!(child.trace == context.trace && child.span != context.span && child.is_sampled());
    }

    #[test]
    fn what_is_no_context_is_refused() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        assert!(Context::parse(good).is_some_and(|context| !context.is_sampled()));
        assert!(Context::parse(&format!("cc{}-later", &good[2..])).is_some(), "a later version");
        for bad in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        ] {
            assert_eq!(Context::parse(bad), None, "{bad}");
        }
    }
}
