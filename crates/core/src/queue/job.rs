//! A sync job as a message, there and back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use prost::Message as _;
use uuid::Uuid;

use super::consumer::FromMessage;
use super::names::{self, Queue};
use crate::outbox::{Claim, Held, TargetKey};
use crate::proto::TenantSyncJob;

/// Longest body that is looked at. A job is some 120 bytes.
pub(super) const MAX_BODY_BYTES: usize = 64 * 1024;
/// Persistent: a broker that restarts still has it.
const PERSISTENT: u8 = 2;

/// One sync job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Row and claim: what `outbox::take` wants.
    pub held: Held,
    /// Whose sync it is, as the message says. The row's word counts.
    pub target: TargetKey,
    /// W3C trace context, if the message carries one.
    pub traceparent: Option<String>,
}

impl FromMessage for Job {
    const QUEUE: Queue = Queue::Live;
    const BULK: Option<Queue> = Some(Queue::Bulk);

    fn decode(body: &[u8], properties: &BasicProperties) -> Result<Self, Undecodable> {
        decode(body, properties)
    }

    fn request_id(&self) -> Uuid {
        self.held.request_id
    }
}

/// Why a message cannot be read. The text goes into a header of the dead message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// Not a job at all.
    #[error("type is {0:?}, which is another one's")]
    Type(String),
    /// Longer than any job.
    #[error("body has {0} bytes, more than any job")]
    Length(usize),
    /// Not protobuf, or another message.
    #[error("body is not a job: {0}")]
    Body(String),
    /// A field is not what it must be.
    #[error("field {0} is not usable")]
    Field(&'static str),
}

/// The message for a claim: its body.
pub(super) fn encode(claim: &Claim) -> Vec<u8> {
    let job = TenantSyncJob {
        request_id: claim.request_id.to_string(),
        claim: claim.claim,
        tenancy_id: claim.target.tenancy_id.to_string(),
        database_id: claim.target.database_id.clone(),
    };
    job.encode_to_vec()
}

/// The message for a claim: its properties. It expires in the broker when the claim does.
/// `traceparent` is that of the span that publishes, if it is traced.
pub(super) fn properties(
    claim: &Claim,
    expires_after: Duration,
    traceparent: Option<String>,
) -> BasicProperties {
    let id = format!("{}:{}", claim.request_id, claim.claim);
    let tenancy = (names::TENANCY_HEADER, claim.target.tenancy_id.to_string());
    let traceparent = traceparent.or_else(|| claim.traceparent.clone());
    message_properties(names::JOB_TYPE, id, Some(tenancy), expires_after, traceparent)
}

/// Properties that all our messages have.
pub(super) fn message_properties(
    kind: &'static str,
    message_id: String,
    header: Option<(&'static str, String)>,
    expires_after: Duration,
    traceparent: Option<String>,
) -> BasicProperties {
    let mut headers = FieldTable::default();
    if let Some((name, value)) = header {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    let traceparent = traceparent.unwrap_or_else(new_traceparent);
    headers.insert(names::TRACE_HEADER.into(), AMQPValue::LongString(traceparent.into()));
    BasicProperties::default()
        .with_content_type(names::CONTENT_TYPE.into())
        .with_type(kind.into())
        .with_app_id(names::APP_ID.into())
        .with_message_id(message_id.into())
        .with_timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
        .with_expiration(expires_after.as_millis().to_string().into())
        .with_delivery_mode(PERSISTENT)
        .with_headers(headers)
}

/// Version 00, a new trace, a new span, not sampled: enough to find one job in all logs.
fn new_traceparent() -> String {
    format!("00-{}-{:016x}-00", Uuid::new_v4().simple(), rand::random::<u64>() | 1)
}

/// Reads a message.
pub(super) fn decode(body: &[u8], properties: &BasicProperties) -> Result<Job, Undecodable> {
    if let Some(kind) = properties.kind().as_ref().filter(|k| k.as_str() != names::JOB_TYPE) {
        return Err(Undecodable::Type(kind.as_str().chars().take(100).collect()));
    }
    if body.len() > MAX_BODY_BYTES {
        return Err(Undecodable::Length(body.len()));
    }
    let job = TenantSyncJob::decode(body).map_err(|e| Undecodable::Body(e.to_string()))?;
    let request_id = job.request_id.parse().map_err(|_| Undecodable::Field("request_id"))?;
    let tenancy_id = job.tenancy_id.parse().map_err(|_| Undecodable::Field("tenancy_id"))?;
    if job.claim < 1 {
        return Err(Undecodable::Field("claim"));
    }
    if job.database_id.is_empty() || job.database_id.len() > 63 {
        return Err(Undecodable::Field("database_id"));
    }
    Ok(Job {
        held: Held { request_id, claim: job.claim },
        target: TargetKey { tenancy_id, database_id: job.database_id },
        traceparent: header_text(properties, names::TRACE_HEADER),
    })
}

pub(super) fn header_text(properties: &BasicProperties, name: &str) -> Option<String> {
    match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok().map(str::to_owned),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::outbox::Lane;

    fn a_claim(id: u128, claim: i64, database_id: &str) -> Claim {
        let target = TargetKey { tenancy_id: Uuid::from_u128(id ^ 7), database_id: database_id.to_owned() };
        Claim { request_id: Uuid::from_u128(id), claim, target, lane: Lane::Live, traceparent: None }
    }

    proptest! {
        #[test]
        fn what_is_sent_is_what_is_read(id: u128, claim in 1..=i64::MAX, database in "[A-Za-z0-9_-]{1,63}") {
            let sent = a_claim(id, claim, &database);
            let read = decode(&encode(&sent), &properties(&sent, Duration::from_secs(30), None)).expect("readable");
            prop_assert_eq!(read.held, Held { request_id: sent.request_id, claim });
            prop_assert_eq!(read.target, sent.target);
            prop_assert_eq!(read.traceparent.map(|t| t.len()), Some(55));
        }

        #[test]
        fn any_bytes_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&body, &BasicProperties::default());
        }
    }

    #[test]
    fn the_reason_says_what_is_wrong() {
        let good = a_claim(1, 1, "main");
        let plain = BasicProperties::default();
        let wrong_type = plain.clone().with_type("other".into());
        assert_eq!(decode(&encode(&good), &wrong_type), Err(Undecodable::Type("other".into())));
        assert_eq!(decode(&encode(&a_claim(1, 0, "main")), &plain), Err(Undecodable::Field("claim")));
        assert_eq!(decode(&encode(&a_claim(1, 1, "")), &plain), Err(Undecodable::Field("database_id")));
        assert_eq!(decode(&[], &plain), Err(Undecodable::Field("request_id")));
        assert!(matches!(decode(b"not a job", &plain), Err(Undecodable::Body(_))));
        assert_eq!(
            decode(&vec![0; MAX_BODY_BYTES + 1], &plain),
            Err(Undecodable::Length(MAX_BODY_BYTES + 1))
        );
        assert!(decode(&encode(&good), &plain).is_ok(), "a message of a neighbouring version without a type");
    }
}
