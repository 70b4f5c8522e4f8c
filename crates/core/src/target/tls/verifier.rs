//! The check of a server's certificate.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::certificate::{CertificateProblem, CertificateRefused, Described};
use super::roots::Roots;
use crate::target::url::SslMode;

/// Verifies as much as a level asks for. That the server owns the certificate's key is always verified.
#[derive(Debug)]
pub(super) struct TargetVerifier {
    level: SslMode,
    roots: Arc<Roots>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl TargetVerifier {
    pub(super) fn new(level: SslMode, roots: Arc<Roots>, provider: &CryptoProvider) -> Self {
        Self { level, roots, algorithms: provider.signature_verification_algorithms }
    }

    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        if !self.roots.is_given(end_entity) {
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                self.roots.store(),
                intermediates,
                now,
                self.algorithms.all,
            )?;
        } else if Described::of(end_entity).is_none_or(|d| d.out_of_time(now).is_some()) {
            return Err(CertificateError::Expired.into());
        }
        if self.level >= SslMode::VerifyFull { verify_server_name(&parsed, server_name) } else { Ok(()) }
    }
}

impl ServerCertVerifier for TargetVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.level < SslMode::VerifyCa {
            return Ok(ServerCertVerified::assertion());
        }
        match self.verify(end_entity, intermediates, server_name, now) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(error) => Err(refused(error, end_entity, now)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Adds to the library's error whose certificate it was.
fn refused(error: Error, end_entity: &CertificateDer<'_>, now: UnixTime) -> Error {
    let Error::InvalidCertificate(reason) = &error else { return error };
    let Some(described) = Described::of(end_entity) else { return error };
    let problem = match reason {
        CertificateError::UnknownIssuer => CertificateProblem::UnknownIssuer,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            CertificateProblem::WrongName(described.names.clone())
        }
        other => match described.out_of_time(now) {
            Some(problem) => problem,
            // A certificate that signs itself and that nobody gave us; the library may find other words.
            None if described.is_self_signed() => CertificateProblem::UnknownIssuer,
            None => CertificateProblem::Other(other.to_string().chars().take(200).collect()),
        },
    };
    let Described { subject, issuer, .. } = described;
    let refused = CertificateRefused { problem, subject, issuer };
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refused))))
}
