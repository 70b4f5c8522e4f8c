//! What every page needs: whose session it is, how it looks, and how trouble is told.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use maud::{Markup, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::view::frame::{self, Frame, Section};
use super::view::login;
use super::view::parts::Notice;
use crate::access::Operator;
use crate::http::Problem;
use crate::state::Console;

const THEME_COOKIE: &str = "tenant_sync_theme";
/// What may stand in a query parameter as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// A page's surroundings. Without a session there are none: the request is led to the login.
#[derive(Debug, Clone)]
pub(crate) struct Shell {
    pub(super) operator: Operator,
    frame: Frame,
}

impl FromRequestParts<Console> for Shell {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Response> {
        let asked = <Option<Operator> as FromRequestParts<Console>>::from_request_parts(parts, console).await;
        let operator = asked.map_err(|problem| Trouble(problem).into_response())?;
        let Some(operator) = operator else {
            let here = parts.uri.path_and_query().map_or("/", |path| path.as_str());
            return Err(Redirect::to(&format!("/login?next={}", quoted(here))).into_response());
        };
        let frame = Frame {
            deployment: console.config.deployment.name.clone(),
            operator: operator.name.clone(),
            theme: theme(&parts.headers),
            tenants: console.config.database.user_tables,
            notice: None,
        };
        Ok(Self { operator, frame })
    }
}

impl Shell {
    /// Says what became of an action.
    pub(super) fn with(mut self, notice: Option<Notice>) -> Self {
        self.frame.notice = notice;
        self
    }

    /// A page; `live` is the address of its stream.
    pub(super) fn page(
        &self,
        section: Section,
        title: &str,
        live: Option<&str>,
        content: &Markup,
    ) -> Response {
        Html(frame::page(&self.frame, section, title, live, content).into_string()).into_response()
    }
}

/// The theme that was chosen in this browser.
pub(super) fn theme(headers: &HeaderMap) -> Option<&'static str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let chosen = cookies
        .flat_map(|line| line.split(';'))
        .find_map(|cookie| cookie.trim().strip_prefix(THEME_COOKIE)?.strip_prefix('='))?;
    ["light", "dark"].into_iter().find(|theme| *theme == chosen)
}

/// A text as the value of a query parameter.
pub(super) fn quoted(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// A problem as a page.
#[derive(Debug)]
pub(super) struct Trouble(pub(super) Problem);

impl<E: Into<Problem>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let problem = self.0;
        let status = problem.status();
        let (headline, again) = match status {
            StatusCode::NOT_FOUND => ("It is not there", false),
            StatusCode::BAD_REQUEST => ("The address cannot be used", false),
            StatusCode::FORBIDDEN => ("Not from there", false),
            StatusCode::SERVICE_UNAVAILABLE => ("Not at the moment", true),
            _ => ("It did not work", false),
        };
        let mut detail = problem.detail().to_owned();
        if let Some(first) = detail.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let content = html! { div data-again[again] { (login::trouble(headline, &detail, again)) } };
        let page = frame::bare(headline, None, &content);
        let mut answer = (status, Html(page.into_string())).into_response();
        problem.note_at(&mut answer);
        answer
    }
}

/// Where a login leads: only to a page of ours.
pub(super) fn safe_next(next: &str) -> &str {
    let inside = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\n', '\r', '\t']);
    if inside && !next.starts_with("/login") { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_a_page_of_ours_only() {
        assert_eq!(safe_next("/targets?state=broken"), "/targets?state=broken");
        for elsewhere in
            ["//evil.example", "/\\evil.example", "https://evil.example", "", "/login?next=/", "/a\tb"]
        {
            assert_eq!(safe_next(elsewhere), "/", "{elsewhere:?}");
        }
    }

    #[test]
    fn only_known_themes_are_believed() {
        let of = |cookie: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, cookie.parse().expect("a cookie"));
            theme(&headers)
        };
        assert_eq!(of("a=b; tenant_sync_theme=dark"), Some("dark"));
        assert_eq!(of("tenant_sync_theme=\"><script>"), None);
    }

    #[test]
    fn parameters_are_quoted() {
        assert_eq!(quoted("/targets?state=a&b"), "/targets%3Fstate%3Da%26b");
    }
}
