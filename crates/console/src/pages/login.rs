//! Login and logout.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use percent_encoding::percent_decode_str;

use super::shell::{Trouble, quoted, safe_next, theme};
use super::view::frame;
use super::view::login::{Attempt, login};
use crate::access::{Access, Client, Operator, is_same_origin};
use crate::http::{Problem, Query};
use crate::state::Console;

pub(super) fn router() -> Router<Console> {
    Router::new()
        .route("/login", get(show).post(sign_in))
        .route("/logout", post(sign_out))
        .route("/session", get(session))
}

async fn show(
    State(console): State<Console>,
    operator: Option<Operator>,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, Trouble> {
    let (next, out) = query.read(|q| Ok((q.text("next").unwrap_or("/").to_owned(), q.flag("out")?)))?;
    if operator.is_some() {
        return Ok(Redirect::to(safe_next(&next)).into_response());
    }
    let attempt = if out { Attempt::SignedOut } else { Attempt::None };
    Ok(page(&console, &headers, &next, &attempt))
}

fn page(console: &Console, headers: &HeaderMap, next: &str, attempt: &Attempt) -> Response {
    let form = login(&console.config.deployment.name, safe_next(next), attempt);
    let page = frame::bare("Log in", theme(headers), &form);
    let status = match attempt {
        Attempt::WrongKey => StatusCode::UNAUTHORIZED,
        Attempt::Wait => StatusCode::TOO_MANY_REQUESTS,
        Attempt::Elsewhere => StatusCode::FORBIDDEN,
        Attempt::None | Attempt::SignedOut => StatusCode::OK,
    };
    (status, Html(page.into_string())).into_response()
}

async fn sign_in(
    State(console): State<Console>,
    client: Client,
    headers: HeaderMap,
    body: String,
) -> Response {
    let next = field(&body, "next").unwrap_or_default();
    if !is_same_origin(&headers) {
        return page(&console, &headers, &next, &Attempt::Elsewhere);
    }
    let key = field(&body, "key").unwrap_or_default();
    match console.access.sign_in(key.trim(), &client) {
        Ok((operator, cookie)) => {
            tracing::info!(name = operator.name, address = %client.address, "logged in");
            ([(header::SET_COOKIE, cookie)], Redirect::to(safe_next(&next))).into_response()
        }
        Err(problem) if problem.status() == StatusCode::TOO_MANY_REQUESTS => {
            page(&console, &headers, &next, &Attempt::Wait)
        }
        Err(problem) if problem.is_unauthorized() => page(&console, &headers, &next, &Attempt::WrongKey),
        Err(problem) => Trouble(problem).into_response(),
    }
}

async fn sign_out(client: Client, headers: HeaderMap) -> Result<Response, Trouble> {
    if !is_same_origin(&headers) {
        return Err(Problem::forbidden("another site's page cannot log out here").into());
    }
    let next = format!("/login?out=true&next={}", quoted("/"));
    Ok(([(header::SET_COOKIE, Access::sign_out(&client))], Redirect::to(&next)).into_response())
}

/// For the script: whether the session still counts.
async fn session(operator: Option<Operator>) -> StatusCode {
    if operator.is_some() { StatusCode::NO_CONTENT } else { StatusCode::UNAUTHORIZED }
}

/// A field of a form, as browsers send it.
fn field(body: &str, name: &str) -> Option<String> {
    let value = body.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    percent_decode_str(&value.replace('+', " ")).decode_utf8().ok().map(|text| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn fields_are_read_as_browsers_send_them() {
        let body = "key=a%2Bb+c&next=%2Ftargets";
        assert_eq!(field(body, "key").as_deref(), Some("a+b c"));
        assert_eq!(field(body, "next").as_deref(), Some("/targets"));
        assert_eq!(field(body, "ke"), None);
        assert_eq!(field("key=%ff", "key"), None);
    }
}
