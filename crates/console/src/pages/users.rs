//! The users of a tenant.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use time::OffsetDateTime;
use uuid::Uuid;

use super::address::Address;
use super::shell::{Shell, Trouble};
use super::tenants;
use super::view::frame::Section;
use super::view::targets::{Choice, Sort};
use super::view::users::{self as view, User};
use crate::http::{PathParameters, Query};
use crate::state::Console;
use crate::users::search::Searched;
use crate::users::{self, Anonymous, OrderBy, UsersQuery};

/// Users on a page.
const PAGE: i64 = 50;

pub(super) fn router() -> Router<Console> {
    Router::new().route("/tenants/{tenancy_id}/users", get(show))
}

/// What the address says.
#[derive(Debug, Clone)]
struct Asked {
    search: Option<String>,
    anonymous: Option<String>,
    /// `signed_up` or `last_active`, the latest first unless `up`.
    sort: Option<String>,
    cursor: Option<String>,
}

const CHOICES: [(&str, &str); 3] = [("", "not shown"), ("too", "shown, too"), ("only", "only these")];
const SORTS: [(&str, &str, &str); 2] =
    [("signed_up", "signed_up-up", "Signed up"), ("last_active", "last_active-up", "Last active")];

impl Asked {
    fn read(query: Query) -> Result<Self, Trouble> {
        Ok(query.read(|q| {
            Ok(Self {
                search: q.text("query").map(str::to_owned),
                anonymous: q.one_of("anonymous", &["too", "only"])?.map(str::to_owned),
                sort: q
                    .one_of("sort", &["signed_up", "signed_up-up", "last_active", "last_active-up"])?
                    .map(str::to_owned),
                cursor: q.text("cursor").map(str::to_owned),
            })
        })?)
    }

    fn sort(&self) -> &str {
        self.sort.as_deref().unwrap_or("signed_up")
    }

    fn query(&self, tenancy_id: Uuid) -> UsersQuery {
        UsersQuery {
            limit: PAGE,
            cursor: self.cursor.clone(),
            order_by: if self.sort().starts_with("last") {
                OrderBy::LastActiveAt
            } else {
                OrderBy::SignedUpAt
            },
            desc: !self.sort().ends_with("-up"),
            search: self.search.clone(),
            anonymous: match self.anonymous.as_deref() {
                Some("only") => Anonymous::Only,
                Some(_) => Anonymous::Included,
                None => Anonymous::Left,
            },
            ..UsersQuery::of(tenancy_id)
        }
    }

    fn address(&self, path: &str) -> Address {
        Address::new(path)
            .with("query", self.search.as_deref())
            .with("anonymous", self.anonymous.as_deref())
            .with("sort", self.sort.as_deref())
    }

    /// A column's head: another click turns the order around.
    fn sorts(&self, path: &str) -> Vec<Sort> {
        let sort = |(down, up, words): (&'static str, &'static str, &'static str)| {
            let direction = match self.sort() {
                now if now == down => Some("descending"),
                now if now == up => Some("ascending"),
                _ => None,
            };
            let next = if direction == Some("descending") { up } else { down };
            let href = Self { sort: Some(next.to_owned()), ..self.clone() }.address(path).to_string();
            Sort { href, words, number: false, direction }
        };
        SORTS.map(sort).into()
    }
}

async fn show(
    State(console): State<Console>,
    shell: Shell,
    path: PathParameters,
    query: Query,
) -> Result<Response, Trouble> {
    let tenancy_id = path.tenancy_id()?;
    let asked = Asked::read(query)?;
    let tenant = tenants::find(&console, tenancy_id).await?;
    let page = users::list(&console, &asked.query(tenancy_id)).await?;
    let path = format!("/tenants/{tenancy_id}/users");
    let address = asked.address(&path);
    let shown = view::Users {
        now: OffsetDateTime::now_utc(),
        head: tenant.head("Users"),
        search: asked.search.clone().unwrap_or_default(),
        search_note: match page.search {
            Some(Searched::Prefix) => Some(
                "Found by how names and addresses begin. From three letters on they are also looked into, where the server has pg_trgm.",
            ),
            _ => None,
        },
        anonymous: CHOICES
            .map(|(value, words)| Choice {
                value: value.to_owned(),
                words: words.to_owned(),
                chosen: asked.anonymous.as_deref().unwrap_or_default() == value,
            })
            .into(),
        hidden: asked.sort.iter().map(|sort| ("sort", sort.clone())).collect(),
        sorts: asked.sorts(&path),
        users: page.users.iter().map(user).collect(),
        first: asked.cursor.as_ref().map(|_| address.to_string()),
        next: page.next_cursor.as_deref().map(|cursor| address.with("cursor", Some(cursor)).to_string()),
        filtered: asked.search.is_some() || asked.anonymous.is_some(),
        goes_on: page.next_cursor.is_some(),
        action: path,
    };
    let title = format!("Users of {}", tenant.name);
    Ok(shell.page(Section::Tenants, &title, None, &view::content(&shown)))
}

fn user(user: &users::User) -> User {
    let methods = user
        .sign_in_methods
        .iter()
        .map(|method| method_words(method.kind.as_deref(), method.provider.as_deref()));
    User {
        id: user.id.to_string(),
        name: user.display_name.clone(),
        anonymous: user.is_anonymous,
        channels: user.channels.iter().map(|channel| (channel.value.clone(), channel.is_verified)).collect(),
        more_channels: user.more_channels,
        methods: methods.collect(),
        signed_up_at: user.signed_up_at.0,
        last_active_at: user.last_active_at.0,
    }
}

/// A way to sign in, for people.
pub(super) fn method_words(kind: Option<&str>, provider: Option<&str>) -> String {
    match (kind, provider) {
        (Some("oauth"), Some(provider)) => format!("OAuth: {provider}"),
        (Some("oauth"), None) => "OAuth".to_owned(),
        (Some("otp"), _) => "one-time code".to_owned(),
        (Some(kind), _) => kind.to_owned(),
        (None, _) => "unknown".to_owned(),
    }
}
