//! The order to send what is due for a destination, as a message, there and back.

use std::time::Duration;

use lapin::BasicProperties;
use prost::Message as _;
use uuid::Uuid;

use super::consumer::FromMessage;
use super::job::{MAX_BODY_BYTES, Undecodable, header_text, message_properties};
use super::names::{self, Queue};
use crate::outbox::{DeliveryClaim, Held};
use crate::proto::HttpDeliveryJob;

/// One order for a request worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryJob {
    /// Row and claim: what taking the row wants.
    pub held: Held,
    /// "HttpDestination".id, as the message says. The row's word counts.
    pub destination_id: Uuid,
    /// W3C trace context, if the message carries one.
    pub traceparent: Option<String>,
}

impl FromMessage for DeliveryJob {
    const QUEUE: Queue = Queue::Requests;
    const BULK: Option<Queue> = None;

    fn decode(body: &[u8], properties: &BasicProperties) -> Result<Self, Undecodable> {
        decode(body, properties)
    }

    fn request_id(&self) -> Uuid {
        self.held.request_id
    }
}

/// The message for a claim: its body.
pub(super) fn encode(claim: &DeliveryClaim) -> Vec<u8> {
    let job = HttpDeliveryJob {
        request_id: claim.request_id.to_string(),
        claim: claim.claim,
        destination_id: claim.destination_id.to_string(),
    };
    job.encode_to_vec()
}

/// The message for a claim: its properties. It expires in the broker when the claim does.
pub(super) fn properties(
    claim: &DeliveryClaim,
    expires_after: Duration,
    traceparent: Option<String>,
) -> BasicProperties {
    let id = format!("{}:{}", claim.request_id, claim.claim);
    let tenancy = claim.tenancy_id.map(|id| (names::TENANCY_HEADER, id.to_string()));
    message_properties(names::DELIVERY_JOB_TYPE, id, tenancy, expires_after, traceparent)
}

/// Reads a message of the queue for requests.
///
/// # Errors
/// It is no order of ours; the text says what is wrong with it.
pub fn decode(body: &[u8], properties: &BasicProperties) -> Result<DeliveryJob, Undecodable> {
    if let Some(kind) = properties.kind().as_ref().filter(|k| k.as_str() != names::DELIVERY_JOB_TYPE) {
        return Err(Undecodable::Type(kind.as_str().chars().take(100).collect()));
    }
    if body.len() > MAX_BODY_BYTES {
        return Err(Undecodable::Length(body.len()));
    }
    let job = HttpDeliveryJob::decode(body).map_err(|e| Undecodable::Body(e.to_string()))?;
    let request_id = job.request_id.parse().map_err(|_| Undecodable::Field("request_id"))?;
    let destination_id = job.destination_id.parse().map_err(|_| Undecodable::Field("destination_id"))?;
    if job.claim < 1 {
        return Err(Undecodable::Field("claim"));
    }
    Ok(DeliveryJob {
        held: Held { request_id, claim: job.claim },
        destination_id,
        traceparent: header_text(properties, names::TRACE_HEADER),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn a_claim(id: u128, claim: i64) -> DeliveryClaim {
        DeliveryClaim {
            request_id: Uuid::from_u128(id),
            claim,
            destination_id: Uuid::from_u128(id ^ 7),
            tenancy_id: None,
        }
    }

    proptest! {
        #[test]
        fn what_is_sent_is_what_is_read(id: u128, claim in 1..=i64::MAX) {
            let sent = a_claim(id, claim);
            let read = decode(&encode(&sent), &properties(&sent, Duration::from_secs(30), None)).expect("readable");
            prop_assert_eq!(read.held, Held { request_id: sent.request_id, claim });
            prop_assert_eq!(read.destination_id, sent.destination_id);
            prop_assert_eq!(read.traceparent.map(|t| t.len()), Some(55));
        }

        #[test]
        fn any_bytes_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&body, &BasicProperties::default());
        }
    }

    #[test]
    fn the_reason_says_what_is_wrong() {
        let good = a_claim(1, 1);
        let plain = BasicProperties::default();
        let of_a_sync = plain.clone().with_type(names::JOB_TYPE.into());
        assert_eq!(decode(&encode(&good), &of_a_sync), Err(Undecodable::Type(names::JOB_TYPE.into())));
        assert_eq!(decode(&encode(&a_claim(1, 0)), &plain), Err(Undecodable::Field("claim")));
        assert_eq!(decode(&[], &plain), Err(Undecodable::Field("request_id")));
        assert!(matches!(decode(b"not a job", &plain), Err(Undecodable::Body(_))));
        assert_eq!(
            decode(&vec![0; MAX_BODY_BYTES + 1], &plain),
            Err(Undecodable::Length(MAX_BODY_BYTES + 1))
        );
    }
}
