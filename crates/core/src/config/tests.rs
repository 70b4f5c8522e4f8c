use std::io::Write as _;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::{Config, ConfigError, TlsFloor};

fn load(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let mut all = vec![("TENANT_SYNC_DATABASE__URL".to_owned(), "postgres://h/d".to_owned())];
    all.extend(variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    Config::from_sources(None, all)
}

#[test]
fn defaults_are_the_contracts() {
    let config = load(&[]).expect("defaults");
    assert_eq!(config.deployment.name, "main");
    assert_eq!(config.database.schema, "public");
    assert!(config.database.user_tables && !config.database.auto_migrate);
    assert_eq!(config.sequencer.poll_interval, Duration::from_millis(50));
    assert_eq!(
        (config.sequencer.batch_size, config.poller.batch_size, config.poller.max_queued),
        (5000, 1000, 10000)
    );
    assert_eq!((config.sync.concurrency, config.sync.target_connections), (32, 2));
    assert_eq!((config.sync.batch_bytes, config.sync.max_row_bytes), (8 << 20, 64 << 20));
    assert_eq!(config.sync.tombstone_retention, Duration::from_secs(7 * 86400));
    let hours = |h: u64| Duration::from_secs(h * 3600);
    let first = [5, 300, 1800].map(Duration::from_secs);
    let later = [2, 5, 10, 14, 20, 24].map(hours);
    assert_eq!(config.requests.retry_schedule, [&first[..], &later].concat());
    assert_eq!((config.requests.timeout, config.requests.pause_after), (Duration::from_secs(20), hours(120)));
    assert_eq!(config.network.tls, TlsFloor::VerifyFull);
    assert_eq!(config.rabbitmq.url.expose_secret(), "amqp://guest:guest@127.0.0.1:5672/%2f");
}

#[test]
fn a_value_is_what_the_field_says() {
    let config = load(&[
        ("TENANT_SYNC_DEPLOYMENT__NAME", "12345678"),
        ("TENANT_SYNC_SYNC__SCHEMA", "true"),
        ("TENANT_SYNC_SYNC__BATCH_ROWS", "7"),
        ("TENANT_SYNC_DATABASE__AUTO_MIGRATE", "true"),
        ("TENANT_SYNC_NETWORK__ALLOW_CIDRS", "10.0.0.0/8, 127.0.0.1"),
        ("TENANT_SYNC_SECRETS__KEYS", "a:AAAA,b:BBBB"),
    ])
    .expect("all good");
    assert_eq!((config.deployment.name.as_str(), config.sync.schema.as_str()), ("12345678", "true"));
    assert_eq!((config.sync.batch_rows, config.database.auto_migrate), (7, true));
    assert_eq!((config.network.allow_cidrs.len(), config.secrets.keys.len()), (2, 2));
}

#[test]
fn what_kubernetes_injects_is_ignored() {
    load(&[("TENANT_SYNC_CONSOLE_PORT", "tcp://10.0.0.1:80"), ("TENANT_SYNC_PORT", "tcp://10.0.0.1:80")])
        .expect("not ours");
}

#[test]
fn errors_name_key_and_source_and_never_the_value() {
    for (name, key) in [
        ("TENANT_SYNC_SYNC__BATCH_ROWS", "sync.batch_rows"),
        ("TENANT_SYNC_POLLER__POLL_INTERVAL", "poller.poll_interval"),
        ("TENANT_SYNC_NETWORK__TLS", "network.tls"),
        ("TENANT_SYNC_SYNC__NO_SUCH_KEY", "sync.no_such_key"),
        ("TENANT_SYNC_NOSECTION__KEY", "nosection"),
    ] {
        let text = load(&[(name, "hunter2")]).expect_err(name).to_string();
        assert!(text.contains(key) && text.contains("TENANT_SYNC_"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn metrics_live_for_a_second_to_a_day_and_are_stale_for_ten_minutes_at_most() {
    for (key, variable, good, bad) in [
        (
            "console.metrics_ttl",
            "TENANT_SYNC_CONSOLE__METRICS_TTL",
            ["1s", "1d"],
            ["0s", "999ms", "86401s", "soon"],
        ),
        (
            "console.metrics_stale",
            "TENANT_SYNC_CONSOLE__METRICS_STALE",
            ["0s", "10m"],
            ["601s", "11m", "1d", "-1s"],
        ),
    ] {
        let load = |value| load(&[("TENANT_SYNC_DATABASE__URL", "postgres://x"), (variable, value)]);
        for value in good {
            load(value).unwrap_or_else(|error| panic!("{key} = {value}: {error}"));
        }
        for value in bad {
            let error = load(value).expect_err(value).to_string();
            assert!(error.contains(key) || error.contains(variable), "{key} = {value}: {error}");
        }
    }
}

#[test]
fn a_file_is_between_defaults_and_environment() {
    let dir = std::env::temp_dir().join(format!("tenant-sync-config-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(&dir).expect("dir");
    let path = dir.join("c.toml");
    let mut file = std::fs::File::create(&path).expect("file");
    writeln!(file, "[database]\nurl = \"postgres://file\"\n[sync]\nbatch_rows = 5\nschema = 17")
        .expect("write");
    let from = |vars: &[(&str, &str)]| {
        Config::from_sources(Some(&path), vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    };
    let config = from(&[("TENANT_SYNC_SYNC__BATCH_ROWS", "6")]).expect("good");
    assert_eq!((config.sync.batch_rows, config.sync.schema.as_str()), (6, "17"));

    writeln!(file, "typo = \"s3cret\"").expect("write");
    let text = from(&[]).expect_err("unknown key").to_string();
    assert!(text.contains("sync.typo") && text.contains("c.toml") && !text.contains("s3cret"), "{text}");

    let secret = dir.join("url");
    std::fs::write(&secret, "postgres://from-secret-file\n").expect("write");
    let from_secret = Config::from_sources(
        None,
        [("TENANT_SYNC_DATABASE__URL_FILE".to_owned(), secret.display().to_string())],
    )
    .expect("good");
    assert_eq!(from_secret.database.url().expose_secret(), "postgres://from-secret-file");
    assert!(!format!("{from_secret:?}").contains("from-secret-file"));

    let missing = Config::from_sources(Some(&dir.join("nope.toml")), []).expect_err("missing").to_string();
    assert!(missing.contains("nope.toml"), "{missing}");
    std::fs::remove_dir_all(&dir).expect("clean");
}

#[test]
fn without_a_database_it_says_what_to_set() {
    let text = Config::from_sources(None, []).expect_err("required").to_string();
    assert!(text.contains("TENANT_SYNC_DATABASE__URL"), "{text}");
}

#[test]
fn what_is_in_effect_is_told_with_its_source_and_without_secrets() {
    let pairs = [
        ("TENANT_SYNC_DATABASE__URL", "postgres://me:hunter2@db.example:5433/app"),
        ("TENANT_SYNC_RABBITMQ__URL", "amqp://me:hunter2@mq.example/%2f"),
        ("TENANT_SYNC_SECRETS__KEYS", "k1:hunter2"),
        ("TENANT_SYNC_SYNC__BATCH_ROWS", "7"),
    ];
    let name = std::env::temp_dir().join(format!("tenant-sync-name-{}", uuid::Uuid::new_v4()));
    std::fs::write(&name, "other\n").expect("a file");
    let file = ("TENANT_SYNC_DEPLOYMENT__NAME_FILE".to_owned(), name.display().to_string());
    let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().chain([file]);
    let figment = super::source::figment(None, pairs).expect("readable");
    let settings = super::explain::from_figment(&figment).expect("explained");
    let of = |key: &str| {
        let found = settings.iter().find(|setting| setting.key == key).expect(key);
        (found.value.as_str(), found.source.as_str())
    };
    assert_eq!(of("database.url"), ("me:***@db.example:5433/app", "TENANT_SYNC_DATABASE__URL"));
    assert_eq!(of("rabbitmq.url"), ("me:***@mq.example:5672//", "TENANT_SYNC_RABBITMQ__URL"));
    assert_eq!(of("secrets.keys"), ("***", "TENANT_SYNC_SECRETS__KEYS"));
    assert_eq!(of("deployment.name"), ("other", "TENANT_SYNC_DEPLOYMENT__NAME_FILE"));
    assert_eq!(of("sync.batch_rows"), ("7", "TENANT_SYNC_SYNC__BATCH_ROWS"));
    assert_eq!(of("sync.concurrency"), ("32", "defaults"));
    assert!(!format!("{settings:?}").contains("hunter2"));
    std::fs::remove_file(&name).expect("clean");
}

/// A secret field that `explain` does not know would be shown.
#[test]
fn every_secret_field_is_known_to_be_one() {
    let mut section = String::new();
    for line in include_str!("sections.rs").lines() {
        if let Some(name) = line.strip_prefix("/// `[").and_then(|rest| rest.split(']').next()) {
            section = name.to_owned();
        }
        let field = line.trim().trim_start_matches("pub(super) ").trim_start_matches("pub ");
        if let Some((name, kind)) = field.split_once(": ").filter(|_| line.starts_with("    pub"))
            && kind.contains("SecretString")
        {
            let key = format!("{section}.{name}");
            assert!(super::explain::SECRET_KEYS.contains(&key.as_str()), "{key} is not in SECRET_KEYS");
        }
    }
}
