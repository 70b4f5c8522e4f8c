//! Questions to the person at the terminal. They go to stderr, so that they never mix with a result.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

/// Whether somebody is there to answer.
pub(crate) fn is_answerable() -> bool {
    std::io::stdin().is_terminal()
}

/// The line that was typed, or `None` at the end of the input.
pub(crate) fn ask(question: &str) -> Option<String> {
    let mut stderr = std::io::stderr();
    let _ = write!(stderr, "{question} ");
    let _ = stderr.flush();
    let mut line = String::new();
    match std::io::stdin().lock().read_line(&mut line) {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(line.trim().to_owned()),
    }
}

/// Whether the answer begins with y.
pub(crate) fn confirm(question: &str) -> bool {
    ask(&format!("{question} [y/N]")).is_some_and(|answer| answer.to_lowercase().starts_with('y'))
}
