//! `make licenses`: writes the listing of licences.

use tenant_sync_tests::licenses::{FILE, dependencies, listing};
use tenant_sync_tests::pids::project_root;

fn main() -> std::io::Result<()> {
    std::fs::write(project_root().join(FILE), listing(&dependencies()))
}
