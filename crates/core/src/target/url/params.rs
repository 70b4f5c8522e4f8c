//! The parameters after `?`.

use std::time::Duration;

use super::{UrlError, decode_value};

/// Parameters that are understood.
pub(super) const KNOWN: &[&str] =
    &["sslmode", "channel_binding", "target_session_attrs", "application_name", "connect_timeout", "options"];

const APPLICATION_NAME_BYTES_MAX: usize = 63;
const CONNECT_TIMEOUT_SECONDS_MAX: u32 = 3600;
const OPTIONS_BYTES_MAX: usize = 200;
/// Words by which providers route a connection; everything else in `options` would be a setting.
const ROUTING_WORDS: &[&str] = &["endpoint", "project", "reference"];

/// `sslmode`, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// Never encrypted.
    Disable,
    /// Encrypted if the server insists; here like `prefer`.
    Allow,
    /// Encrypted if the server can.
    Prefer,
    /// Always encrypted, whoever the server is.
    Require,
    /// The certificate must come from a known root.
    VerifyCa,
    /// … and be valid for the host's name.
    VerifyFull,
}

/// `channel_binding`: whether the login is tied to the TLS session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChannelBinding {
    /// Not used.
    Disable,
    /// Used if the server offers it.
    #[default]
    Prefer,
    /// The connection fails without it.
    Require,
}

/// `target_session_attrs`, as far as a writer can use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionAttrs {
    /// The first server that answers.
    Any,
    /// The first server that accepts writes.
    ReadWrite,
    /// The first server that is not a standby.
    Primary,
}

#[derive(Debug, Default)]
pub(super) struct Params {
    pub(super) ssl_mode: Option<SslMode>,
    pub(super) channel_binding: Option<ChannelBinding>,
    pub(super) session_attrs: Option<SessionAttrs>,
    pub(super) application_name: Option<String>,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) options: Option<String>,
}

impl Params {
    pub(super) fn parse(query: Option<&str>) -> Result<Self, UrlError> {
        let mut params = Self::default();
        let mut seen = Vec::new();
        if query.is_some_and(|q| q.contains('@')) {
            // The `?` belongs to the password, and what looks like a name is a part of it.
            return Err(UrlError::NotEncoded { part: "password", character: '?' });
        }
        for (index, pair) in query.unwrap_or("").split('&').enumerate().filter(|(_, pair)| !pair.is_empty()) {
            let form = UrlError::ParameterForm { position: index + 1 };
            let (name, value) = pair.split_once('=').ok_or_else(|| form.clone())?;
            let Some(known) = KNOWN.iter().copied().find(|k| *k == name) else {
                return Err(if is_word(name) { UrlError::Parameter { name: name.into() } } else { form });
            };
            if seen.contains(&known) {
                return Err(UrlError::Twice { name: known });
            }
            seen.push(known);
            params.set(known, &decode_value(known, value)?)?;
        }
        Ok(params)
    }

    fn set(&mut self, name: &'static str, value: &str) -> Result<(), UrlError> {
        let (good, expected) = match name {
            "sslmode" => {
                self.ssl_mode = ssl_mode(value);
                (self.ssl_mode.is_some(), "disable, allow, prefer, require, verify-ca or verify-full")
            }
            "channel_binding" => {
                self.channel_binding = channel_binding(value);
                (self.channel_binding.is_some(), "disable, prefer or require")
            }
            "target_session_attrs" => {
                self.session_attrs = session_attrs(value);
                let expected = "any, read-write or primary, because the synchronisation writes";
                (self.session_attrs.is_some(), expected)
            }
            "application_name" => {
                let good = value.len() <= APPLICATION_NAME_BYTES_MAX && !value.chars().any(char::is_control);
                self.application_name = Some(value.to_owned()).filter(|v| !v.is_empty());
                (good, "at most 63 bytes without control characters")
            }
            "connect_timeout" => {
                let seconds = value.parse::<u32>().ok().filter(|s| *s <= CONNECT_TIMEOUT_SECONDS_MAX);
                self.connect_timeout = seconds.filter(|s| *s > 0).map(|s| Duration::from_secs(u64::from(s)));
                (seconds.is_some(), "a number of seconds up to 3600")
            }
            _ => {
                self.options = Some(value.to_owned()).filter(|v| !v.is_empty());
                let expected =
                    "a provider's routing word such as endpoint=…, project=… or reference=…, and no settings";
                (is_routing(value), expected)
            }
        };
        if good { Ok(()) } else { Err(UrlError::Value { name, expected }) }
    }
}

fn ssl_mode(value: &str) -> Option<SslMode> {
    Some(match value {
        "disable" => SslMode::Disable,
        "allow" => SslMode::Allow,
        "prefer" => SslMode::Prefer,
        "require" => SslMode::Require,
        "verify-ca" => SslMode::VerifyCa,
        "verify-full" => SslMode::VerifyFull,
        _ => return None,
    })
}

fn channel_binding(value: &str) -> Option<ChannelBinding> {
    Some(match value {
        "disable" => ChannelBinding::Disable,
        "prefer" => ChannelBinding::Prefer,
        "require" => ChannelBinding::Require,
        _ => return None,
    })
}

fn session_attrs(value: &str) -> Option<SessionAttrs> {
    Some(match value {
        "any" => SessionAttrs::Any,
        "read-write" => SessionAttrs::ReadWrite,
        "primary" => SessionAttrs::Primary,
        _ => return None,
    })
}

/// Words `name=value` with a known name and a harmless value. A leading `-` would be a server setting.
fn is_routing(value: &str) -> bool {
    let harmless = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    value.len() <= OPTIONS_BYTES_MAX
        && value.split(' ').all(|word| {
            word.split_once('=').is_some_and(|(name, value)| {
                ROUTING_WORDS.contains(&name) && !value.is_empty() && value.bytes().all(harmless)
            })
        })
}

/// Whether an unknown parameter's name can be repeated in an error.
fn is_word(name: &str) -> bool {
    (1..=40).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// What to do instead of a parameter that people are likely to have.
pub(super) fn instead_of(name: &str) -> &'static str {
    match name {
        "sslrootcert" => "; give the root certificate with --ca-file",
        "user" | "password" | "host" | "port" | "dbname" => {
            "; write it as postgres://user:password@host:port/database"
        }
        "pgbouncer" | "pool_timeout" | "connection_limit" | "schema" | "statement_cache_size" => {
            "; it is another library's setting and can be left out"
        }
        _ => "",
    }
}
