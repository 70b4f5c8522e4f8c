//! One call: what is sent for one request, or for a batch of events.

use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tenant_sync_core::http::outcome::Class;
use tenant_sync_core::http::sign::Signer;
use tenant_sync_core::http::{Client, Destination, Failure, Request, UrlError, check_header};
use tenant_sync_core::outbox::requests::Due;
use uuid::Uuid;

use crate::chains::Call;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
/// With the content's type.
const HEADERS_OF_OURS: usize = 4;
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What all calls of a trigger have in common; plain requests bring it along.
#[derive(Debug, Default)]
pub(crate) struct Common {
    pub(crate) destination: Option<Destination>,
    pub(crate) headers: HeaderMap,
    pub(crate) signer: Signer,
    pub(crate) timeout: Option<Duration>,
    /// Whether events go in arrays.
    pub(crate) batched: bool,
    /// Why nothing can be sent at all.
    pub(crate) refused: Option<Failure>,
}

/// What a call came to.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) rows: Call,
    pub(crate) class: Class,
    pub(crate) status: Option<u16>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) error: Option<String>,
    pub(crate) excerpt: Option<String>,
    pub(crate) began: Instant,
    pub(crate) took: Duration,
}

/// Sends a call to its end.
pub(crate) async fn send(client: &Client, common: &Common, mut rows: Call) -> Called {
    let began = Instant::now();
    let answered = match build(client, common, &mut rows) {
        Ok((destination, request)) => {
            let destination = common.destination.as_ref().or(destination.as_ref());
            match destination {
                Some(destination) => client.send(request.to(destination)).await,
                None => Err(unsendable("it has no URL".to_owned())),
            }
        }
        Err(failure) => Err(failure),
    };
    let took = began.elapsed();
    let called = Called {
        rows,
        class: Class::Ours,
        status: None,
        retry_after: None,
        error: None,
        excerpt: None,
        began,
        took,
    };
    match answered {
        Ok(answer) => Called {
            class: answer.class(),
            status: Some(answer.status),
            retry_after: answer.retry_after,
            excerpt: Some(answer.excerpt).filter(|text| !text.is_empty()),
            ..called
        },
        Err(failure) => Called { class: failure.class, error: Some(failure.detail), ..called },
    }
}

/// A request but for where it goes.
struct Draft {
    method: Method,
    headers: HeaderMap,
    body: Bytes,
    timeout: Option<Duration>,
}

impl Draft {
    fn to(self, destination: &Destination) -> Request<'_> {
        let Self { method, headers, body, timeout } = self;
        Request { destination, method, headers, body, timeout }
    }
}

fn unsendable(detail: String) -> Failure {
    Failure { class: Class::Unsendable, detail }
}

/// Takes the body out of a row that is sent by itself: nobody needs it afterwards.
fn build(
    client: &Client,
    common: &Common,
    rows: &mut [Due],
) -> Result<(Option<Destination>, Draft), Failure> {
    if let Some(failure) = &common.refused {
        return Err(failure.clone());
    }
    let batch = common.batched.then(|| (batch_id(rows), batch_body(rows)));
    let Some(first) = rows.first_mut() else {
        return Err(unsendable("there is nothing to send".to_owned()));
    };
    let mut headers = HeaderMap::with_capacity(common.headers.len() + HEADERS_OF_OURS);
    headers.extend(common.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
    if let Some(own) = &first.headers {
        headers.extend(read_headers(own)?);
    }
    let destination = match (&common.destination, &first.url) {
        (None, Some(url)) => {
            let parsed = client.destination(url).map_err(|error| refused(&error))?;
            Some(parsed)
        }
        _ => None,
    };
    let method = match &first.method {
        None => Method::POST,
        Some(name) => Method::from_bytes(name.as_bytes())
            .map_err(|_| unsendable("its method is not one of HTTP".to_owned()))?,
    };
    if first.body.is_some() && !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, JSON);
    }
    let mut buffer = Uuid::encode_buffer();
    let (batch_id, batch_body) = batch.unzip();
    let id = match &batch_id {
        Some(id) => id.as_str(),
        None => first.id.hyphenated().encode_lower(&mut buffer),
    };
    let body = batch_body.or_else(|| first.body.take()).unwrap_or_default();
    let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let timestamp = i64::try_from(timestamp).unwrap_or(i64::MAX);
    let text = |value: &str| {
        HeaderValue::from_str(value).map_err(|_| unsendable("a header of ours cannot be written".to_owned()))
    };
    if let Some(signature) = common.signer.sign(id, timestamp, body.as_bytes()) {
        headers.insert(SIGNATURE, text(&signature)?);
    }
    headers.insert(ID, text(id)?);
    headers.insert(TIMESTAMP, HeaderValue::from(timestamp));
    let timeout = first.timeout.or(common.timeout);
    Ok((destination, Draft { method, headers, body: Bytes::from(body), timeout }))
}

