//! Mappings: what of a source table goes where, and what follows from it.
//!
//! One TOML file is one mapping. [`load`] reads the files and reports every mistake in them with file, line
//! and reason; [`check`] compares the mappings with the live schema and adds what only that can tell: types,
//! keys, proofs of uniqueness. The text of the target's tables is in [`ddl`].

mod carry;
mod catalog;
mod check;
pub mod ddl;
mod draft;
mod error;
mod expression;
mod fixed;
mod lexer;
mod load;
mod model;
pub mod names;
mod parse;
mod reader;
mod rules;
mod set;
mod sql;
#[cfg(test)]
mod tests;

pub use carry::{Carry, TEXT_SETTINGS};
pub use check::{CheckError, CheckedColumn, CheckedMapping, SourceColumn, TouchedBy, check};
pub use ddl::{MARKER, add_column, create_index, create_indexes, create_table, qualified};
pub use draft::{DraftError, draft};
pub use error::{MappingError, MappingErrors};
pub use expression::{Expression, FunctionCall, Reference, SOURCE_ALIAS};
pub use load::load;
pub use model::{
    Aggregate, Column, Dependency, Index, IndexMethod, Join, Mapping, Source, Target, Touch, dependencies,
    feed_name, reads, touch_feed,
};
pub use names::{quote_ident, quote_literal};
pub use parse::parse;
pub use set::check_set;
pub use sql::{KeyColumn, aggregates, key_columns, left_joins, of_tenant};
