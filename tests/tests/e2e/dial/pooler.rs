//! A transaction pooler in front of the server.

use std::path::Path;

use tenant_sync_core::config::TlsFloor;

use super::cluster::{Cluster, PASSWORD, Server, as_postgres, free_port};
use super::{connect, dialer, text};

const PGBOUNCER: &str = "/usr/sbin/pgbouncer";

fn start(cluster: &Cluster, port: u16) -> Option<Server> {
    let folder = cluster.scratch();
    let users = folder.0.join("users.txt");
    let settings = folder.0.join("pgbouncer.ini");
    std::fs::write(&users, format!("\"postgres\" \"{PASSWORD}\"\n")).unwrap();
    let text = format!(
        "[databases]\npostgres = host=127.0.0.1 port={} dbname=postgres\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = scram-sha-256\nauth_file = {}\npool_mode = transaction\n",
        cluster.port,
        users.display()
    );
    std::fs::write(&settings, text).unwrap();
    folder.give_away();
    let mut command = as_postgres(Path::new(PGBOUNCER));
    command.arg(&settings);
    Server::start(command, "process up")
}

#[tokio::test]
async fn a_pooler_is_recognised_by_the_process_id_that_it_announces() {
    if !Path::new(PGBOUNCER).exists() {
        eprintln!("skipped: {PGBOUNCER} is not installed");
        return;
    }
    let cluster = Cluster::start(None);
    let port = free_port();
    let _pooler = start(&cluster, port).expect("pgbouncer starts");
    let dialer = dialer(TlsFloor::Disable);
    let direct = cluster.url("127.0.0.1", "");
    let pooled = direct.replace(&format!(":{}/", cluster.port), &format!(":{port}/"));
    let session = connect(&dialer, &pooled, None).await.unwrap();
    assert!(session.behind_pooler().await.unwrap());
    assert_eq!(text(&session, "select 'through the pooler'").await, "through the pooler");
    assert!(!connect(&dialer, &direct, None).await.unwrap().behind_pooler().await.unwrap());
}
