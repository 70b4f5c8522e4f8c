//! Who asks: whoever has an admin key, or a session that was begun with one.

use std::net::IpAddr;

use axum::extract::{FromRequestParts, OptionalFromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::client::Client;
use crate::http::Problem;
use crate::state::Console;

/// Whoever is allowed to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operator {
    /// Name of the key.
    pub(crate) name: String,
    /// Where the request comes from.
    pub(crate) address: IpAddr,
}

impl FromRequestParts<Console> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Problem> {
        if let Some(known) = parts.extensions.get::<Self>() {
            return Ok(known.clone());
        }
        let Ok(client) = Client::from_request_parts(parts, console).await;
        let operator = identify(parts, console, client)?;
        parts.extensions.insert(operator.clone());
        Ok(operator)
    }
}

/// For pages, which lead to the login instead of refusing. `None` = no key and no session that still counts.
impl OptionalFromRequestParts<Console> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Option<Self>, Problem> {
        let asked = <Self as FromRequestParts<Console>>::from_request_parts(parts, console).await;
        match asked {
            Ok(operator) => Ok(Some(operator)),
            Err(problem) if problem.is_unauthorized() => Ok(None),
            Err(problem) => Err(problem),
        }
    }
}

/// Lets nobody through who is not an operator.
pub(crate) async fn require(State(console): State<Console>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match <Operator as FromRequestParts<Console>>::from_request_parts(&mut parts, &console).await {
        Ok(_) => next.run(Request::from_parts(parts, body)).await,
        Err(problem) => problem.into_response(),
    }
}

fn identify(parts: &Parts, console: &Console, client: Client) -> Result<Operator, Problem> {
    let operator = |name: &str| Operator { name: name.to_owned(), address: client.address };
    if let Some(given) = parts.headers.get(header::AUTHORIZATION) {
        let key = given.to_str().ok().and_then(bearer).ok_or_else(|| {
            Problem::unauthorized("the Authorization header must be \"Bearer \" and an admin key")
        })?;
        return Ok(operator(console.access.name_of(key, client.address)?));
    }
    let name = console.access.name_in_session(&parts.headers).ok_or_else(|| {
        Problem::unauthorized("send an admin key as \"Authorization: Bearer …\", or log in to the dashboard")
    })?;
    if changes(&parts.method) && !is_same_origin(&parts.headers) {
        return Err(Problem::forbidden("a request of another site's page is not accepted with a session"));
    }
    Ok(operator(name))
}

fn bearer(text: &str) -> Option<&str> {
    let (scheme, key) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether a browser says that a page of ours sends this. Browsers always say one or the other with a request that
/// changes something, and no script can forge it.
pub(crate) fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    let origin = text("origin").and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    origin.is_some() && origin == text("host")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_has_any_case() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("abc"), None);
    }

    #[test]
    fn a_change_must_come_from_a_page_of_ours() {
        let says = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, value.parse().expect("a value"));
            }
            is_same_origin(&headers)
        };
        assert!(says(&[("sec-fetch-site", "same-origin")]));
        assert!(says(&[("origin", "http://127.0.0.1:8080"), ("host", "127.0.0.1:8080")]));
        for foreign in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site"), ("origin", "http://h"), ("host", "h")],
            &[("sec-fetch-site", "none")],
            &[("origin", "http://evil.example"), ("host", "127.0.0.1:8080")],
            &[("origin", "null"), ("host", "127.0.0.1:8080")],
            &[("host", "127.0.0.1:8080")],
        ] {
            assert!(!says(foreign), "{foreign:?}");
        }
    }
}
