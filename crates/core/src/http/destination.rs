//! Where a request goes: a URL that was checked, and headers that may be sent along.

use std::net::IpAddr;

use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use url::Host;

use crate::guard::{Guard, GuardError};

const URL_BYTES_MAX: usize = 2_048;
const HEADER_BYTES_MAX: usize = 4_096;

/// Headers that are ours or the connection's.
const RESERVED: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Why a URL cannot be called. No text repeats the URL: it may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Longer than anything that we keep.
    #[error("the URL is longer than {URL_BYTES_MAX} bytes")]
    TooLong,
    /// Spaces, line breaks and other control characters, which a parser would drop in silence.
    #[error("the URL holds a space or a control character: write it percent-encoded")]
    Characters,
    /// It is no URL.
    #[error("the URL does not parse: {0}")]
    Unparsable(url::ParseError),
    /// Neither https nor, where the operator allows it, http.
    #[error("only https is called here, not {0} (requests.allow_http allows http)")]
    Scheme(String),
    /// A user name or password.
    #[error("the URL holds a user name or password: send an authorization header instead")]
    Credentials,
    /// The part after `#`, which no server ever sees.
    #[error("the URL has a fragment (#…), which is never sent: leave it out")]
    Fragment,
    /// No host to call.
    #[error("the URL has no host")]
    NoHost,
    /// The host is an address that may not be called.
    #[error("{0}")]
    Guard(#[from] GuardError),
}

/// Why a header cannot be sent. The value is never repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Not a header's name.
    #[error("{0:?} is not the name of a header: letters, digits and - only")]
    Name(String),
    /// A line break or another control character, or too long.
    #[error(
        "the value of header {0} holds a line break or control character, or has more than {HEADER_BYTES_MAX} bytes"
    )]
    Value(String),
    /// The header is written by us.
    #[error("header {0} is written by tenant-sync or the connection: leave it out")]
    Reserved(String),
}

/// A URL that may be called as far as can be said without asking for its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    url: Url,
}

impl Destination {
    /// Reads and checks a URL. An address in place of a name, in whatever spelling, is judged here: no
    /// resolver is ever asked for it.
    ///
    /// # Errors
    /// It cannot be called, and why.
    pub fn parse(text: &str, allow_http: bool, guard: &Guard) -> Result<Self, UrlError> {
        if text.len() > URL_BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(UrlError::Characters);
        }
        let url = Url::parse(text).map_err(UrlError::Unparsable)?;
        match url.scheme() {
            "https" => {}
            "http" if allow_http => {}
            other => return Err(UrlError::Scheme(other.chars().take(20).collect())),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::Credentials);
        }
        if url.fragment().is_some() {
            return Err(UrlError::Fragment);
        }
        match url.host() {
            None => return Err(UrlError::NoHost),
            Some(Host::Domain(name)) if name.trim_matches('.').is_empty() => return Err(UrlError::NoHost),
            Some(Host::Domain(_)) => {}
            Some(Host::Ipv4(address)) => guard.check(&[IpAddr::V4(address)])?,
            Some(Host::Ipv6(address)) => guard.check(&[IpAddr::V6(address)])?,
        }
        Ok(Self { url })
    }

    /// Scheme, host and port: what requests without a trigger are grouped by.
    #[must_use]
    pub fn origin(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        format!("{}://{host}:{}", self.url.scheme(), self.url.port_or_known_default().unwrap_or_default())
    }

    /// The URL, as it is called.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }
}

/// Checks a header that an operator or application wants to send.
///
/// # Errors
/// It would break the request, or it is one of ours.
pub fn check_header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), HeaderError> {
    let shown = || name.chars().take(100).collect::<String>();
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| HeaderError::Name(shown()))?;
    if RESERVED.contains(&parsed.as_str()) || parsed.as_str().starts_with("webhook-") {
        return Err(HeaderError::Reserved(shown()));
    }
    if value.len() > HEADER_BYTES_MAX {
        return Err(HeaderError::Value(shown()));
    }
    let value = HeaderValue::from_str(value).map_err(|_| HeaderError::Value(shown()))?;
    Ok((parsed, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public_only(url: &str) -> Result<Destination, UrlError> {
        Destination::parse(url, false, &Guard::default())
    }

    #[test]
    fn a_good_url_keeps_its_path_and_knows_its_origin() {
        let parsed = public_only("https://hooks.example.com/a?b=c").unwrap();
        assert_eq!(parsed.origin(), "https://hooks.example.com:443");
        assert_eq!(parsed.url().as_str(), "https://hooks.example.com/a?b=c");
    }

    #[test]
    fn what_cannot_be_called_says_why_and_never_repeats_the_url() {
        for (url, reason) in [
            ("hooks.example.com", "does not parse"),
            ("http://hooks.example.com/", "only https"),
            ("ftp://hooks.example.com/", "only https"),
            ("https://user:secret@hooks.example.com/", "authorization header"),
            ("https://hooks.example.com/\r\nHost: x", "percent-encoded"),
            ("https://hooks.example.com/a b", "percent-encoded"),
            ("https://hooks.example.com/\u{a0}", "percent-encoded"),
            ("https://hooks.example.com/#part", "fragment"),
            ("https://./", "no host"),
        ] {
            let error = public_only(url).unwrap_err().to_string();
            assert!(error.contains(reason), "{url}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        assert_eq!(public_only(&format!("https://h/{}", "x".repeat(3_000))), Err(UrlError::TooLong));
        assert!(Destination::parse("http://hooks.example.com/", true, &Guard::default()).is_ok());
    }

    /// Spellings of this machine that a resolver would never be asked for.
    #[test]
    fn addresses_in_any_spelling_are_judged_by_the_guard() {
        for host in [
            "127.0.0.1",
            "2130706433",
            "0x7f.1",
            "127.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "10.1.2.3",
            "169.254.169.254",
        ] {
            let url = format!("https://{host}/");
            assert!(matches!(public_only(&url), Err(UrlError::Guard(_))), "{url}");
        }
        assert!(public_only("https://93.184.215.14/").is_ok());
    }

    #[test]
    fn headers_that_break_a_request_or_are_ours_are_refused() {
        assert!(check_header("X-Key", "abc").is_ok());
        assert!(matches!(check_header("X-Key", "a\r\nHost: b"), Err(HeaderError::Value(_))));
        assert!(matches!(check_header("X Key", "a"), Err(HeaderError::Name(_))));
        for name in ["Host", "content-length", "Webhook-Signature", "Transfer-Encoding"] {
            assert!(matches!(check_header(name, "a"), Err(HeaderError::Reserved(_))), "{name}");
        }
    }
}
