//! A console, and requests to it. Each answer is compared with what its OpenAPI document says.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::http::{self, Answer};
use crate::openapi::Document;
use crate::ports::free_port;
use crate::stack::Stack;
use crate::worker::{Setup, Worker};

/// Longest wait for an event.
const EVENT_WITHIN: Duration = Duration::from_secs(30);

/// A running console. Its one key is [`Console::KEY`], of `ann`.
#[derive(Debug)]
pub struct Console {
    /// The process.
    pub worker: Worker,
    address: String,
    document: Document,
}

/// What a request was answered.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The body; null if there is none.
    pub body: Value,
    /// All of it.
    pub answer: Answer,
}

impl Console {
    /// The key.
    pub const KEY: &'static str = "0123456789abcdef-key";
    /// Where everything about syncing is.
    pub const SYNC: &'static str = "/api/v1/internal/external-db-sync";

    /// Starts one on a free port.
    ///
    /// # Panics
    /// It does not become ready.
    pub async fn start(stack: &Stack) -> Self {
        Self::start_with(stack, |setup| setup).await
    }

    /// The same with other settings.
    ///
    /// # Panics
    /// It does not become ready.
    pub async fn start_with(stack: &Stack, change: impl FnOnce(Setup) -> Setup) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let setup = stack
            .worker("console")
            .set("console.listen", &address)
            .set("console.admin_keys", format!("ann:{}", Self::KEY));
        let worker = change(setup).start().await;
        let answer = http::get(&address, "/api/v1/openapi.json").await.expect("the document");
        let document = Document::new(serde_json::from_str(&answer.body).expect("JSON"));
        Self { worker, address, document }
    }

    /// `127.0.0.1:PORT`
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its OpenAPI document.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// A request with these header lines, whatever comes of it. What the document says is not looked at.
    ///
    /// # Panics
    /// There is no answer.
    pub async fn raw(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let headers: Vec<String> = headers.iter().map(|line| (*line).to_owned()).collect();
        http::request(&self.address, method, path, &headers, body).await.expect("an answer")
    }

    /// Logs in; the header line by which a browser says so from then on.
    ///
    /// # Panics
    /// It is not let in.
    pub async fn cookie(&self) -> String {
        let key = serde_json::json!({ "key": Self::KEY }).to_string();
        let login = self.raw("POST", "/api/v1/session", &["Content-Type: application/json"], &key).await;
        assert_eq!(login.status, 204, "{login:?}");
        let cookie = login.header("set-cookie").and_then(|line| line.split(';').next()).expect("a cookie");
        format!("Cookie: {cookie}")
    }

    /// A request with the key.
    ///
    /// # Panics
    /// There is no answer, or not one that the document describes.
    pub async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let key = format!("Authorization: Bearer {}", Self::KEY);
        let text = body.map(ToString::to_string).unwrap_or_default();
        let mut headers = vec![key.as_str()];
        if body.is_some() {
            headers.push("Content-Type: application/json");
        }
        let answer = self.raw(method, path, &headers, &text).await;
        let what = format!("{method} {path}");
        let (_, operation) =
            self.document.operation(method, path).unwrap_or_else(|| panic!("{what} is not described"));
        let body = match self.document.answer(operation, answer.status) {
            None => {
                assert!(answer.body.is_empty(), "{what}: {answer:?}");
                Value::Null
            }
            Some(schema) => {
                let value = serde_json::from_str(&answer.body)
                    .unwrap_or_else(|error| panic!("{what}: {error}: {answer:?}"));
                let fits = self.document.validate(schema, &value, "it");
                fits.unwrap_or_else(|reason| panic!("{what} ({}): {reason}\n{value:#}", answer.status));
                value
            }
        };
        Reply { status: answer.status, body, answer }
    }

    /// What `GET` answers, if all is well. `path` may begin with `…` for [`Console::SYNC`].
    ///
    /// # Panics
    /// It is not.
    pub async fn get(&self, path: &str) -> Value {
        self.good("GET", path, None).await
    }

    /// What `POST` answers, if all is well.
    ///
    /// # Panics
    /// It is not.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        self.good("POST", path, Some(body)).await
    }

    /// What a request answers, if all is well.
    ///
    /// # Panics
    /// It is not.
    pub async fn good(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let path = Self::whole(path);
        let reply = self.call(method, &path, body).await;
        assert!(reply.status < 300, "{method} {path}: {reply:?}");
        reply.body
    }

    /// A request is refused with this status, and its problem names this field and says this.
    ///
    /// # Panics
    /// It is not.
    pub async fn refused(
        &self,
        (method, path): (&str, &str),
        body: Option<&Value>,
        status: u16,
        field: Option<&str>,
        says: &str,
    ) {
        let path = Self::whole(path);
        let reply = self.call(method, &path, body).await;
        assert_eq!(reply.status, status, "{method} {path}: {reply:?}");
        assert_eq!(reply.body["field"].as_str(), field, "{method} {path}: {reply:?}");
        assert!(reply.body["detail"].as_str().is_some_and(|text| text.contains(says)), "{says:?}: {reply:?}");
    }

    fn whole(path: &str) -> String {
        path.strip_prefix('…').map_or_else(|| path.to_owned(), |rest| format!("{}{rest}", Self::SYNC))
    }

    /// Opens the stream of events.
    ///
    /// # Panics
    /// It is refused.
    pub async fn listen(&self) -> Stream {
        let mut stream = TcpStream::connect(&self.address).await.expect("a connection");
        let request = format!(
            "GET {}/events HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
            Self::SYNC,
            self.address,
            Self::KEY
        );
        stream.write_all(request.as_bytes()).await.expect("a request");
        let mut stream = Stream(BufReader::new(stream));
        let status = stream.line().await.expect("an answer");
        assert!(status.contains(" 200 "), "{status}");
        stream
    }
}

/// An open stream of events.
#[derive(Debug)]
pub struct Stream(BufReader<TcpStream>);

impl Stream {
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = tokio::time::timeout(EVENT_WITHIN, self.0.read_line(&mut line)).await;
        match read.expect("a line in time") {
            Ok(1..) => Some(line.trim_end().to_owned()),
            _ => None,
        }
    }

    /// The name and data of the next event; `None` = the stream has ended.
    ///
    /// # Panics
    /// There is none for a long time, or its data is not JSON.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        let mut name = String::new();
        loop {
            let line = self.line().await?;
            if let Some(text) = line.strip_prefix("event: ") {
                text.clone_into(&mut name);
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return Some((name, serde_json::from_str(data).expect("JSON")));
            }
        }
    }
}
