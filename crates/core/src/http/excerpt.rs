//! The beginning of an answer's body, of which a bounded part is read and less is kept.

/// Bytes of an answer that are kept for the log.
const KEPT_BYTES: usize = 1_024;

#[derive(Debug)]
pub(super) struct Excerpt {
    kept: Vec<u8>,
    /// Bytes that may still be read.
    left: usize,
}

impl Excerpt {
    pub(super) fn of_at_most(bytes_max: usize) -> Self {
        Self { kept: Vec::new(), left: bytes_max }
    }

    /// Takes in what was read, and says whether more is to be.
    pub(super) fn wants_more_than(&mut self, chunk: &[u8]) -> bool {
        let room = KEPT_BYTES.saturating_sub(self.kept.len()).min(chunk.len());
        self.kept.extend_from_slice(&chunk[..room]);
        self.left = self.left.saturating_sub(chunk.len());
        self.left > 0
    }

    /// As text that Postgres takes.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept).replace('\0', "\u{fffd}")
    }
}
