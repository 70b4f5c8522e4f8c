//! Why there is no answer: from what the libraries say to one of our classes, in our words.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use super::client::{Failure, NoAddress};
use super::outcome::Class;
use super::tunnel::TunnelError;
use crate::guard::{GuardError, ResolveError};
use crate::target::tls::{CertificateProblem, CertificateRefused};

fn failed(class: Class, detail: String) -> Failure {
    Failure { class, detail }
}

pub(super) fn too_long(what: &str, took: Duration) -> Failure {
    failed(Class::TimedOut, format!("{what} within {} ms", took.as_millis()))
}

pub(super) fn unsendable() -> Failure {
    failed(Class::Unsendable, "the request cannot be built".to_owned())
}

/// What lies below an error, as far as it says what it means.
fn below<'a>(error: &'a (dyn StdError + 'static)) -> Result<Option<&'a io::Error>, Failure> {
    let mut source: Option<&'a (dyn StdError + 'static)> = Some(error);
    let mut found_io = None;
    while let Some(cause) = source {
        if let Some(refused) = cause.downcast_ref::<NoAddress>() {
            return Err(no_address(refused));
        }
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            if let Some(tls) = tls_inside(io) {
                return Err(failed(Class::TlsFailed, tls_detail(tls)));
            }
            found_io = Some(io);
        }
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return Err(failed(Class::TlsFailed, tls_detail(tls)));
        }
        source = cause.source();
    }
    match found_io.filter(|io| is_ours(io)) {
        Some(io) => Err(failed(Class::Ours, format!("no way out of here ({})", io.kind()))),
        None => Ok(found_io),
    }
}

pub(super) fn failure(error: &reqwest::Error, took: Duration) -> Failure {
    let found_io = match below(error) {
        Ok(found_io) => found_io,
        Err(failure) => return failure,
    };
    if error.is_timeout() {
        return too_long(if error.is_connect() { "no connection" } else { "no answer" }, took);
    }
    if error.is_builder() {
        return unsendable();
    }
    no_answer(error.is_connect(), found_io)
}

fn no_answer(is_connect: bool, found_io: Option<&io::Error>) -> Failure {
    let kind = found_io.map_or_else(String::new, |io| format!(" ({})", io.kind()));
    if is_connect {
        failed(Class::NoConnection, format!("no connection{kind}"))
    } else {
        failed(Class::Broken, format!("the connection broke before there was an answer{kind}"))
    }
}

/// As [`failure`], from the client that goes through the proxy. That the proxy is away, or does not know us, is a fault of
/// ours.
pub(super) fn tunnel_failure(error: &hyper_util::client::legacy::Error, took: Duration) -> Failure {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(tunnel) = cause.downcast_ref::<TunnelError>() {
            return match tunnel {
                TunnelError::NoAddress(refused) => no_address(refused),
                TunnelError::NoProxy(_) | TunnelError::Credentials | TunnelError::Garbage => {
                    failed(Class::Ours, tunnel.to_string())
                }
                TunnelError::Refused(_) => failed(Class::NoConnection, tunnel.to_string()),
                TunnelError::TooLong(_) => too_long("no connection", took),
                TunnelError::Io(io) => below(io).map_or_else(|failure| failure, |io| no_answer(true, io)),
            };
        }
        source = cause.source();
    }
    below(error).map_or_else(|failure| failure, |io| no_answer(error.is_connect(), io))
}

/// One error may wrap another without naming it as its source.
fn tls_inside(error: &io::Error) -> Option<&rustls::Error> {
    let inner = error.get_ref()?;
    let deeper = inner.downcast_ref::<io::Error>().and_then(tls_inside);
    inner.downcast_ref::<rustls::Error>().or(deeper)
}

fn no_address(refused: &NoAddress) -> Failure {
    let class = match refused {
        NoAddress::Resolve(ResolveError::Ours) => Class::Ours,
        NoAddress::Resolve(ResolveError::NotFound) | NoAddress::Guard(GuardError::NoAddress) => {
            Class::NameNotFound
        }
        NoAddress::Guard(GuardError::NotAllowed { .. }) => Class::AddressRefused,
    };
    Failure { class, detail: refused.to_string() }
}

fn tls_detail(error: &rustls::Error) -> String {
    if let rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) = error
        && let Some(refused) = other.0.downcast_ref::<CertificateRefused>()
    {
        let what = match &refused.problem {
            CertificateProblem::Expired(day) => format!("expired on {day}"),
            CertificateProblem::NotYetValid(day) => format!("is not valid before {day}"),
            CertificateProblem::WrongName(names) => {
                format!("is for another name ({}): use that one in the URL", names.join(", "))
            }
            CertificateProblem::UnknownIssuer => {
                "is not signed by a root that is known here: network.ca_file adds roots".to_owned()
            }
            CertificateProblem::Other(reason) => format!("is not accepted: {reason}"),
        };
        return format!(
            "the certificate of \"{}\", issued by \"{}\", {what}",
            refused.subject, refused.issuer
        );
    }
    format!("the TLS handshake failed: {error}").chars().take(300).collect()
}

/// No local port, no file, no network: nothing that the receiver could help.
fn is_ours(error: &io::Error) -> bool {
    /// Linux: this process, this machine has too many files open.
    const FILES: [i32; 2] = [24, 23];
    error.raw_os_error().is_some_and(|code| FILES.contains(&code))
        || matches!(
            error.kind(),
            io::ErrorKind::AddrNotAvailable
                | io::ErrorKind::NetworkDown
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::PermissionDenied
        )
}
