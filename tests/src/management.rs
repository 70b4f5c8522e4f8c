//! RabbitMQ's management API.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::http::{self, Answer};
use crate::urls;

/// A node's management API. Cheap to clone. Counts that it shows are a few seconds old: for exact ones ask
/// [`crate::vhost::Vhost::ready_messages`].
#[derive(Debug, Clone)]
pub struct Management {
    address: String,
    authorization: String,
    user: String,
}

impl Management {
    /// `url` is the API's, `amqp_url` has the user and password.
    #[must_use]
    pub fn new(url: &str, amqp_url: &str) -> Self {
        let (user, password) = urls::credentials(amqp_url);
        let token = STANDARD.encode(format!("{user}:{password}"));
        Self {
            address: urls::address(url).to_owned(),
            authorization: format!("Authorization: Basic {token}"),
            user: user.to_owned(),
        }
    }

    /// Makes a vhost in which the user of the URL may do everything.
    ///
    /// # Errors
    /// The node refuses, or does not answer.
    pub async fn put_vhost(&self, vhost: &str) -> Result<(), String> {
        self.call("PUT", &format!("/api/vhosts/{vhost}"), &json!({})).await?;
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        self.call("PUT", &format!("/api/permissions/{vhost}/{}", self.user), &all).await?;
        Ok(())
    }

    /// Removes a vhost with everything in it; its connections are closed.
    ///
    /// # Errors
    /// As [`Management::put_vhost`].
    pub async fn delete_vhost(&self, vhost: &str) -> Result<(), String> {
        self.call("DELETE", &format!("/api/vhosts/{vhost}"), &Value::Null).await.map(drop)
    }

    /// What the API says about a queue, or `None` when there is no such queue.
    ///
    /// # Errors
    /// As [`Management::put_vhost`].
    pub async fn queue(&self, vhost: &str, queue: &str) -> Result<Option<Value>, String> {
        let answer = self.send("GET", &format!("/api/queues/{vhost}/{queue}"), &Value::Null).await?;
        if answer.status == 404 { Ok(None) } else { json_of(&answer).map(Some) }
    }

    /// All queues of a vhost.
    ///
    /// # Errors
    /// As [`Management::put_vhost`].
    pub async fn queues(&self, vhost: &str) -> Result<Vec<Value>, String> {
        list(&self.call("GET", &format!("/api/queues/{vhost}"), &Value::Null).await?)
    }

    /// Drops the ready messages of a queue.
    ///
    /// # Errors
    /// As [`Management::put_vhost`], and when there is no such queue.
    pub async fn purge_queue(&self, vhost: &str, queue: &str) -> Result<(), String> {
        self.call("DELETE", &format!("/api/queues/{vhost}/{queue}/contents"), &Value::Null).await.map(drop)
    }

    /// Removes a queue with its messages, as an operator might.
    ///
    /// # Errors
    /// As [`Management::purge_queue`].
    pub async fn delete_queue(&self, vhost: &str, queue: &str) -> Result<(), String> {
        self.call("DELETE", &format!("/api/queues/{vhost}/{queue}"), &Value::Null).await.map(drop)
    }

    /// All connections of a vhost.
    ///
    /// # Errors
    /// As [`Management::put_vhost`].
    pub async fn connections(&self, vhost: &str) -> Result<Vec<Value>, String> {
        list(&self.call("GET", &format!("/api/vhosts/{vhost}/connections"), &Value::Null).await?)
    }

    /// Closes all connections of a vhost from the node's side, and says how many there were.
    ///
    /// # Errors
    /// As [`Management::put_vhost`].
    pub async fn close_connections(&self, vhost: &str) -> Result<usize, String> {
        let connections = self.connections(vhost).await?;
        for connection in &connections {
            let name = connection["name"].as_str().unwrap_or_default();
            let name = name.replace(' ', "%20").replace('>', "%3E");
            let answer = self.send("DELETE", &format!("/api/connections/{name}"), &Value::Null).await?;
            // One that ended meanwhile is fine.
            if answer.status != 404 {
                json_of(&answer)?;
            }
        }
        Ok(connections.len())
    }

    /// Any request; the answer is the body as JSON (null when it is empty).
    ///
    /// # Errors
    /// As [`Management::put_vhost`].
    pub async fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let answer = self.send(method, path, body).await?;
        json_of(&answer).map_err(|reason| format!("{method} {path}: {reason}"))
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> Result<Answer, String> {
        let headers = [self.authorization.clone(), "Content-Type: application/json".to_owned()];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        http::request(&self.address, method, path, &headers, &body).await
    }
}

fn json_of(answer: &Answer) -> Result<Value, String> {
    match answer.status {
        200..=299 if answer.body.is_empty() => Ok(Value::Null),
        200..=299 => serde_json::from_str(&answer.body).map_err(|error| error.to_string()),
        status => Err(format!("status {status}: {}", answer.body)),
    }
}

fn list(value: &Value) -> Result<Vec<Value>, String> {
    value.as_array().cloned().ok_or_else(|| format!("not a list: {value}"))
}
