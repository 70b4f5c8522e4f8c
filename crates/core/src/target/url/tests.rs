use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;

fn good(text: &str) -> TargetUrl {
    TargetUrl::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn bad(text: &str) -> String {
    TargetUrl::parse(text).expect_err(text).to_string()
}

fn hosts(url: &TargetUrl) -> Vec<String> {
    url.endpoints.iter().map(ToString::to_string).collect()
}

#[test]
fn reads_what_providers_hand_out() {
    let url = good(
        "postgresql://neondb_owner:npg_x%40%2F%3A%23@ep-cool-darkness-123456-pooler.eu-central-1.aws.neon.tech/\
         neondb?sslmode=require&channel_binding=require&options=endpoint%3Dep-cool-darkness-123456",
    );
    assert_eq!(url.user, "neondb_owner");
    assert_eq!(url.password.as_ref().unwrap().expose_secret(), "npg_x@/:#");
    assert_eq!(hosts(&url), ["ep-cool-darkness-123456-pooler.eu-central-1.aws.neon.tech:5432"]);
    assert_eq!((url.ssl_mode, url.channel_binding), (Some(SslMode::Require), ChannelBinding::Require));
    assert_eq!(url.options.as_deref(), Some("endpoint=ep-cool-darkness-123456"));

    let url = good("postgres://postgres.abcd:pw@aws-0-eu.pooler.supabase.com:6543/postgres");
    assert_eq!((url.user.as_str(), url.endpoints[0].port), ("postgres.abcd", 6543));

    let url = good(
        "postgres://u@h/d?target_session_attrs=read-write&application_name=my%20app&connect_timeout=10&sslmode=prefer",
    );
    assert_eq!(url.session_attrs, Some(SessionAttrs::ReadWrite));
    assert_eq!(url.application_name.as_deref(), Some("my app"));
    assert_eq!(url.connect_timeout, Some(Duration::from_secs(10)));
    assert!(url.password.is_none());
    assert_eq!(good("postgres://u@h/?connect_timeout=0").connect_timeout, None);
    assert_eq!(good("postgres://u@h").database, "u");
}

#[test]
fn every_value_of_a_known_parameter_is_understood() {
    for mode in ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] {
        assert!(good(&format!("postgres://u@h/d?sslmode={mode}")).ssl_mode.is_some());
    }
    for binding in ["disable", "prefer", "require"] {
        good(&format!("postgres://u@h/d?channel_binding={binding}"));
    }
    for attrs in ["any", "read-write", "primary"] {
        assert!(good(&format!("postgres://u@h/d?target_session_attrs={attrs}")).session_attrs.is_some());
    }
    for options in ["endpoint%3Dep-1", "project%3Dabc", "reference=abc.def", "endpoint%3Da%20project%3Db"] {
        assert!(good(&format!("postgres://u@h/d?options={options}")).options.is_some());
    }
}

#[test]
fn reads_hosts_of_every_kind() {
    let url = good("postgres://u:p@h1:5433,h2.Example.COM.,[2001:db8::1]:7,[::1],10.0.0.1/d");
    assert_eq!(
        hosts(&url),
        ["h1:5433", "h2.example.com:5432", "[2001:db8::1]:7", "[::1]:5432", "10.0.0.1:5432"]
    );
    assert_eq!(url.to_string(), format!("postgres://u@{}/d", hosts(&url).join(",")));
}

