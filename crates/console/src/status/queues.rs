//! What RabbitMQ's management API says of the queues. It is asked at most once in two seconds, within a bounded time, and
//! where it says nothing neither do we.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tenant_sync_core::config::RabbitMq;
use tenant_sync_core::queue::names::Queue;
use time::OffsetDateTime;
use tokio::sync::Mutex;

use super::model::{QueueStatus, QueuesStatus};
use crate::http::At;

const TIMEOUT: Duration = Duration::from_millis(1_500);
const KEPT_FOR: Duration = Duration::from_secs(2);
/// More than a queue's description has.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The way to the management API.
#[derive(Debug)]
pub(crate) struct Queues {
    api: Option<Api>,
    last: Mutex<Option<(Instant, QueuesStatus)>>,
}

#[derive(Debug)]
struct Api {
    client: reqwest::Client,
    /// Without user and password, and without a slash at its end.
    url: String,
    /// The same, as people's browsers know it.
    ui_url: String,
    vhost: String,
    authorization: SecretString,
}

impl Queues {
    /// # Errors
    /// `rabbitmq.management_url` or `rabbitmq.ui_url` is no address.
    pub(crate) fn new(config: &RabbitMq) -> anyhow::Result<Self> {
        let api = config.management_url.as_deref().map(|url| Api::new(url, config)).transpose()?;
        Ok(Self { api, last: Mutex::default() })
    }

    /// What is known. Whoever comes while it is being asked waits for the same answer.
    pub(crate) async fn status(&self) -> QueuesStatus {
        let Some(api) = &self.api else {
            return unknown(None, "rabbitmq.management_url is not set".into());
        };
        let mut last = self.last.lock().await;
        if let Some((at, status)) = &*last
            && at.elapsed() < KEPT_FOR
        {
            return status.clone();
        }
        let asked = tokio::time::timeout(TIMEOUT, api.ask()).await;
        let status = match asked.unwrap_or_else(|_| Err("it does not answer".into())) {
            Ok(queues) => QueuesStatus {
                known: true,
                reason: None,
                management_url: Some(api.ui_url.clone()),
                at: Some(At(OffsetDateTime::now_utc())),
                queues,
            },
            Err(reason) => unknown(Some(api.ui_url.clone()), format!("RabbitMQ's management API: {reason}")),
        };
        *last = Some((Instant::now(), status.clone()));
        status
    }
}

fn unknown(management_url: Option<String>, reason: String) -> QueuesStatus {
    QueuesStatus { known: false, reason: Some(reason), management_url, at: None, queues: Vec::new() }
}

/// What a key has for an address of the management.
fn address(key: &str, url: &str) -> anyhow::Result<reqwest::Url> {
    let parsed = reqwest::Url::parse(url).ok();
    parsed
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| anyhow::anyhow!("{key} must be an address such as http://127.0.0.1:15672"))
}

/// Without user and password, and without a slash at its end.
fn bare(mut url: reqwest::Url) -> String {
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.as_str().trim_end_matches('/').to_owned()
}

impl Api {
    fn new(url: &str, config: &RabbitMq) -> anyhow::Result<Self> {
        let asked = address("rabbitmq.management_url", url)?;
        let shown = config
            .ui_url
            .as_deref()
            .map_or_else(|| Ok(asked.clone()), |url| address("rabbitmq.ui_url", url))?;
        let broker = reqwest::Url::parse(config.url.expose_secret()).map_err(|_| {
            anyhow::anyhow!("rabbitmq.url must be an address such as amqp://user:password@host/vhost")
        })?;
        // The broker's user, unless the address has one of its own.
        let login = if asked.username().is_empty() { &broker } else { &asked };
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (user, password) = (decode(login.username()), decode(login.password().unwrap_or_default()));
        let (user, password) =
            if user.is_empty() { ("guest".into(), "guest".into()) } else { (user, password) };
        let authorization = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        let vhost = match decode(broker.path().trim_start_matches('/')) {
            vhost if vhost.is_empty() => "/".to_owned(),
            vhost => vhost,
        };
        Ok(Self {
            client: client()?,
            url: bare(asked),
            ui_url: bare(shown),
            vhost: utf8_percent_encode(&vhost, NON_ALPHANUMERIC).to_string(),
            authorization: authorization.into(),
        })
    }

