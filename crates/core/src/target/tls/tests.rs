use std::path::Path;

use super::*;

fn settings(floor: TlsFloor) -> TlsSettings {
    TlsSettings { floor, roots: Arc::default(), provider: Arc::new(rustls::crypto::ring::default_provider()) }
}

#[test]
fn a_string_is_raised_to_the_floor_and_never_lowered() {
    use SslMode::{Allow, Disable, Prefer, Require, VerifyCa, VerifyFull};
    for (floor, requested, own_root, expected) in [
        (TlsFloor::VerifyFull, None, false, VerifyFull),
        (TlsFloor::VerifyFull, Some(Disable), false, VerifyFull),
        (TlsFloor::VerifyFull, Some(Require), true, VerifyFull),
        (TlsFloor::Require, None, false, Require),
        (TlsFloor::Require, Some(Disable), false, Require),
        (TlsFloor::Require, Some(Require), true, VerifyCa),
        (TlsFloor::Require, Some(VerifyCa), false, VerifyCa),
        (TlsFloor::Require, Some(VerifyFull), false, VerifyFull),
        (TlsFloor::Disable, None, false, Prefer),
        (TlsFloor::Disable, Some(Allow), false, Prefer),
        (TlsFloor::Disable, Some(Disable), true, Disable),
        (TlsFloor::Disable, Some(VerifyFull), false, VerifyFull),
    ] {
        assert_eq!(
            settings(floor).level(requested, own_root),
            expected,
            "{floor:?} {requested:?} {own_root}"
        );
    }
}

#[test]
fn an_unusable_root_is_refused_in_words() {
    for (pem, expected) in [
        ("", "holds no certificate"),
        ("hello", "holds no certificate"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds no certificate"),
        ("-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n", "not valid PEM"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
    ] {
        let error = check_own_root(pem).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.fault().class, ErrorClass::Configuration);
    }
}

#[test]
fn a_missing_ca_file_is_the_operators_fault() {
    let network = Network {
        allow_private: false,
        allow_cidrs: Vec::new(),
        tls: TlsFloor::VerifyFull,
        ca_file: Some(Path::new("/nonexistent/roots.pem").into()),
    };
    let error = TlsSettings::from_config(&network).unwrap_err();
    assert!(error.to_string().starts_with("network.ca_file /nonexistent/roots.pem: "), "{error}");
    assert_eq!(error.fault().class, ErrorClass::Ours);
}

#[test]
fn nothing_is_verified_without_roots() {
    let settings = settings(TlsFloor::VerifyFull);
    assert!(matches!(settings.connector(SslMode::VerifyFull, None), Err(TlsError::NoRoots)));
    assert!(settings.connector(SslMode::Require, None).is_ok());
}
