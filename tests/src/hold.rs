//! Holding a worker at a failpoint: it makes a file, and goes on when the file is gone.

use std::path::PathBuf;
use std::time::Duration;

use crate::wait::eventually;

/// A failpoint `NAME=pause:FILE`. Dropping it lets the worker go on.
#[derive(Debug)]
pub struct Hold {
    point: String,
    file: PathBuf,
}

impl Hold {
    pub(crate) fn new(point: &str, file: PathBuf) -> Self {
        Self { point: point.to_owned(), file }
    }

    /// For [`crate::worker::Setup::failpoint`]; `@N` at the end stops only the N-th time.
    #[must_use]
    pub fn failpoint(&self) -> String {
        let (name, times) = match self.point.split_once('@') {
            Some((name, times)) => (name, format!("@{times}")),
            None => (self.point.as_str(), String::new()),
        };
        format!("{name}=pause:{}{times}", self.file.display())
    }

    /// Waits until a worker stands there.
    ///
    /// # Panics
    /// None does within 20 s.
    pub async fn reached(&self) {
        let what = format!("a worker to reach {}", self.point);
        eventually(Duration::from_secs(20), &what, async || {
            if self.file.exists() { Ok(()) } else { Err("no worker is there") }
        })
        .await;
    }

    /// Lets the worker go on.
    pub fn release(&self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.release();
    }
}
