//! A console with one tenancy, and what tests of a tenant's pages ask it.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use tenant_sync_tests::console::{Console, Reply};
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::wait::eventually;
use uuid::Uuid;

/// Its console goes before its databases do.
pub(super) struct Tenant {
    pub(super) console: Console,
    pub(super) id: Uuid,
    pub(super) stack: Stack,
}

impl Tenant {
    /// A console, ready, with its search index, and a tenancy of project `acme`.
    pub(super) async fn start() -> Self {
        Self::on(Stack::plan().externals(0).start().await).await
    }

    pub(super) async fn on(stack: Stack) -> Self {
        let id = stack.tenancy("acme").await;
        let tenant = Self { console: Console::start(&stack).await, id, stack };
        let indexed = r"select count(*) from pg_class c join pg_index i on i.indexrelid = c.oid
                        where c.relname = 'UserSearch_search' and i.indisvalid";
        eventually(Duration::from_secs(60), "the search index", async || {
            match tenant.stack.internal().value(indexed).await.as_str() {
                "1" => Ok(()),
                _ => Err("not there yet".to_owned()),
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
    pub(super) async fn get(&self, path: &str) -> Reply {
        get(&self.console, &format!("/api/v1/tenancies/{}/{path}", self.id)).await
    }

    /// The same, which must succeed.
    pub(super) async fn json(&self, path: &str) -> Value {
        let reply = self.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        reply.body
    }

    /// Waits until everything that was committed is in lists and numbers: folding many rows takes longer than a question waits.
    pub(super) async fn folded(&self) {
        eventually(Duration::from_secs(300), "all users to be folded", async || {
            let page = self.json("users?limit=1").await;
            if page["activityComplete"] == true { Ok(()) } else { Err("there is more".to_owned()) }
        })
        .await;
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

pub(super) async fn get(console: &Console, path: &str) -> Reply {
    console.call("GET", path, None).await
}

/// Seconds of the header `Age`.
pub(super) fn age(reply: &Reply) -> Option<u64> {
    reply.answer.header("age")?.parse().ok()
}

/// The values of `field` of the users of a page.
pub(super) fn column(page: &Value, field: &str) -> Vec<String> {
    let users = page["users"].as_array().unwrap_or_else(|| panic!("no users: {page}"));
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    users.iter().map(|user| text(&user[field])).collect()
}

/// A text as it stands behind the question mark.
pub(super) fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, byte| {
        let _ = write!(all, "%{byte:02x}");
        all
    })
}
