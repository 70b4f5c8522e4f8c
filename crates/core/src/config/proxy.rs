//! `requests.proxy`

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use serde::de::{Deserializer, Error as _};
use url::Url;

use super::values;

/// A proxy of the operator's, through which HTTP requests leave.
#[derive(Clone)]
pub struct Proxy {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The value of `Proxy-Authorization`, if it wants one.
    pub authorization: Option<SecretString>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authorization = self.authorization.as_ref().map(|_| "[REDACTED]");
        f.debug_struct("Proxy")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("authorization", &authorization)
            .finish()
    }
}

impl Proxy {
    fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok().filter(|url| url.scheme() == "http")?;
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let host = url.host_str().filter(|host| is_bare && !host.is_empty())?;
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned());
        let authorization = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => {
                let pair = format!("{}:{}", decoded(user)?, decoded(password.unwrap_or_default())?);
                Some(SecretString::from(format!("Basic {}", STANDARD.encode(pair))))
            }
        };
        Some(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port_or_known_default()?,
            authorization,
        })
    }
}

pub(super) fn proxy_or_none<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Proxy>, D::Error> {
    let Some(text) = values::text_or_none(d)? else { return Ok(None) };
    // The value is not repeated: it may hold a password.
    Proxy::parse(text.trim()).map(Some).ok_or_else(|| {
        D::Error::custom("expected http://HOST:PORT, with USER:PASSWORD@ before the host if need be")
    })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_proxy_is_read_with_its_password_and_never_told() {
        let proxy = Proxy::parse("http://ann:p%40ss@proxy.example:3128").expect("a proxy");
        assert_eq!((proxy.host.as_str(), proxy.port), ("proxy.example", 3128));
        let authorization = proxy.authorization.as_ref().expect("a password");
        assert_eq!(authorization.expose_secret(), &format!("Basic {}", STANDARD.encode("ann:p@ss")));
        let told = format!("{proxy:?}");
        assert!(told.contains("proxy.example") && !told.contains("ann") && !told.contains("Basic"), "{told}");
        let plain = Proxy::parse("http://[::1]").expect("a proxy");
        assert_eq!((plain.host.as_str(), plain.port), ("::1", 80));
        for bad in
            ["proxy:3128", "https://proxy", "socks5://proxy", "http://proxy/path", "http://proxy?x", ""]
        {
            assert!(Proxy::parse(bad).is_none(), "{bad}");
        }
    }
}
