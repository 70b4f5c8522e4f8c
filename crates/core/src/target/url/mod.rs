//! Connection strings as providers hand them out, read strictly.
//!
//! Only what is listed here is understood. Everything else is refused by name: a parameter that a client
//! library understands and we do not (`hostaddr`, `service`, `passfile`, …) could lead somewhere that
//! nobody checked. No error repeats a value, because a badly encoded password can end up in any place.

mod params;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use secrecy::SecretString;

use params::Params;
pub use params::{ChannelBinding, SessionAttrs, SslMode};

const URL_BYTES_MAX: usize = 8 * 1024;
const HOSTS_MAX: usize = 8;
const DEFAULT_PORT: u16 = 5432;
const HOST_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;
/// What Postgres keeps of a role's or a database's name.
const NAME_BYTES_MAX: usize = 63;

/// Why a connection string is refused. No variant repeats a value of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Longer than any provider's.
    #[error("the connection string is longer than {URL_BYTES_MAX} bytes")]
    TooLong,
    /// Another scheme, or none.
    #[error("the connection string must start with postgres:// or postgresql://")]
    Scheme,
    /// A blank, a control character, or one outside ASCII.
    #[error(
        "the connection string contains a blank, a control character or a character outside ASCII: such \
         characters must be percent-encoded"
    )]
    Character,
    /// No user before `@`.
    #[error("the connection string names no user: expected postgres://user:password@host:port/database")]
    NoUser,
    /// A part has characters that must be percent-encoded.
    #[error("the {part} of the connection string contains {character:?}, which must be percent-encoded")]
    NotEncoded {
        /// Which part.
        part: &'static str,
        /// The character that stands there unencoded.
        character: char,
    },
    /// A part's percent-encoding is broken, is not UTF-8, or hides a zero byte.
    #[error("the {part} of the connection string is not valid percent-encoded UTF-8")]
    Encoding {
        /// Which part.
        part: &'static str,
    },
    /// A part is longer than Postgres allows.
    #[error("the {part} of the connection string is longer than {max} bytes")]
    PartTooLong {
        /// Which part.
        part: &'static str,
        /// Its greatest length.
        max: usize,
    },
    /// No host, so that a client library would take a local socket.
    #[error("the connection string names no host")]
    NoHost,
    /// A path instead of a host.
    #[error("the connection string names a socket instead of a host; only TCP is possible")]
    Socket,
    /// More hosts than anybody has.
    #[error("the connection string names more than {HOSTS_MAX} hosts")]
    TooManyHosts,
    /// Neither a DNS name nor an address.
    #[error("host {position} of the connection string is neither a DNS name nor an IP address")]
    Host {
        /// Counted from 1.
        position: usize,
    },
    /// No port number after the colon.
    #[error("the port of host {position} of the connection string is not a number from 1 to 65535")]
    Port {
        /// Counted from 1.
        position: usize,
    },
    /// A parameter that is not known here.
    #[error(
        "the parameter {name} is not allowed in a connection string; allowed are {}{}",
        params::KNOWN.join(", "),
        params::instead_of(name)
    )]
    Parameter {
        /// Its name; a word, never a value.
        name: String,
    },
    /// Something after `?` that is no `name=value`.
    #[error("parameter {position} of the connection string is not of the form name=value")]
    ParameterForm {
        /// Counted from 1.
        position: usize,
    },
    /// A parameter that stands there twice.
    #[error("the parameter {name} is given twice")]
    Twice {
        /// Its name.
        name: &'static str,
    },
    /// A value that the parameter does not take.
    #[error("the parameter {name} must be {expected}")]
    Value {
        /// Its name.
        name: &'static str,
        /// What it takes.
        expected: &'static str,
    },
}

/// One place where the server may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// DNS name or address, also the name that the certificate must have.
    pub host: Host,
    /// TCP port.
    pub port: u16,
}

/// A host as it stands in the connection string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A DNS name, in lower case.
    Name(String),
    /// An address.
    Address(IpAddr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A connection string that was read and understood completely.
///
/// `Display` and `Debug` show it without its password.
#[derive(Clone)]
pub struct TargetUrl {
    /// At least one, at most eight, tried in order.
    pub endpoints: Vec<Endpoint>,
    /// The role to log in as.
    pub user: String,
    /// Its password, if there is one.
    pub password: Option<SecretString>,
    /// The database; the user's name if the string names none.
    pub database: String,
    /// `sslmode`, if given.
    pub ssl_mode: Option<SslMode>,
    /// `channel_binding`; prefer if not given.
    pub channel_binding: ChannelBinding,
    /// `target_session_attrs`, if given.
    pub session_attrs: Option<SessionAttrs>,
    /// `application_name`, if given.
    pub application_name: Option<String>,
    /// `connect_timeout`, if given and not zero.
    pub connect_timeout: Option<Duration>,
    /// `options`: a provider's routing words such as `endpoint=…`, never a setting.
    pub options: Option<String>,
}

impl TargetUrl {
    /// Reads a connection string.
    ///
    /// # Errors
    /// The first thing that is not understood, without any value of the string.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        if text.len() > URL_BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        let rest = ["postgres://", "postgresql://"]
            .iter()
            .find_map(|scheme| text.get(..scheme.len()).filter(|s| s.eq_ignore_ascii_case(scheme)))
            .map(|scheme| &text[scheme.len()..])
            .ok_or(UrlError::Scheme)?;
        if !rest.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(UrlError::Character);
        }
        let (location, query) = rest.split_once('?').map_or((rest, None), |(l, q)| (l, Some(q)));
        let (authority, path) = location.split_once('/').unwrap_or((location, ""));
        let (credentials, hosts) = authority.split_once('@').ok_or(UrlError::NoUser)?;
        let (user, password) = parse_credentials(credentials)?;
        let endpoints = parse_hosts(hosts)?;
        let database = match path {
            "" => user.clone(),
            path => decode_name("database", path)?,
        };
        let params = Params::parse(query)?;
        Ok(Self {
            endpoints,
            user,
            password,
            database,
            ssl_mode: params.ssl_mode,
            channel_binding: params.channel_binding.unwrap_or_default(),
            session_attrs: params.session_attrs,
            application_name: params.application_name,
            connect_timeout: params.connect_timeout,
            options: params.options,
        })
    }
}

