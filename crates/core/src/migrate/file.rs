//! One migration: a file `NNNN_name.sql` of a set, with what its leading comments ask for.

use sha2::{Digest, Sha256};

use super::statement::{self, Statement, hex};

const DIRECTIVE: &str = "-- tenant-sync:";

/// How the statements of a migration are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// All in one transaction, with the record of it.
    Transaction,
    /// `no-transaction`: one at a time, each by itself.
    Alone,
    /// `repeat-until-done`: each again and again, every time in a transaction, until it touches 0 rows.
    Repeated,
}

/// A migration, ready to run.
#[derive(Debug, Clone)]
pub struct Migration {
    /// What it is recorded as: `engine/0001_sequence.sql`.
    pub name: String,
    /// The set it belongs to: `engine`.
    pub set: String,
    /// Its place in the set.
    pub number: u32,
    /// SHA-256 of the text, in hex. Line ends do not count.
    pub checksum: String,
    /// How it runs.
    pub mode: Mode,
    /// Whether an older version must not run on a schema that has it.
    pub breaking: bool,
    /// What it does, in order; never empty.
    pub statements: Vec<Statement>,
}

/// What is wrong with a migration file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileProblem {
    /// The name is not `NNNN_name.sql`.
    #[error("the name must be four digits, `_`, lower-case letters, digits or `_`, and `.sql`")]
    Name,
    /// Two files of a set have the same number.
    #[error("{0} has the same number")]
    Number(String),
    /// A directive that does not exist.
    #[error("line {line}: unknown directive {word:?}; known: no-transaction, repeat-until-done, breaking")]
    Directive {
        /// Where.
        line: usize,
        /// What stands there.
        word: String,
    },
    /// A directive after the leading comments, where it would be overlooked.
    #[error("line {0}: a directive must stand in the comments before the first statement")]
    Misplaced(usize),
    /// Two directives that exclude one another.
    #[error("no-transaction and repeat-until-done exclude one another")]
    Contradiction,
    /// Nothing to run.
    #[error("there is no statement in it")]
    Empty,
    /// A string, name or comment that never ends.
    #[error("line {line}: {what} that never ends")]
    Unterminated {
        /// Where it begins.
        line: usize,
        /// What it is.
        what: &'static str,
    },
    /// `COMMIT` and the like.
    #[error("line {0}: transactions are begun and ended by the runner, not by a migration")]
    TransactionControl(usize),
    /// PostgreSQL runs it only outside a transaction.
    #[error(
        "line {0}: this statement runs only outside a transaction; the file needs `-- tenant-sync: no-transaction`"
    )]
    NeedsNoTransaction(usize),
    /// An index that could not be found again after a crash.
    #[error("line {0}: CREATE INDEX CONCURRENTLY needs a name for the index")]
    UnnamedIndex(usize),
    /// A statement without a count of rows, which would be repeated for ever.
    #[error("line {0}: only INSERT, UPDATE, DELETE, MERGE and WITH can be repeated until they touch no row")]
    Uncounted(usize),
}

impl Migration {
    /// Reads the text of `file_name` in `set`.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(set: &str, file_name: &str, text: &str) -> Result<Self, FileProblem> {
        let number = number_of(file_name).ok_or(FileProblem::Name)?;
        let text = text.replace("\r\n", "\n");
        let (mode, breaking) = directives(&text)?;
        let statements =
            statement::split(&text).map_err(|(what, line)| FileProblem::Unterminated { line, what })?;
        if statements.is_empty() {
            return Err(FileProblem::Empty);
        }
        statements.iter().try_for_each(|s| check(s, mode))?;
        Ok(Self {
            name: format!("{set}/{file_name}"),
            set: set.to_owned(),
            number,
            checksum: hex(&Sha256::digest(&text)),
            mode,
            breaking,
            statements,
        })
    }
}

/// The number of `NNNN_name.sql`, if the name has this form.
pub(super) fn number_of(file_name: &str) -> Option<u32> {
    let (digits, name) = file_name.strip_suffix(".sql")?.split_once('_')?;
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    let fits = digits.len() == 4 && digits.bytes().all(|c| c.is_ascii_digit()) && !name.is_empty();
    (fits && name.bytes().all(plain)).then(|| digits.parse().ok()).flatten()
}

fn directives(text: &str) -> Result<(Mode, bool), FileProblem> {
    let (mut alone, mut repeated, mut breaking) = (false, false, false);
    let mut leading = true;
    for (index, line) in text.lines().map(str::trim).enumerate() {
        leading &= line.is_empty() || line.starts_with("--");
        let Some(words) = line.strip_prefix(DIRECTIVE) else { continue };
        if !leading {
            return Err(FileProblem::Misplaced(index + 1));
        }
        for word in words.split(',').map(str::trim) {
            match word {
                "no-transaction" => alone = true,
                "repeat-until-done" => repeated = true,
                "breaking" => breaking = true,
                word => return Err(FileProblem::Directive { line: index + 1, word: word.to_owned() }),
            }
        }
    }
    let mode = match (alone, repeated) {
        (true, true) => return Err(FileProblem::Contradiction),
        (true, false) => Mode::Alone,
        (false, true) => Mode::Repeated,
        (false, false) => Mode::Transaction,
    };
    Ok((mode, breaking))
}

fn check(statement: &Statement, mode: Mode) -> Result<(), FileProblem> {
    let line = statement.line;
    if statement.controls_transaction() {
        return Err(FileProblem::TransactionControl(line));
    }
    if mode != Mode::Alone && statement.must_run_alone() {
        return Err(FileProblem::NeedsNoTransaction(line));
    }
    if mode == Mode::Repeated && !statement.counts_rows() {
        return Err(FileProblem::Uncounted(line));
    }
    if statement.concurrent_index() == Some(None) {
        return Err(FileProblem::UnnamedIndex(line));
    }
    Ok(())
}
