//! Servers of every supported version, outside and inside. Where the programs of a version could not be had,
//! `deploy/with-services` has said so, and it is not tested.

mod inside;
mod outside;

use tenant_sync_tests::cluster::{Options, PrivateCluster};

/// Versions that a target may have.
const OUTSIDE: [u16; 6] = [13, 14, 15, 16, 17, 18];

/// Servers of these versions, as far as there are programs.
async fn servers(versions: impl IntoIterator<Item = u16>) -> Vec<(u16, PrivateCluster)> {
    let mut servers = Vec::new();
    for version in versions {
        match PrivateCluster::start_version(version, Options::default()).await {
            Some(server) => servers.push((version, server)),
            None => eprintln!("NOT TESTED against PostgreSQL {version}: there are no programs of it"),
        }
    }
    servers
}
