//! Who may do what is asked: keys by name, sessions of the dashboard, and a bound on guessing.

mod client;
mod keys;
mod limit;
mod operator;
mod session;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::http::{HeaderMap, HeaderValue};
use tenant_sync_core::config;

pub(crate) use client::Client;
pub(crate) use operator::{Operator, is_same_origin, require};

use crate::http::Problem;
use crate::told::Told;
use keys::Keys;
use limit::FailedLogins;

/// Keys, sessions and failed logins.
#[derive(Debug)]
pub(crate) struct Access {
    keys: Keys,
    failed: FailedLogins,
    session_lifetime: std::time::Duration,
    trusted_proxies: Vec<ipnet::IpNet>,
    told: Arc<Told>,
}

impl Access {
    /// # Errors
    /// There is no key, or one of them is empty or malformed.
    pub(crate) fn new(config: &config::Console, told: Arc<Told>) -> Result<Self, keys::KeysError> {
        let keys = Keys::from_config(&config.admin_keys)?;
        for name in keys.short() {
            tracing::warn!(
                name,
                "console.admin_keys: the key {name:?} is shorter than {} characters and can be guessed; \
                 `openssl rand -hex 32` makes a good one",
                keys::KEY_CHARACTERS
            );
        }
        Ok(Self {
            keys,
            failed: FailedLogins::new(config.login_failures),
            session_lifetime: config.session_lifetime,
            trusted_proxies: config.trusted_proxies.clone(),
            told,
        })
    }

    /// The name that belongs to a key. A wrong one is counted, and an address with too many of them has to wait, also
    /// with a right one: else it could go on guessing.
    ///
    /// # Errors
    /// 401 the key is wrong, 429 the address has to wait.
    pub(crate) fn name_of(&self, given: &str, from: IpAddr) -> Result<&str, Problem> {
        let now = Instant::now();
        if let Some(wait) = self.failed.must_wait(from, now) {
            metrics::counter!("tenant_sync_console_logins_total", "outcome" => "delayed").increment(1);
            return Err(Problem::too_many_logins(wait));
        }
        match self.keys.find(given) {
            Some(key) => Ok(&key.name),
            None => {
                self.failed.note(from, now);
                metrics::counter!("tenant_sync_console_logins_total", "outcome" => "refused").increment(1);
                self.told.wrong_key(from);
                Err(Problem::unauthorized("this is none of the keys in console.admin_keys"))
            }
        }
    }

    /// Begins a session of the dashboard for whoever has this key: the value of a `Set-Cookie` header.
    ///
    /// # Errors
    /// As [`Access::name_of`].
    pub(crate) fn sign_in(&self, given: &str, client: &Client) -> Result<(Operator, HeaderValue), Problem> {
        let name = self.name_of(given, client.address)?.to_owned();
        let key = self.keys.named(&name).ok_or_else(|| Problem::unauthorized("this key is gone"))?;
        let token = session::seal(key, SystemTime::now() + self.session_lifetime);
        let cookie = session::cookie(&token, self.session_lifetime, client.encrypted);
        metrics::counter!("tenant_sync_console_logins_total", "outcome" => "accepted").increment(1);
        Ok((Operator { name, address: client.address }, cookie))
    }

    /// Ends the session in this browser: the value of a `Set-Cookie` header.
    pub(crate) fn sign_out(client: &Client) -> HeaderValue {
        session::cookie("", std::time::Duration::ZERO, client.encrypted)
    }

    /// Whose session the cookie of a request belongs to.
    fn name_in_session(&self, headers: &HeaderMap) -> Option<&str> {
        let token = session::token(headers)?;
        let (name, expires) = session::parts(token)?;
        let key = self.keys.named(name)?;
        (session::is_genuine(key, token) && SystemTime::now() < expires).then_some(key.name.as_str())
    }
}
