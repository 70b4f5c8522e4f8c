//! Addresses at which there is nothing: a page for a browser, a problem for everybody else.

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse as _, Response};

use super::shell::Shell;
use super::view::frame::{self, Section};
use super::view::login;
use crate::http::Problem;

const HEADLINE: &str = "There is no such page";
const WORDS: &str = "Nothing is at this address. It may have been mistyped, or come from another version.";

/// Nothing is here. Whoever is not logged in sees as much, without the way around.
pub(crate) async fn missing(shell: Result<Shell, Response>, request: Request) -> Response {
    let problem = Problem::not_found("there is nothing at this address");
    if !is_for_people(&request) {
        return problem.into_response();
    }
    let content = login::trouble(HEADLINE, WORDS, false);
    let page = match shell {
        Ok(shell) => shell.page(Section::Elsewhere, HEADLINE, None, &content),
        Err(_) => Html(frame::bare(HEADLINE, None, &content).into_string()).into_response(),
    };
    (problem.status(), page).into_response()
}

fn is_for_people(request: &Request) -> bool {
    let path = request.uri().path();
    let is_of_the_api = path == "/api" || path.starts_with("/api/");
    !is_of_the_api && wants_html(request.headers())
}

fn wants_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|line| line.split(',')).any(|kind| kind.trim().starts_with("text/html"))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn only_browsers_get_pages_and_never_from_the_api() {
        let asked = |path: &str, accept: &str| {
            let request = Request::builder().uri(path).header(header::ACCEPT, accept);
            is_for_people(&request.body(Body::empty()).expect("a request"))
        };
        let browser = "text/html,application/xhtml+xml,*/*;q=0.8";
        assert!(asked("/nothing", browser) && asked("/apikeys", browser));
        assert!(!asked("/api/v1/nothing", browser) && !asked("/api", browser));
        assert!(!asked("/nothing", "*/*") && !asked("/nothing", "application/json"));
    }
}
