//! A console with one tenancy, and what tests of a tenant's pages ask it.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use tenant_sync_tests::ports::free_port;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::wait::eventually;
use tenant_sync_tests::worker::Worker;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

const KEY: &str = "0123456789abcdef0123";

/// An answer with its headers.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Value,
}

impl Answer {
    /// Seconds of the header `Age`.
    pub(super) fn age(&self) -> Option<u64> {
        let line = self.head.lines().find(|line| line.to_ascii_lowercase().starts_with("age:"))?;
        line.split(':').nth(1)?.trim().parse().ok()
    }
}

/// Declared so that the console ends before its databases do.
pub(super) struct Tenant {
    pub(super) console: Worker,
    pub(super) address: String,
    pub(super) id: Uuid,
    pub(super) stack: Stack,
}

impl Tenant {
    /// A console, ready, with search indexes, and a tenancy of project `acme`.
    pub(super) async fn start() -> Self {
        Self::on(Stack::plan().externals(0).start().await).await
    }

    pub(super) async fn on(stack: Stack) -> Self {
        let id = stack.tenancy("acme").await;
        let (console, address) = console(&stack).await;
        let tenant = Self { console, address, id, stack };
        let indexed = r"select count(*) from pg_class c join pg_index i on i.indexrelid = c.oid
                        where c.relname like '%\_search' and i.indisvalid";
        eventually(Duration::from_secs(60), "the search indexes", async || {
            match tenant.stack.internal().value(indexed).await.as_str() {
                "2" => Ok(()),
                other => Err(format!("{other} of 2")),
            }
        })
        .await;
        tenant
    }

    pub(super) async fn sql(&self, statements: &str) {
        self.stack.internal().sql(&statements.replace("$T", &format!("'{}'", self.id))).await;
    }

    pub(super) async fn rows(&self, query: &str) -> Vec<String> {
        self.stack.internal().rows(&query.replace("$T", &format!("'{}'", self.id))).await
    }

    /// `GET …/tenancies/{id}/{path}`
    pub(super) async fn get(&self, path: &str) -> Answer {
        get(&self.address, &format!("/api/v1/tenancies/{}/{path}", self.id)).await
    }

    /// The same, which must succeed.
    pub(super) async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.body
    }

    /// All users of a list, page by page of `limit`, as the values of `field`.
    pub(super) async fn walk(&self, parameters: &str, limit: u32, field: &str) -> Vec<String> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let mut path = format!("users?limit={limit}&{parameters}");
            if !cursor.is_empty() {
                let _ = write!(path, "&cursor={cursor}");
            }
            let page = self.json(&path).await;
            all.extend(column(&page, field));
            match page["nextCursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => return all,
            }
        }
    }
}

/// The values of `field` of the users of a page.
pub(super) fn column(page: &Value, field: &str) -> Vec<String> {
    let users = page["users"].as_array().unwrap_or_else(|| panic!("no users: {page}"));
    users.iter().map(|user| user[field].as_str().map_or_else(|| user[field].to_string(), str::to_owned)).collect()
}

/// Another console of the same stack, and its address.
pub(super) async fn console(stack: &Stack) -> (Worker, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let setup = stack.worker("console").set("console.listen", &address);
    let console = setup.set("console.admin_keys", format!("test:{KEY}")).start().await;
    (console, address)
}

pub(super) async fn get(address: &str, path: &str) -> Answer {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {KEY}\r\n\r\n"
    );
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(90), exchange).await.expect("an answer").expect("an answer");
    let text = String::from_utf8(answer).expect("UTF-8");
    let (head, body) = text.split_once("\r\n\r\n").expect("HTTP");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let body = serde_json::from_str(body).unwrap_or_else(|_| panic!("{path}: {text}"));
    Answer { status, head: head.to_owned(), body }
}

/// A text as it stands behind the question mark.
pub(super) fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, byte| {
        let _ = write!(all, "%{byte:02x}");
        all
    })
}
