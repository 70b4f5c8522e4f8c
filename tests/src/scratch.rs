//! A folder of a test's own.

use std::path::{Path, PathBuf};

/// Removed with everything in it when dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes one with a short path, because sockets may live below it. Other users may pass through it.
    #[must_use]
    pub fn new() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        // What deploy/with-services removes, should this process be killed.
        let parent =
            std::env::var_os("TENANT_SYNC_TEST_SCRATCH").map_or_else(std::env::temp_dir, PathBuf::from);
        let path = parent.join(format!("t-{}", short_id()));
        std::fs::create_dir(&path).unwrap_or_else(|e| panic!("making {}: {e}", path.display()));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o711)).expect("our own folder");
        Self { path }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            eprintln!("removing {}: {error}", self.path.display());
        }
    }
}

/// Twelve characters that no other test has.
#[must_use]
pub fn short_id() -> String {
    let mut id = uuid::Uuid::new_v4().simple().to_string();
    id.truncate(12);
    id
}
