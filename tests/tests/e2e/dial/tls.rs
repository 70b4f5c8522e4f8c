//! Certificates and floors.

use tenant_sync_core::config::TlsFloor;
use tenant_sync_core::target::class::ErrorClass;
use tenant_sync_core::target::dial::{DialError, Encryption};
use tenant_sync_core::target::tls::{CertificateProblem, TlsError};

use super::certificates::{Authority, self_signed};
use super::cluster::Cluster;
use super::{connect, dialer, dialer_with_ca_file, refused, text};

const IS_ENCRYPTED: &str = "select ssl::text from pg_stat_ssl where pid = pg_backend_pid()";

fn problem(error: &DialError) -> &CertificateProblem {
    match error {
        DialError::Tls(TlsError::Certificate { refused, .. }) => &refused.problem,
        other => panic!("not a refused certificate: {other}"),
    }
}

#[tokio::test]
async fn a_certificate_must_be_for_the_name_and_from_a_known_root() {
    let authority = Authority::new("Customer's Root");
    let cluster = Cluster::start(Some(&authority.sign(&["localhost"])));
    let strict = dialer(TlsFloor::VerifyFull);
    let by_name = cluster.url("localhost", "");

    // The target's own root, under each string that asks for less than the floor.
    for query in ["", "sslmode=disable", "sslmode=prefer", "sslmode=require", "sslmode=verify-full"] {
        let session =
            connect(&strict, &cluster.url("localhost", query), Some(&authority.root)).await.unwrap();
        assert_eq!(session.encryption(), Encryption::VerifiedHost, "{query}");
        assert_eq!(text(&session, IS_ENCRYPTED).await, "true", "{query}");
    }

    // The operator's file of roots.
    let ca_file = cluster.scratch().0.join("roots.pem");
    std::fs::write(&ca_file, &authority.root).unwrap();
    let with_file = dialer_with_ca_file(TlsFloor::VerifyFull, ca_file);
    assert_eq!(connect(&with_file, &by_name, None).await.unwrap().encryption(), Encryption::VerifiedHost);

    let error = refused(&strict, &by_name, None).await;
    assert_eq!(*problem(&error), CertificateProblem::UnknownIssuer);
    for expected in ["localhost", "customer's server", "CN=Customer's Root", "--ca-file", "network.ca_file"] {
        assert!(error.to_string().contains(expected), "{expected}: {error}");
    }
    assert_eq!(error.class(), ErrorClass::TlsFailed);
    let stranger = Authority::new("Somebody Else");
    assert_eq!(
        *problem(&refused(&strict, &by_name, Some(&stranger.root)).await),
        CertificateProblem::UnknownIssuer
    );

    let by_address = cluster.url("127.0.0.1", "");
    let error = refused(&strict, &by_address, Some(&authority.root)).await;
    assert_eq!(*problem(&error), CertificateProblem::WrongName(vec!["localhost".into()]));
    // verify-ca asks for no name, where the operator's floor allows that.
    let lower = dialer(TlsFloor::Require);
    let url = cluster.url("127.0.0.1", "sslmode=verify-ca");
    let session = connect(&lower, &url, Some(&authority.root)).await.unwrap();
    assert_eq!(session.encryption(), Encryption::VerifiedRoot);
    assert_eq!(*problem(&refused(&lower, &url, None).await), CertificateProblem::UnknownIssuer);
}

#[tokio::test]
async fn an_expired_certificate_is_refused_with_its_day() {
    let authority = Authority::new("Customer's Root");
    let cluster = Cluster::start(Some(&authority.sign_expired(&["localhost", "127.0.0.1"])));
    let url = cluster.url("127.0.0.1", "");
    let error = refused(&dialer(TlsFloor::VerifyFull), &url, Some(&authority.root)).await;
    assert_eq!(*problem(&error), CertificateProblem::Expired("2020-02-03".into()));
    assert!(error.fault().to_string().contains("expired on 2020-02-03"), "{}", error.fault());
    let unverified = connect(&dialer(TlsFloor::Require), &url, None).await.unwrap();
    assert_eq!(unverified.encryption(), Encryption::Unverified);
}

#[tokio::test]
async fn a_self_signed_certificate_can_be_its_own_root() {
    let certificate = self_signed(&["127.0.0.1"]);
    let cluster = Cluster::start(Some(&certificate));
    let strict = dialer(TlsFloor::VerifyFull);
    let url = cluster.url("127.0.0.1", "");
    let session = connect(&strict, &url, Some(&certificate.chain)).await.unwrap();
    assert_eq!(session.encryption(), Encryption::VerifiedHost);
    assert_eq!(*problem(&refused(&strict, &url, None).await), CertificateProblem::UnknownIssuer);
    let by_name = cluster.url("localhost", "");
    let error = refused(&strict, &by_name, Some(&certificate.chain)).await;
    assert_eq!(*problem(&error), CertificateProblem::WrongName(vec!["127.0.0.1".into()]));
}

#[tokio::test]
async fn the_floor_decides_how_little_is_enough() {
    let cluster = Cluster::start(Some(&Authority::new("x").sign(&["localhost"])));
    for (floor, query, expected) in [
        (TlsFloor::Require, "sslmode=disable", Encryption::Unverified),
        (TlsFloor::Require, "", Encryption::Unverified),
        (TlsFloor::Disable, "", Encryption::Unverified),
        (TlsFloor::Disable, "sslmode=allow", Encryption::Unverified),
        (TlsFloor::Disable, "sslmode=require", Encryption::Unverified),
        (TlsFloor::Disable, "sslmode=disable", Encryption::None),
    ] {
        let session = connect(&dialer(floor), &cluster.url("127.0.0.1", query), None).await.unwrap();
        assert_eq!(session.encryption(), expected, "{floor:?} {query}");
        assert_eq!(text(&session, IS_ENCRYPTED).await, (expected != Encryption::None).to_string());
    }
}

#[tokio::test]
async fn a_server_without_tls_is_used_only_where_the_floor_allows() {
    let cluster = Cluster::start(None);
    let url = cluster.url("127.0.0.1", "");
    assert_eq!(connect(&dialer(TlsFloor::Disable), &url, None).await.unwrap().encryption(), Encryption::None);
    for floor in [TlsFloor::Require, TlsFloor::VerifyFull] {
        let error = refused(&dialer(floor), &url, None).await;
        assert!(matches!(error, DialError::Tls(TlsError::NotOffered { .. })), "{error}");
        assert_eq!(error.class(), ErrorClass::TlsFailed);
    }
}

#[tokio::test]
async fn channel_binding_ties_the_login_to_the_certificate() {
    let cluster = Cluster::start(Some(&Authority::new("x").sign(&["localhost"])));
    let lower = dialer(TlsFloor::Disable);
    for binding in ["require", "prefer", "disable"] {
        let url = cluster.url("127.0.0.1", &format!("sslmode=require&channel_binding={binding}"));
        let session = connect(&lower, &url, None).await.unwrap();
        assert_eq!(text(&session, IS_ENCRYPTED).await, "true");
    }
    let error =
        refused(&lower, &cluster.url("127.0.0.1", "sslmode=disable&channel_binding=require"), None).await;
    assert_eq!(error.class(), ErrorClass::TlsFailed);
    assert!(error.to_string().contains("channel binding"), "{error}");
}
