//! What a worker wrote. A WARN or ERROR that a test did not expect fails it.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

/// The lines of one worker, over all its starts. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Logs {
    lines: Arc<Mutex<Vec<String>>>,
}

impl Logs {
    /// Collects lines on a thread of its own, until the writer is gone.
    pub(crate) fn collect(&self, source: impl Read + Send + 'static) -> std::thread::JoinHandle<()> {
        let lines = self.lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        })
    }

    /// All lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lines that contain `text`.
    #[must_use]
    pub fn matching(&self, text: &str) -> Vec<String> {
        self.lines().into_iter().filter(|line| line.contains(text)).collect()
    }

    /// Lines that say that something is wrong and contain none of `allowed`.
    #[must_use]
    pub fn unexpected(&self, allowed: &[String]) -> Vec<String> {
        let is_allowed = |line: &String| allowed.iter().any(|text| line.contains(text.as_str()));
        self.lines().into_iter().filter(|line| is_problem(line) && !is_allowed(line)).collect()
    }

    /// The last `count` lines, for a failing test.
    #[must_use]
    pub fn tail(&self, count: usize) -> String {
        let lines = self.lines();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }
}

/// A JSON line of level WARN or ERROR, or a line that is no JSON: a panic, or an error before logging starts.
fn is_problem(line: &str) -> bool {
    match serde_json::from_str::<Value>(line) {
        Ok(entry) => matches!(entry["level"].as_str(), Some("WARN" | "ERROR")),
        Err(_) => !line.trim().is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_errors_and_panics_are_problems_unless_allowed() {
        let logs = Logs::default();
        let text = "{\"level\":\"INFO\",\"message\":\"fine\"}\n{\"level\":\"WARN\",\"message\":\"slow\"}\n\
                    {\"level\":\"ERROR\",\"message\":\"broken\"}\nthread 'main' panicked\n\n";
        logs.collect(text.as_bytes()).join().expect("collects");
        assert_eq!(logs.unexpected(&[]).len(), 3);
        assert_eq!(logs.unexpected(&["slow".into(), "panicked".into()]), logs.matching("broken"));
        assert!(logs.tail(1).is_empty() && logs.tail(3).starts_with("{\"level\":\"ERROR\""));
    }
}