    async fn ask(&self) -> Result<Vec<QueueStatus>, String> {
        let asked = Queue::ALL.iter().map(|queue| self.queue(queue.name()));
        futures_util::future::try_join_all(asked).await
    }

    async fn queue(&self, name: &str) -> Result<QueueStatus, String> {
        let url = format!("{}/api/queues/{}/{name}", self.url, self.vhost);
        let request = self.client.get(url).header("authorization", self.authorization.expose_secret());
        let mut answer = request.send().await.map_err(|_| "it cannot be reached".to_owned())?;
        if answer.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(queue_status(name, &Value::Null));
        }
        if !answer.status().is_success() {
            return Err(format!("it answers {}", answer.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|_| "its answer broke off".to_owned())? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err("its answer is too long".to_owned());
            }
            body.extend_from_slice(&chunk);
        }
        let queue: Value = serde_json::from_slice(&body).map_err(|_| "its answer is not JSON".to_owned())?;
        Ok(queue_status(name, &queue))
    }
}

fn client() -> anyhow::Result<reqwest::Client> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(TIMEOUT)
        .pool_max_idle_per_host(4);
    Ok(client.build()?)
}

fn queue_status(name: &str, queue: &Value) -> QueueStatus {
    let rate = |what: &str| queue["message_stats"][format!("{what}_details")]["rate"].as_f64();
    let exists = !queue.is_null();
    QueueStatus {
        name: name.to_owned(),
        exists,
        depth: queue["messages"].as_i64(),
        ready: queue["messages_ready"].as_i64(),
        unacknowledged: queue["messages_unacknowledged"].as_i64(),
        consumers: queue["consumers"].as_i64(),
        // A queue that never had a message has no statistics.
        published_per_second: exists.then(|| rate("publish").unwrap_or(0.0)),
        acknowledged_per_second: exists.then(|| rate("ack").unwrap_or(0.0)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn api(url: &str, amqp: &str) -> Api {
        let config = RabbitMq { url: amqp.into(), management_url: Some(url.to_owned()), ui_url: None };
        Api::new(url, &config).expect("good")
    }

    #[tokio::test]
    async fn people_are_sent_where_their_browsers_find_it() {
        let mut config = RabbitMq {
            url: "amqp://u:hunter3@127.0.0.1".into(),
            management_url: Some("http://127.0.0.1:9".to_owned()),
            ui_url: Some("https://own:hunter2@queues.example/rabbit/".to_owned()),
        };
        let queues = Queues::new(&config).expect("good");
        let status = queues.status().await;
        assert_eq!(status.management_url.as_deref(), Some("https://queues.example/rabbit"));
        config.ui_url = Some("javascript:alert(1)".to_owned());
        let error = Queues::new(&config).expect_err("no address").to_string();
        assert!(error.starts_with("rabbitmq.ui_url must be an address"), "{error}");
    }

    #[test]
    fn the_login_is_the_brokers_and_never_shown() {
        let api = api("http://own:hunter2@h:15672/", "amqp://u:hunter3@h/%2fprod");
        assert_eq!((api.url.as_str(), api.vhost.as_str()), ("http://h:15672", "%2Fprod"));
        assert_eq!(api.authorization.expose_secret(), format!("Basic {}", STANDARD.encode("own:hunter2")));
        let debug = format!("{api:?}");
        assert!(!debug.contains("hunter"), "{debug}");
        let plain = self::api("https://h", "amqp://u:hunter3@h");
        assert_eq!((plain.url.as_str(), plain.vhost.as_str()), ("https://h", "%2F"));
    }

    #[test]
    fn a_queue_without_statistics_has_rates_of_zero_and_one_that_is_gone_has_none() {
        let idle = queue_status("q", &json!({ "messages": 3, "messages_ready": 2, "consumers": 1 }));
        assert_eq!((idle.depth, idle.published_per_second), (Some(3), Some(0.0)));
        let gone = queue_status("q", &Value::Null);
        assert_eq!((gone.exists, gone.depth, gone.published_per_second), (false, None, None));
    }
}
