//! What a worker finds when it starts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tenant_sync_core::migrate::{self, MigrateError, Outcome, create_database};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::scratch::{on_database, value};

const ONE: (&str, &str) = ("0001_one.sql", "create table one ();");
const TWO: (&str, &str) = ("0002_two.sql", "create table two ();");
const BREAKING: (&str, &str) = ("0003_gone.sql", "-- tenant-sync: breaking\ndrop table one;");

#[tokio::test]
async fn on_an_old_schema_it_names_what_is_missing() {
    on_database(|db| async move {
        let missing = |error: MigrateError| match error {
            MigrateError::Missing { names } => names,
            other => panic!("{other}"),
        };
        let both = db.migrator(&[ONE, TWO]);
        assert_eq!(
            missing(both.check().await.expect_err("empty")),
            ["engine/0001_one.sql", "engine/0002_two.sql"]
        );
        db.migrate(&[ONE]).await.expect("half");
        assert_eq!(missing(both.check().await.expect_err("half")), ["engine/0002_two.sql"]);
        both.run(&mut ()).await.expect("rest");
        assert_eq!(both.check().await.expect("fits"), Outcome::UpToDate { newer: vec![] });
    })
    .await;
}

#[tokio::test]
async fn on_a_newer_schema_it_starts_unless_that_is_breaking() {
    on_database(|db| async move {
        db.migrate(&[ONE, TWO]).await.expect("newer");
        let old = db.migrator(&[ONE]);
        let newer = Outcome::UpToDate { newer: vec!["engine/0002_two.sql".into()] };
        assert_eq!(old.check().await.expect("starts"), newer);
        assert_eq!(old.run(&mut ()).await.expect("nothing to do"), newer);

        db.migrate(&[ONE, TWO, BREAKING]).await.expect("breaking");
        for refused in [old.check().await, old.run(&mut ()).await] {
            let error = refused.expect_err("refused");
            assert!(
                matches!(&error, MigrateError::Breaking { names } if names == &["engine/0003_gone.sql"]),
                "{error}"
            );
        }
        db.migrator(&[ONE, TWO, BREAKING]).check().await.expect("the new version starts");
    })
    .await;
}

#[tokio::test]
async fn auto_migrate_decides_between_applying_and_refusing() {
    on_database(|db| async move {
        let refused = migrate::ensure(&db.config(&[])).await.expect_err("off");
        assert!(refused.to_string().contains("engine/0001_"), "{refused}");
        let client = db.connect().await;
        assert!(
            value::<bool>(&client, r#"select to_regclass('"SchemaMigration"') is null"#).await,
            "nothing was made"
        );

        let auto = db.config(&[("database.auto_migrate", "true")]);
        assert!(matches!(migrate::ensure(&auto).await.expect("on"), Outcome::Applied { .. }));
        assert!(matches!(migrate::ensure(&db.config(&[])).await.expect("fits"), Outcome::UpToDate { .. }));
        assert!(value::<bool>(&client, r#"select to_regclass('"ProjectUser"') is not null"#).await);
    })
    .await;
}

#[tokio::test]
async fn without_user_tables_only_the_engine_is_there() {
    on_database(|db| async move {
        let config = db.config(&[("database.auto_migrate", "true"), ("database.user_tables", "false")]);
        migrate::ensure(&config).await.expect("applies");
        let client = db.connect().await;
        assert!(value::<bool>(&client, r#"select to_regclass('"OutgoingRequest"') is not null"#).await);
        assert!(value::<bool>(&client, r#"select to_regclass('"ProjectUser"') is null"#).await);
        migrate::ensure(&db.config(&[("database.auto_migrate", "true")]))
            .await
            .expect("later the sample, too");
        migrate::ensure(&config).await.expect("and back");
    })
    .await;
}

#[tokio::test]
async fn asking_whether_anything_is_needed_is_one_query() {
    on_database(|db| async move {
        db.migrate(&[ONE, TWO]).await.expect("applies");
        let (port, queries) = count_queries(&db.url).await;
        let address = format!("127.0.0.1:{port}/{}?sslmode=disable", db.name);
        let through =
            db.url.split_once("://").expect("a URL").1.rsplit_once('@').map_or("", |(user, _)| user);
        let config = db.config(&[("database.url", &format!("postgres://{through}@{address}"))]);
        let migrator = migrate::Migrator::with(&config, super::scratch::list(&[ONE, TWO])).expect("migrator");
        migrator.check().await.expect("fits");
        assert_eq!(queries.load(Ordering::SeqCst), 1, "a check");
        migrator.run(&mut ()).await.expect("nothing to do");
        assert_eq!(queries.load(Ordering::SeqCst), 2, "a run with nothing to do");
    })
    .await;
}

/// A proxy to the server of `url` that counts simple and extended queries.
async fn count_queries(url: &str) -> (u16, Arc<AtomicUsize>) {
    let target: tokio_postgres::Config = url.parse().expect("URL");
    let Some(tokio_postgres::config::Host::Tcp(host)) = target.get_hosts().first().cloned() else {
        panic!("the test server listens on TCP")
    };
    let server = (host, target.get_ports().first().copied().unwrap_or(5432));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
    let port = listener.local_addr().expect("address").port();
    let queries = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&queries);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect((server.0.as_str(), server.1)).await.expect("server");
            tokio::spawn(relay(client, server, Arc::clone(&counter)));
        }
    });
    (port, queries)
}

/// Forwards both ways; the first message of a client has no type, the others begin with it.
async fn relay(client: TcpStream, server: TcpStream, queries: Arc<AtomicUsize>) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let mut typed = false;
    loop {
        if typed {
            let kind = from_client.read_u8().await?;
            if kind == b'Q' || kind == b'P' {
                queries.fetch_add(1, Ordering::SeqCst);
            }
            to_server.write_u8(kind).await?;
        }
        typed = true;
        let length = from_client.read_u32().await?;
        let mut body = vec![0; length as usize - 4];
        from_client.read_exact(&mut body).await?;
        to_server.write_u32(length).await?;
        to_server.write_all(&body).await?;
    }
}

#[tokio::test]
async fn the_database_is_made_once_by_whoever_comes_first() {
    on_database(|db| async move {
        let name = format!("{}_Made \"here\"", db.name);
        let encoded = name.replace(' ', "%20").replace('"', "%22");
        let config = db.config(&[("database.url", &db.url.replace(&db.name, &encoded))]);
        let made = futures_util::future::join_all((0..4).map(|_| create_database(&config))).await;
        let made: Vec<bool> = made.into_iter().map(|result| result.expect("made or there")).collect();
        assert_eq!(made.iter().filter(|made| **made).count(), 1, "{made:?}");
        assert!(!create_database(&config).await.expect("there"));
        let client = db.connect().await;
        let quoted = name.replace('"', "\"\"");
        client.batch_execute(&format!("drop database \"{quoted}\" with (force)")).await.expect("clean");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_down_is_worth_another_try() {
    let down = on_closed_port().await;
    let config = tenant_sync_core::config::Config::from_sources(
        None,
        [("TENANT_SYNC_DATABASE__URL".to_owned(), format!("postgres://nobody@127.0.0.1:{down}/none"))],
    )
    .expect("configuration");
    let error = migrate::ensure(&config).await.expect_err("down");
    assert!(error.is_transient(), "{error}");
}

/// A port on which nobody listens any more.
async fn on_closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.expect("listen").local_addr().expect("address").port()
}
