//! Reading what changed, from one snapshot of the internal database.

mod cursor;
mod feed;
mod raw;
mod read;
mod slice;
pub(crate) mod sql;
mod touched;
mod walk;

pub(crate) use cursor::{Cursor, Phase};
pub(crate) use raw::Raw;
pub(crate) use read::{Bounds, Reader, SourceError};
pub(crate) use slice::{KeyRange, Slice, SliceOf, Snapshot};
pub(crate) use walk::Compare;
