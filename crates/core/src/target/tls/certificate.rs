//! Whose certificate it was, and what was wrong with it.

use std::fmt;

use rustls_pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;
use time::macros::format_description;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::target::class::clean;

const NAME_CHARS_MAX: usize = 120;
const NAMES_SHOWN: usize = 5;

/// What is wrong with a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateProblem {
    /// It ended on this day.
    Expired(String),
    /// It begins on this day.
    NotYetValid(String),
    /// It is for these names.
    WrongName(Vec<String>),
    /// Nobody known here signed it.
    UnknownIssuer,
    /// Something rare, in the TLS library's words.
    Other(String),
}

/// A certificate that was refused. Its text goes after "The certificate of `host`".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRefused {
    /// What is wrong.
    pub problem: CertificateProblem,
    /// Whose it says it is.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
}

impl fmt::Display for CertificateRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { problem, subject, issuer } = self;
        write!(f, "(of \"{subject}\", issued by \"{issuer}\") ")?;
        match problem {
            CertificateProblem::Expired(day) => write!(f, "expired on {day}: renew it at the server."),
            CertificateProblem::NotYetValid(day) => {
                write!(f, "is not valid before {day}: check the clocks of both sides.")
            }
            CertificateProblem::WrongName(names) if names.is_empty() => write!(
                f,
                "names no host (it has no subject alternative name): give the server a certificate for the name in the \
                 connection string."
            ),
            CertificateProblem::WrongName(names) => write!(
                f,
                "is for another name ({}): use that name in the connection string, or give the server a certificate \
                 for this one.",
                names.join(", ")
            ),
            CertificateProblem::UnknownIssuer => write!(
                f,
                "is not signed by a root that is known here: add the root certificate of \"{issuer}\" with --ca-file \
                 for this target, or for all targets with network.ca_file."
            ),
            CertificateProblem::Other(reason) => write!(f, "is not accepted: {reason}."),
        }
    }
}

impl std::error::Error for CertificateRefused {}

/// What a certificate says of itself. It comes from a stranger: everything is cut and cleaned.
pub(super) struct Described {
    pub(super) subject: String,
    pub(super) issuer: String,
    pub(super) names: Vec<String>,
    not_before: u64,
    not_after: u64,
}

impl Described {
    pub(super) fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?.tbs_certificate;
        let shown = |text: String| clean(&text, NAME_CHARS_MAX).unwrap_or_else(|| "nobody".into());
        let names =
            certificate.get::<SubjectAltName>().ok().flatten().map(|(_, names)| names.0).unwrap_or_default();
        let names = names.iter().filter_map(name_of).filter_map(|n| clean(&n, NAME_CHARS_MAX));
        Some(Self {
            subject: shown(certificate.subject.to_string()),
            issuer: shown(certificate.issuer.to_string()),
            names: names.take(NAMES_SHOWN).collect(),
            not_before: certificate.validity.not_before.to_unix_duration().as_secs(),
            not_after: certificate.validity.not_after.to_unix_duration().as_secs(),
        })
    }

    /// Whether it is past its time, or before it.
    pub(super) fn out_of_time(&self, now: UnixTime) -> Option<CertificateProblem> {
        if now.as_secs() > self.not_after {
            Some(CertificateProblem::Expired(day(self.not_after)))
        } else if now.as_secs() < self.not_before {
            Some(CertificateProblem::NotYetValid(day(self.not_before)))
        } else {
            None
        }
    }

    pub(super) fn is_self_signed(&self) -> bool {
        self.subject == self.issuer
    }
}

fn name_of(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(bytes) => {
            let bytes = bytes.as_bytes();
            let v4 = <[u8; 4]>::try_from(bytes).map(std::net::IpAddr::from);
            v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from))
                .ok()
                .map(|a| a.to_string())
        }
        _ => None,
    }
}

fn day(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
    let text = at.and_then(|at| at.format(format_description!("[year]-[month]-[day]")).ok());
    text.unwrap_or_else(|| "an unknown day".into())
}