/// `postgres://user@host:port/database`, on one line and without the password.
impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://{}@", self.user.escape_debug())?;
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            write!(f, "{}{endpoint}", if index == 0 { "" } else { "," })?;
        }
        write!(f, "/{}", self.database.escape_debug())
    }
}

impl fmt::Debug for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TargetUrl({self})")
    }
}

fn parse_credentials(text: &str) -> Result<(String, Option<SecretString>), UrlError> {
    let (user, password) = text.split_once(':').map_or((text, None), |(u, p)| (u, Some(p)));
    if user.is_empty() {
        return Err(UrlError::NoUser);
    }
    let password = match password {
        None | Some("") => None,
        Some(p) => Some(SecretString::from(decode("password", p)?)),
    };
    Ok((decode_name("user", user)?, password))
}

fn parse_hosts(text: &str) -> Result<Vec<Endpoint>, UrlError> {
    if text.contains('@') {
        // Two `@`: the first belongs to the password.
        return Err(UrlError::NotEncoded { part: "password", character: '@' });
    }
    if text.is_empty() {
        return Err(UrlError::NoHost);
    }
    if text.contains('%') {
        return Err(if text.to_ascii_lowercase().contains("%2f") {
            UrlError::Socket
        } else {
            UrlError::Host { position: 1 }
        });
    }
    let parts: Vec<&str> = text.split(',').collect();
    if parts.len() > HOSTS_MAX {
        return Err(UrlError::TooManyHosts);
    }
    parts.iter().enumerate().map(|(index, part)| parse_endpoint(index + 1, part)).collect()
}

fn parse_endpoint(position: usize, text: &str) -> Result<Endpoint, UrlError> {
    let bad_host = UrlError::Host { position };
    let (host, port) = if let Some(bracketed) = text.strip_prefix('[') {
        let (address, rest) = bracketed.split_once(']').ok_or_else(|| bad_host.clone())?;
        let address = address.parse().map_err(|_| bad_host.clone())?;
        let port = match rest {
            "" => None,
            rest => Some(rest.strip_prefix(':').ok_or(bad_host)?),
        };
        (Host::Address(IpAddr::V6(address)), port)
    } else {
        let (host, port) = text.split_once(':').map_or((text, None), |(h, p)| (h, Some(p)));
        (parse_host(host).ok_or(bad_host)?, port)
    };
    let port = match port {
        None => DEFAULT_PORT,
        Some(digits) if digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok().filter(|p| *p > 0).ok_or(UrlError::Port { position })?
        }
        Some(_) => return Err(UrlError::Port { position }),
    };
    Ok(Endpoint { host, port })
}

/// A dotted address, or a DNS name. Old spellings of addresses (`127.1`, `0x7f000001`) are names whose
/// last label is a number: they resolve to addresses without looking like them, so they are refused.
fn parse_host(text: &str) -> Option<Host> {
    if let Ok(address) = text.parse() {
        return Some(Host::Address(IpAddr::V4(address)));
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let good_label = |label: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit('.').next()?;
    let is_number = last.bytes().all(|b| b.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    let good = name.len() <= HOST_BYTES_MAX && name.split('.').all(good_label) && !is_number;
    good.then_some(Host::Name(name))
}

fn decode_name(part: &'static str, text: &str) -> Result<String, UrlError> {
    let name = decode(part, text)?;
    if name.len() > NAME_BYTES_MAX {
        return Err(UrlError::PartTooLong { part, max: NAME_BYTES_MAX });
    }
    Ok(name)
}

/// Percent-decodes. A `%` without two hex digits and a delimiter that stands there unencoded are refused,
/// because they say that somebody did not encode at all.
fn decode(part: &'static str, text: &str) -> Result<String, UrlError> {
    if let Some(character) = text.chars().find(|c| matches!(c, '/' | '#' | ':' | '@' | '?' | '[' | ']')) {
        return Err(UrlError::NotEncoded { part, character });
    }
    decode_value(part, text)
}

/// Percent-decodes a value in which delimiters may stand as they are.
fn decode_value(part: &'static str, text: &str) -> Result<String, UrlError> {
    let well_formed = text
        .split('%')
        .skip(1)
        .all(|after| after.len() >= 2 && after.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit));
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| UrlError::Encoding { part })?;
    if !well_formed || decoded.contains('\0') {
        return Err(UrlError::Encoding { part });
    }
    Ok(decoded.into_owned())
}
