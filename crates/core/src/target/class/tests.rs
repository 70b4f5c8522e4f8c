use std::collections::HashSet;
use std::io;

use super::*;
use crate::target::bounded::ProtocolAbuse;

#[test]
fn representative_codes() {
    for (code, class) in [
        ("08006", ErrorClass::Unreachable),
        ("08P01", ErrorClass::Unreachable),
        ("28P01", ErrorClass::PasswordRefused),
        ("28000", ErrorClass::PasswordRefused),
        ("3D000", ErrorClass::DatabaseMissing),
        ("42501", ErrorClass::PermissionDenied),
        ("53300", ErrorClass::TooManyConnections),
        ("25006", ErrorClass::ReadOnly),
        ("57P01", ErrorClass::ShuttingDown),
        ("57P03", ErrorClass::ShuttingDown),
        ("55P03", ErrorClass::LockTimeout),
        ("57014", ErrorClass::StatementTimeout),
        ("25P03", ErrorClass::StatementTimeout),
        ("40001", ErrorClass::Conflict),
        ("40P01", ErrorClass::Conflict),
        ("53100", ErrorClass::DiskFull),
        ("53200", ErrorClass::DiskFull),
        ("22001", ErrorClass::RowRefused),
        ("22P05", ErrorClass::RowRefused),
        ("23502", ErrorClass::RowRefused),
        ("23503", ErrorClass::RowRefused),
        ("23505", ErrorClass::RowRefused),
        ("23514", ErrorClass::RowRefused),
        ("44000", ErrorClass::RowRefused),
        ("54000", ErrorClass::RowRefused),
        ("P0001", ErrorClass::RowRefused),
        ("42P01", ErrorClass::SchemaChanged),
        ("42703", ErrorClass::SchemaChanged),
        ("3F000", ErrorClass::SchemaChanged),
        ("26000", ErrorClass::SessionStale),
        ("42P05", ErrorClass::SessionStale),
        ("22P04", ErrorClass::Unknown),
        ("42601", ErrorClass::Unknown),
        ("XX000", ErrorClass::Unknown),
        ("", ErrorClass::Unknown),
        ("ZZZZZ", ErrorClass::Unknown),
    ] {
        assert_eq!(class_of_sqlstate(code), class, "{code}");
    }
}

#[test]
fn every_class_has_its_own_code_and_words() {
    let mut codes = HashSet::new();
    for class in ErrorClass::ALL {
        assert!(codes.insert(class.code()), "{class}");
        assert_eq!(ErrorClass::from_code(class.code()), Some(class));
        assert_eq!(serde_json::to_value(class).unwrap(), class.code());
        assert!(class.sentence().ends_with('.') && class.advice().ends_with('.'), "{class}");
        assert!(!class.sentence().trim_end_matches('.').contains(". "), "{class}: one sentence");
    }
    assert_eq!(ErrorClass::from_code("nonsense"), None);
}

#[test]
fn the_table_is_safe() {
    let policy = |class: ErrorClass| class.policy();
    // Only a row's own fault may quarantine it.
    let quarantining: Vec<_> = ErrorClass::ALL.into_iter().filter(|c| policy(*c).quarantines).collect();
    assert_eq!(quarantining, [ErrorClass::RowRefused]);
    // Only our own faults cost the target nothing, and even they are not tried in a hot loop.
    let free: Vec<_> = ErrorClass::ALL.into_iter().filter(|c| !policy(*c).counts()).collect();
    assert_eq!(free, [ErrorClass::Ours]);
    assert!(policy(ErrorClass::Ours).min_wait >= Duration::from_secs(1));
    // A wrong password may lock the customer's account.
    assert_eq!(policy(ErrorClass::PasswordRefused).min_wait, Duration::from_secs(300));
    assert_eq!(policy(ErrorClass::PasswordRefused).breaker, Breaker::Opens);
    // What nobody knows is tried again with back-off.
    assert_eq!(policy(ErrorClass::Unknown).breaker, Breaker::Counts);
    for class in ErrorClass::ALL {
        let waits = policy(class).min_wait;
        assert!(waits <= Duration::from_secs(600), "{class}: everything heals by itself");
        if matches!(policy(class).breaker, Breaker::Opens | Breaker::Refuses) {
            assert!(waits >= Duration::from_secs(60), "{class}");
        }
    }
}

#[test]
fn connection_errors_are_told_apart() {
    let class = |error: io::Error| TargetFault::from_io(&error).class;
    assert_eq!(class(io::ErrorKind::ConnectionRefused.into()), ErrorClass::Unreachable);
    assert_eq!(class(io::ErrorKind::UnexpectedEof.into()), ErrorClass::Unreachable);
    assert_eq!(class(io::ErrorKind::InvalidInput.into()), ErrorClass::ProtocolAbuse);
    assert_eq!(class(io::Error::from_raw_os_error(24)), ErrorClass::Ours);
    assert_eq!(class(io::ErrorKind::AddrNotAvailable.into()), ErrorClass::Ours);
    assert_eq!(class(io::Error::other(rustls::Error::DecryptError)), ErrorClass::TlsFailed);
    let fault = TargetFault::from_io(&ProtocolAbuse::Message { max: 7 }.into());
    assert_eq!(fault.class, ErrorClass::ProtocolAbuse);
    assert!(fault.to_string().ends_with("the server sent a message larger than 7 bytes"), "{fault}");
}

#[test]
fn a_fault_shows_names_on_one_line() {
    let mut fault = TargetFault::new(ErrorClass::RowRefused);
    assert_eq!(fault.to_string(), "The database refuses a row.");
    fault.sqlstate = Some("23514".into());
    fault.constraint = Some("users_check".into());
    assert_eq!(fault.to_string(), "The database refuses a row. (SQLSTATE 23514, constraint users_check)");
    let long = fault.with_detail("a\nb\0".repeat(1000));
    assert!(long.to_string().len() < 800 && !long.to_string().contains('\n'));
}
