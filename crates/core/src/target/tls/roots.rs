//! Whom we trust.

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

const PEM_BYTES_MAX: usize = 1 << 20;

/// Root certificates, and which of them somebody gave us by hand.
#[derive(Debug, Clone)]
pub(super) struct Roots {
    store: RootCertStore,
    given: Vec<CertificateDer<'static>>,
}

impl Default for Roots {
    fn default() -> Self {
        Self { store: RootCertStore::empty(), given: Vec::new() }
    }
}

impl Roots {
    /// The system's roots; those that cannot be read are left out.
    pub(super) fn of_the_system() -> Self {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a root certificate of the system cannot be read");
        }
        let mut roots = Self::default();
        roots.store.add_parsable_certificates(found.certs);
        roots
    }

    /// Adds all certificates of a PEM file.
    pub(super) fn with_pem(mut self, pem: &[u8]) -> Result<Self, &'static str> {
        if pem.len() > PEM_BYTES_MAX {
            return Err("it is larger than 1 MiB");
        }
        let before = self.given.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| "it is not valid PEM")?;
            self.store.add(certificate.clone()).map_err(|_| "it holds a certificate that cannot be read")?;
            self.given.push(certificate);
        }
        if self.given.len() == before {
            Err("it holds no certificate (-----BEGIN CERTIFICATE-----)")
        } else {
            Ok(self)
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.store.is_empty()
    }

    /// How many were given by hand.
    pub(super) fn given(&self) -> usize {
        self.given.len()
    }

    pub(super) fn store(&self) -> &RootCertStore {
        &self.store
    }

    /// Whether this very certificate was given: a server's self-signed one is its own root.
    pub(super) fn is_given(&self, certificate: &CertificateDer<'_>) -> bool {
        self.given.iter().any(|given| given == certificate)
    }
}
