//! Failpoints: named places where a test makes a worker die, wait or fail.
//!
//! They are compiled in always, so that tests run the programs that ship, and cost one relaxed load as long
//! as none is set. `TENANT_SYNC_FAILPOINTS` sets them for a process, as a list with semicolons:
//!
//! ```text
//! poller.after_publish=abort                 die there, as by SIGKILL
//! poller.after_publish=pause:/tmp/x/held     create the file, go on when it is gone
//! outbox.before_finish=error@3               fail there, the third time only
//! ```
//!
//! `@N` acts only the N-th time that the place is reached; without it, every time. A test that pauses a
//! worker waits until the file is there, does what it must, and removes the file.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

/// The environment variable that sets failpoints.
pub const VARIABLE: &str = "TENANT_SYNC_FAILPOINTS";

static ARMED: AtomicBool = AtomicBool::new(false);
static POINTS: LazyLock<Mutex<Vec<Point>>> = LazyLock::new(Mutex::default);

/// The error that a failpoint with `error` gives.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("failpoint {0}")]
pub struct Failed(pub &'static str);

/// A list of failpoints that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{VARIABLE}: {0:?} is not NAME=abort, NAME=error or NAME=pause:FILE, with @N at the end if you like")]
pub struct Unreadable(String);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Abort,
    Error,
    Pause(PathBuf),
}

#[derive(Debug, PartialEq, Eq)]
struct Point {
    name: String,
    action: Action,
    only: Option<u64>,
    reached: u64,
}

/// Reads the environment variable. Called once, when a process starts.
///
/// # Errors
/// The first entry that cannot be read.
pub fn init_from_env() -> Result<(), Unreadable> {
    std::env::var(VARIABLE).map_or(Ok(()), |list| set(&list))
}

/// Replaces all failpoints of this process by those in `list`; an empty list removes them.
///
/// # Errors
/// The first entry that cannot be read; then nothing is replaced.
pub fn set(list: &str) -> Result<(), Unreadable> {
    let points = parse(list)?;
    let armed = !points.is_empty();
    *POINTS.lock().unwrap_or_else(PoisonError::into_inner) = points;
    ARMED.store(armed, Ordering::Relaxed);
    Ok(())
}

/// A place that a test can name. Does nothing unless a failpoint of this name is set.
///
/// # Errors
/// Only where the failpoint says `error`.
#[inline]
pub async fn reach(name: &'static str) -> Result<(), Failed> {
    if !ARMED.load(Ordering::Relaxed) {
        return Ok(());
    }
    act(name).await
}

#[cold]
async fn act(name: &'static str) -> Result<(), Failed> {
    match due_action(name) {
        None => Ok(()),
        Some(Action::Abort) => std::process::abort(),
        Some(Action::Error) => Err(Failed(name)),
        Some(Action::Pause(file)) => {
            pause(&file).await;
            Ok(())
        }
    }
}

fn due_action(name: &str) -> Option<Action> {
    let mut points = POINTS.lock().unwrap_or_else(PoisonError::into_inner);
    let point = points.iter_mut().find(|p| p.name == name)?;
    point.reached += 1;
    point.only.is_none_or(|n| n == point.reached).then(|| point.action.clone())
}

async fn pause(file: &Path) {
    if let Err(error) = std::fs::write(file, "") {
        tracing::warn!(%error, file = %file.display(), "failpoint cannot create its file");
    }
    while file.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn parse(list: &str) -> Result<Vec<Point>, Unreadable> {
    list.split(';').map(str::trim).filter(|e| !e.is_empty()).map(parse_point).collect()
}

fn parse_point(entry: &str) -> Result<Point, Unreadable> {
    let unreadable = || Unreadable(entry.to_owned());
    let (name, rest) = entry.split_once('=').ok_or_else(unreadable)?;
    let (action, only) = match rest.rsplit_once('@') {
        Some((action, n)) => (action, Some(n.parse().map_err(|_| unreadable())?)),
        None => (rest, None),
    };
    let action = match action.split_once(':') {
        None if action == "abort" => Action::Abort,
        None if action == "error" => Action::Error,
        Some(("pause", file)) if !file.is_empty() => Action::Pause(file.into()),
        _ => return Err(unreadable()),
    };
    Ok(Point { name: name.to_owned(), action, only, reached: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_whole_or_refused_by_entry() {
        let points = parse("a.b=abort; c=pause:/tmp/x@2 ;d=error").expect("good");
        assert_eq!(points.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["a.b", "c", "d"]);
        assert_eq!((points[1].action.clone(), points[1].only), (Action::Pause("/tmp/x".into()), Some(2)));
        for bad in ["a", "a=", "a=pause", "a=pause:", "a=abort@x", "a=sleep"] {
            assert_eq!(parse(bad), Err(Unreadable(bad.to_owned())));
        }
    }

    // One test, because failpoints belong to the process.
    #[tokio::test]
    async fn a_point_acts_when_set() {
        assert_eq!(reach("unit.a").await, Ok(()));
        let file = std::env::temp_dir().join(format!("tenant-sync-failpoint-{}", uuid::Uuid::new_v4()));
        set(&format!("unit.a=error@2;unit.b=pause:{}", file.display())).expect("readable");
        assert_eq!(reach("unit.a").await, Ok(()));
        assert_eq!(reach("unit.a").await, Err(Failed("unit.a")));
        assert_eq!(reach("unit.a").await, Ok(()));

        let paused = tokio::spawn(reach("unit.b"));
        while !file.exists() {
            tokio::task::yield_now().await;
        }
        assert!(!paused.is_finished());
        std::fs::remove_file(&file).expect("release");
        assert_eq!(paused.await.expect("task"), Ok(()));

        set("").expect("empty");
        assert_eq!(reach("unit.a").await, Ok(()));
    }
}