/// Why a URL may not be called: its address, or the rest of it.
pub(crate) fn refused(error: &UrlError) -> Failure {
    let class = match error {
        UrlError::Guard(_) => Class::AddressRefused,
        _ => Class::Unsendable,
    };
    Failure { class, detail: error.to_string() }
}

/// Headers as they are kept: an object of strings.
pub(crate) fn read_headers(object: &Value) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        let value = value.as_str().ok_or_else(|| unsendable(format!("header {name} is no text")))?;
        let (name, value) = check_header(name, value).map_err(|error| unsendable(error.to_string()))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// The same events in the same order have the same id, others another, so that a receiver that remembers ids drops
/// what it has had and nothing else.
fn batch_id(rows: &[Due]) -> String {
    let mut digest = Sha256::new();
    for row in rows {
        digest.update(row.id.as_bytes());
    }
    let mut id = "batch_".to_owned();
    for byte in &digest.finalize()[..16] {
        let _ = write!(id, "{byte:02x}");
    }
    id
}

/// An array of the events, each with its `id`, by which a receiver knows one that it has had in another batch.
fn batch_body(rows: &[Due]) -> String {
    let mut body = "[".to_owned();
    for row in rows {
        if body.len() > 1 {
            body.push(',');
        }
        let event = row.body.as_deref().unwrap_or("{}").trim();
        let _ = match event.strip_prefix('{') {
            Some(rest) if rest.trim_start().starts_with('}') => write!(body, "{{\"id\":\"{}\"{rest}", row.id),
            Some(rest) => write!(body, "{{\"id\":\"{}\",{rest}", row.id),
            None => write!(body, "{{\"id\":\"{}\",\"data\":{event}}}", row.id),
        };
    }
    body.push(']');
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(id: u128, body: &str) -> Due {
        Due {
            id: Uuid::from_u128(id),
            position: 0,
            due_at: SystemTime::UNIX_EPOCH,
            due_in: Duration::ZERO,
            age: Duration::ZERO,
            attempts: 0,
            event_type: Some("user.created".into()),
            body: Some(body.into()),
            order_key: None,
            method: None,
            url: None,
            headers: None,
            timeout: None,
        }
    }

    #[test]
    fn a_batch_is_an_array_of_events_with_their_ids() {
        let rows = [due(1, r#"{"type":"a"}"#), due(2, " { } "), due(3, "7")];
        let body: Value = serde_json::from_str(&batch_body(&rows)).expect("JSON");
        let id = |n| Uuid::from_u128(n).to_string();
        assert_eq!(
            body,
            serde_json::json!([{"id": id(1), "type": "a"}, {"id": id(2)}, {"id": id(3), "data": 7}])
        );
    }

    #[test]
    fn a_batch_has_the_id_of_what_is_in_it() {
        let rows = [due(1, "{}"), due(2, "{}"), due(3, "{}")];
        assert_eq!(batch_id(&rows), batch_id(&rows.clone()));
        assert_ne!(batch_id(&rows), batch_id(&rows[..2]));
        assert!(!batch_id(&rows).contains('.'), "a signature's parts are told apart by full stops");
    }

    #[test]
    fn stored_headers_are_checked_again() {
        let good = read_headers(&serde_json::json!({"X-Key": "a"})).expect("good");
        assert_eq!(good.get("x-key").map(HeaderValue::as_bytes), Some(&b"a"[..]));
        for bad in
            [serde_json::json!({"host": "x"}), serde_json::json!({"X": 7}), serde_json::json!({"X": "a\nb"})]
        {
            assert_eq!(read_headers(&bad).expect_err("bad").class, Class::Unsendable);
        }
        assert!(read_headers(&Value::Null).expect("none").is_empty());
    }
}
