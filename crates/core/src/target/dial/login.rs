//! The login.

use secrecy::ExposeSecret;
use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding as Binding, SslMode as LibrarySslMode, SslNegotiation};

use super::route::Route;
use super::session::Session;
use super::transport::{Negotiated, Transport};
use super::{DialError, Step};
use crate::target::bounded::{BoundedStream, Limits, Observed, ProtocolAbuse};
use crate::target::class::{ErrorClass, TargetFault};
use crate::target::url::{ChannelBinding, TargetUrl};

/// Numbers of the `Authentication…` messages that we can answer: clear text, MD5, SASL.
const METHODS_WITH_PASSWORD: [i32; 3] = [3, 5, 10];

pub(super) async fn log_in(
    route: Route,
    transport: Transport,
    limits: Limits,
    url: &TargetUrl,
    application_name: &str,
) -> Result<Session, DialError> {
    let encrypted = transport.is_encrypted();
    let stream = BoundedStream::new(transport, limits);
    let observed = stream.observed();
    let config = session_config(url, application_name);
    match route.within(Step::Login, config.connect_raw(stream, Negotiated)).await? {
        Ok((client, connection)) => Ok(Session::start(client, connection, observed, route, encrypted)),
        Err(error) => {
            let source = Box::new(fault_of(&error, &observed, url));
            Err(DialError::Login { endpoint: route.endpoint.to_string(), source })
        }
    }
}

fn session_config(url: &TargetUrl, application_name: &str) -> Config {
    let mut config = Config::new();
    config
        .user(&url.user)
        .dbname(&url.database)
        .application_name(url.application_name.as_deref().unwrap_or(application_name))
        // "TLS, without asking for it": what that means is up to `Negotiated`.
        .ssl_mode(LibrarySslMode::Require)
        .ssl_negotiation(SslNegotiation::Direct)
        .channel_binding(match url.channel_binding {
            ChannelBinding::Disable => Binding::Disable,
            ChannelBinding::Prefer => Binding::Prefer,
            ChannelBinding::Require => Binding::Require,
        });
    if let Some(password) = &url.password {
        config.password(password.expose_secret());
    }
    if let Some(options) = &url.options {
        config.options(options);
    }
    config
}

/// The library has words, but no types, for what fails at login; what was seen on the wire says it.
fn fault_of(error: &tokio_postgres::Error, observed: &Observed, url: &TargetUrl) -> TargetFault {
    let method = observed.login_method();
    if let Some(abuse) = observed.abuse() {
        return abuse.into();
    }
    let fault = TargetFault::from_postgres(error);
    if fault.class != ErrorClass::Unknown || fault.sqlstate.is_some() {
        return fault;
    }
    if METHODS_WITH_PASSWORD.contains(&method) && url.password.is_none() {
        return TargetFault::new(ErrorClass::PasswordRefused)
            .with_detail("The server asks for a password, and the connection string has none.");
    }
    if method != 0 && !METHODS_WITH_PASSWORD.contains(&method) {
        return TargetFault::new(ErrorClass::PasswordRefused).with_detail(
            "The server asks for a login method other than a password (Kerberos, GSS or SSPI).",
        );
    }
    if url.channel_binding == ChannelBinding::Require {
        return TargetFault::new(ErrorClass::TlsFailed).with_detail(
            "The connection string requires channel binding, and the server did not offer it with this login.",
        );
    }
    // What is left are messages that have no place in a login.
    ProtocolAbuse::NotTheProtocol.into()
}
