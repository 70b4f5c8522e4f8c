//! The `db` commands, by their exit codes and what they leave behind.

use std::process::ExitCode;

use super::scratch::{Scratch, on_database, value};

/// Runs `tenant-sync db …` with a configuration file for this database.
async fn db(scratch: &Scratch, arguments: &str) -> String {
    let file = std::env::temp_dir().join(format!("{}.toml", scratch.name));
    std::fs::write(&file, format!("[database]\nurl = \"{}\"\n", scratch.url)).expect("configuration file");
    let mut words =
        vec!["tenant-sync".to_owned(), "--config".to_owned(), file.display().to_string(), "db".to_owned()];
    words.extend(arguments.split_whitespace().map(str::to_owned));
    let run = move || tenant_sync_cli::run(words.into_iter().map(Into::into));
    let code = tokio::task::spawn_blocking(run).await.expect("runs");
    std::fs::remove_file(&file).expect("clean");
    format!("{code:?}")
}

fn code(number: u8) -> String {
    format!("{:?}", ExitCode::from(number))
}

#[tokio::test]
async fn the_way_of_a_database_from_init_to_reset() {
    on_database(|scratch| async move {
        let client = scratch.connect().await;
        assert_eq!(db(&scratch, "status --check").await, code(1), "everything is missing");
        assert_eq!(db(&scratch, "seed").await, code(1), "no tables yet");
        assert_eq!(db(&scratch, "init --json").await, code(0));
        assert_eq!(db(&scratch, "migrate").await, code(0));
        assert_eq!(db(&scratch, "status --check --json").await, code(0));

        assert_eq!(db(&scratch, "seed --tenancies 2 --users 30").await, code(0));
        let count = |table: &str| format!(r#"select count(*) from "{table}""#);
        assert_eq!(value::<i64>(&client, &count("ProjectUser")).await, 60);
        assert_eq!(value::<i64>(&client, &count("ContactChannel")).await, 80);
        let primaries = r#"select count(*) from "ContactChannel" where "isPrimary""#;
        assert_eq!(value::<i64>(&client, primaries).await, 60, "each has a primary address");
        assert_eq!(db(&scratch, "seed").await, code(1), "not over data that is there");
        assert_eq!(db(&scratch, "seed --yes --tenancies 1 --users 1").await, code(0));
        assert_eq!(value::<i64>(&client, &count("Tenancy")).await, 3);

        assert_eq!(db(&scratch, "reset --yes --database another").await, code(2));
        let target = r#"insert into "ExternalDatabase" ("tenancyId", "id") select "id", 'main' from "Tenancy" limit 1"#;
        client.batch_execute(target).await.expect("a target");
        assert_eq!(db(&scratch, "reset --yes").await, code(2), "targets exist");
        assert_eq!(value::<i64>(&client, &count("ExternalDatabase")).await, 1);
        assert_eq!(db(&scratch, &format!("reset --yes --database {} --json", scratch.name)).await, code(0));
        let left = "select count(*) from pg_class where relnamespace = 'public'::regnamespace";
        assert_eq!(value::<i64>(&client, left).await, 0);
        assert_eq!(db(&scratch, "nonsense").await, code(2));
    })
    .await;
}
