//! TLS to a target: how much of it, by which roots, and in words what was wrong.

mod certificate;
mod roots;
#[cfg(test)]
mod tests;
mod verifier;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::{CertificateError, ClientConfig};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::{Network, TlsFloor};
use crate::target::class::{ErrorClass, TargetFault};
use crate::target::url::SslMode;
pub use certificate::{CertificateProblem, CertificateRefused};
use roots::Roots;
use verifier::TargetVerifier;

/// Why there is no encrypted connection as it is required.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// `network.ca_file` cannot be used.
    #[error("network.ca_file {path}: {reason}", path = path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The target's own root certificate cannot be used.
    #[error("The root certificate of the target (--ca-file) cannot be used: {reason}.")]
    OwnRoot {
        /// Why.
        reason: &'static str,
    },
    /// There is no root to verify a certificate with.
    #[error(
        "No root certificates are known here: install the system's (package ca-certificates), or name a file with \
         network.ca_file."
    )]
    NoRoots,
    /// The library refuses its own settings.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
    /// The server answered that it does not speak TLS.
    #[error("The server {host} does not offer encryption, which is required: switch TLS on there.")]
    NotOffered {
        /// As it stands in the connection string.
        host: String,
    },
    /// The certificate was refused.
    #[error("The certificate of {host} {refused}")]
    Certificate {
        /// As it stands in the connection string.
        host: String,
        /// Whose it is and what is wrong.
        refused: CertificateRefused,
    },
    /// Client and server did not agree.
    #[error("The TLS handshake with {host} failed ({reason}).")]
    Handshake {
        /// As it stands in the connection string.
        host: String,
        /// The TLS library's words.
        reason: String,
    },
    /// The connection broke during the handshake.
    #[error("The server {host} ended the connection during the TLS handshake.")]
    Broken {
        /// As it stands in the connection string.
        host: String,
    },
}

impl TlsError {
    /// What the handshake's error means.
    pub(super) fn from_handshake(host: &str, error: &io::Error) -> Self {
        let host = host.to_owned();
        let Some(tls) = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) else {
            return Self::Broken { host };
        };
        if let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = tls
            && let Some(refused) = other.0.downcast_ref::<CertificateRefused>()
        {
            return Self::Certificate { host, refused: refused.clone() };
        }
        let reason = super::class::clean(&tls.to_string(), 200).unwrap_or_default();
        Self::Handshake { host, reason }
    }

    /// The class, and this text as its detail.
    #[must_use]
    pub fn fault(&self) -> TargetFault {
        let class = match self {
            Self::CaFile { .. } | Self::NoRoots | Self::Setup(_) => ErrorClass::Ours,
            Self::OwnRoot { .. } => ErrorClass::Configuration,
            Self::Broken { .. } => ErrorClass::Unreachable,
            Self::NotOffered { .. } | Self::Certificate { .. } | Self::Handshake { .. } => {
                ErrorClass::TlsFailed
            }
        };
        TargetFault::new(class).with_detail(self.to_string())
    }
}

/// The operator's floor and roots. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    floor: TlsFloor,
    roots: Arc<Roots>,
    provider: Arc<CryptoProvider>,
}

impl TlsSettings {
    /// Reads the system's roots and `network.ca_file`.
    ///
    /// # Errors
    /// `network.ca_file` cannot be read or contains no certificate.
    pub fn from_config(network: &Network) -> Result<Self, TlsError> {
        let mut roots = Roots::of_the_system();
        if let Some(path) = &network.ca_file {
            let failed = |reason: String| TlsError::CaFile { path: path.clone(), reason };
            let pem = std::fs::read(path).map_err(|e| failed(e.to_string()))?;
            roots = roots.with_pem(&pem).map_err(|reason| failed(reason.into()))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Ok(Self { floor: network.tls, roots: Arc::new(roots), provider })
    }

    /// How much TLS a connection gets: what its string asks for, raised to the floor. Whoever gives a
    /// root certificate wants it to be looked at, as in libpq.
    #[must_use]
    pub fn level(&self, requested: Option<SslMode>, has_own_root: bool) -> SslMode {
        let floor = match self.floor {
            TlsFloor::Disable => SslMode::Disable,
            TlsFloor::Require => SslMode::Require,
            TlsFloor::VerifyFull => SslMode::VerifyFull,
        };
        let requested = match requested {
            None | Some(SslMode::Allow) => SslMode::Prefer,
            Some(mode) => mode,
        };
        match requested.max(floor) {
            SslMode::Require if has_own_root => SslMode::VerifyCa,
            level => level,
        }
    }

    /// For an HTTP client: the certificate is always verified, whatever the floor.
    ///
    /// # Errors
    /// There is nothing to verify with.
    pub fn verifying(&self) -> Result<ClientConfig, TlsError> {
        if self.roots.is_empty() {
            return Err(TlsError::NoRoots);
        }
        self.client(SslMode::VerifyFull, Arc::clone(&self.roots))
    }

    /// A connector for `level`, which also trusts `own_root` (PEM).
    ///
    /// # Errors
    /// `own_root` is no certificate, or there is nothing to verify with.
    pub fn connector(&self, level: SslMode, own_root: Option<&str>) -> Result<MakeRustlsConnect, TlsError> {
        let roots = match own_root {
            Some(pem) => {
                let own = Roots::clone(&self.roots).with_pem(pem.as_bytes());
                Arc::new(own.map_err(|reason| TlsError::OwnRoot { reason })?)
            }
            None => Arc::clone(&self.roots),
        };
        if level >= SslMode::VerifyCa && roots.is_empty() {
            return Err(TlsError::NoRoots);
        }
        let mut config = self.client(level, roots)?;
        // A connector serves one session: there is nothing to resume.
        config.resumption = Resumption::disabled();
        Ok(MakeRustlsConnect::new(config))
    }

    fn client(&self, level: SslMode, roots: Arc<Roots>) -> Result<ClientConfig, TlsError> {
        let verifier = TargetVerifier::new(level, roots, &self.provider);
        Ok(ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth())
    }
}

/// Checks that a root certificate given for a target can be used, and counts the certificates in it.
///
/// # Errors
/// It is no PEM, has no certificate, or one that cannot be a root.
pub fn check_own_root(pem: &str) -> Result<usize, TlsError> {
    Roots::default()
        .with_pem(pem.as_bytes())
        .map(|roots| roots.given())
        .map_err(|reason| TlsError::OwnRoot { reason })
}