#[test]
fn refuses_parameters_by_name() {
    for name in [
        "hostaddr",
        "host",
        "port",
        "user",
        "password",
        "dbname",
        "service",
        "passfile",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "sslpassword",
        "sslcrl",
        "gssencmode",
        "krbsrvname",
        "requiressl",
        "sslnegotiation",
        "pgbouncer",
        "keepalives",
        "search_path",
        "replication",
        "client_encoding",
        "load_balance_hosts",
        "require_auth",
    ] {
        let error = bad(&format!("postgres://u:p@h/d?sslmode=require&{name}=hunter2"));
        assert!(error.contains(&format!("the parameter {name} is not allowed")), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    assert!(bad("postgres://u@h/d?sslrootcert=/x").contains("--ca-file"));
}

#[test]
fn refuses_bad_values_without_repeating_them() {
    for (query, name) in [
        ("sslmode=hunter2", "sslmode"),
        ("sslmode=", "sslmode"),
        ("channel_binding=hunter2", "channel_binding"),
        ("target_session_attrs=read-only", "target_session_attrs"),
        ("target_session_attrs=standby", "target_session_attrs"),
        ("target_session_attrs=prefer-standby", "target_session_attrs"),
        ("connect_timeout=-1", "connect_timeout"),
        ("connect_timeout=hunter2", "connect_timeout"),
        ("options=-c%20search_path%3Dhunter2", "options"),
        ("options=-csearch_path%3Dhunter2", "options"),
        ("options=--search_path%3Dhunter2", "options"),
        ("options=endpoint%3Da%20-c%20x%3Dhunter2", "options"),
        ("options=endpoint%3Da%0A-c", "options"),
        ("options=search_path%3Dhunter2", "options"),
        ("application_name=a%0Ahunter2", "application_name"),
    ] {
        let error = bad(&format!("postgres://u@h/d?{query}"));
        assert!(error.contains(name), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    assert!(bad("postgres://u@h/d?sslmode=require&sslmode=disable").contains("twice"));
    assert!(bad("postgres://u@h/d?hunter2").contains("name=value"));
    assert!(!bad("postgres://u@h/d?Hunter2!=x").contains("unter2"));
}

#[test]
fn refuses_sockets_missing_parts_and_other_forms() {
    for (text, expected) in [
        ("postgres://u:p@%2Fvar%2Frun%2Fpostgresql/d", UrlError::Socket),
        ("postgres:///d?host=/tmp", UrlError::NoUser),
        ("postgres://u:p@/d", UrlError::NoHost),
        ("postgres://h/d", UrlError::NoUser),
        ("postgres://:p@h/d", UrlError::NoUser),
        ("mysql://u:p@h/d", UrlError::Scheme),
        ("jdbc:postgresql://u:p@h/d", UrlError::Scheme),
        ("host=h user=u", UrlError::Scheme),
        ("", UrlError::Scheme),
        ("postgres://u:p@h1,h2,h3,h4,h5,h6,h7,h8,h9/d", UrlError::TooManyHosts),
        ("postgres://u:p@h1,,h3/d", UrlError::Host { position: 2 }),
        ("postgres://u:p@h:/d", UrlError::Port { position: 1 }),
        ("postgres://u:p@h:0/d", UrlError::Port { position: 1 }),
        ("postgres://u:p@h:65536/d", UrlError::Port { position: 1 }),
        ("postgres://u:p@a:1,h:+5432/d", UrlError::Port { position: 2 }),
        ("postgres://u:p@[::1/d", UrlError::Host { position: 1 }),
        ("postgres://u:p@[fe80::1%25eth0]/d", UrlError::Host { position: 1 }),
        ("postgres://u:p@::1/d", UrlError::Host { position: 1 }),
        ("postgres://u:p@127.1/d", UrlError::Host { position: 1 }),
        ("postgres://u:p@2130706433/d", UrlError::Host { position: 1 }),
        ("postgres://u:p@0x7f000001/d", UrlError::Host { position: 1 }),
        ("postgres://u:p@0x7f.1/d", UrlError::Host { position: 1 }),
        ("postgres://u:p@-h/d", UrlError::Host { position: 1 }),
        ("postgres://u:p@h h/d", UrlError::Character),
        ("postgres://u:p@h/d\nx", UrlError::Character),
        ("postgres://u:pä@h/d", UrlError::Character),
        ("postgres://u:p@s@h/d", UrlError::NotEncoded { part: "password", character: '@' }),
        ("postgres://u:p#s@h/d", UrlError::NotEncoded { part: "password", character: '#' }),
        ("postgres://u:a:b@h/d", UrlError::NotEncoded { part: "password", character: ':' }),
        ("postgres://u:p@h/d/e", UrlError::NotEncoded { part: "database", character: '/' }),
        ("postgres://u:100%@h/d", UrlError::Encoding { part: "password" }),
        ("postgres://u:%zz@h/d", UrlError::Encoding { part: "password" }),
        ("postgres://u:%00@h/d", UrlError::Encoding { part: "password" }),
        ("postgres://u:%ff@h/d", UrlError::Encoding { part: "password" }),
    ] {
        assert_eq!(TargetUrl::parse(text).expect_err(text), expected, "{text}");
    }
    let long = format!("postgres://{}@h/d", "u".repeat(64));
    assert_eq!(TargetUrl::parse(&long).unwrap_err(), UrlError::PartTooLong { part: "user", max: 63 });
    let endless = format!("postgres://u@h/d?application_name={}", "x".repeat(URL_BYTES_MAX));
    assert_eq!(TargetUrl::parse(&endless).unwrap_err(), UrlError::TooLong);
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

proptest! {
    #[test]
    fn never_panics(text in "\\PC*") {
        let _ = TargetUrl::parse(&text);
    }

    #[test]
    fn never_panics_near_the_grammar(text in "(postgres|postgresql)://[a-z%@:/?&=,\\[\\]0-9.# -]{0,80}") {
        if let Ok(url) = TargetUrl::parse(&text) {
            prop_assert!((1..=HOSTS_MAX).contains(&url.endpoints.len()));
            // What is shown is itself a connection string to the same place.
            let again = TargetUrl::parse(&url.to_string());
            prop_assert!(again.is_err() || again.is_ok_and(|a| a.endpoints == url.endpoints));
        }
    }

    #[test]
    fn a_password_arrives_and_is_never_shown(password in "[^\\x00]{4,40}", user in "[a-z]{1,3}") {
        let text = format!("postgres://{user}:{}@h/d", encoded(&password));
        let url = TargetUrl::parse(&text).unwrap();
        prop_assert_eq!(url.password.as_ref().unwrap().expose_secret(), password.as_str());
        let shown = format!("{url} {url:?}");
        prop_assert!(!shown.contains(&password));
    }

    #[test]
    fn an_unencoded_password_is_never_echoed(secret in "[A-Z0-9/?#:%@&=,]{0,6}QSECRETQ[A-Z0-9/?#:%@&=,]{0,6}") {
        for text in [
            format!("postgres://u:{secret}@h:5432/d"),
            format!("postgres://u:{secret}@h:5432/d?sslmode=require"),
            format!("postgres://u:{secret}"),
            format!("postgres://{secret}"),
            format!("u:{secret}@h/d"),
        ] {
            if let Err(error) = TargetUrl::parse(&text) {
                let shown = format!("{error} {error:?}");
                prop_assert!(!shown.contains("QSECRETQ"));
            }
        }
    }
}
