//! Rows on the wire: as arrays for one statement, or as the binary form of COPY.

use std::error::Error;

use bytes::{BufMut, Bytes, BytesMut};
use tokio_postgres::Row;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::plan::Column;
use crate::source::Raw;

/// Where the columns of a row of the source's statements begin.
pub(crate) const FIRST_COLUMN: usize = 2;

/// One column of many rows, as an array parameter. Values go as they came.
#[derive(Debug)]
pub(crate) struct ColumnArray<'a> {
    rows: &'a [&'a Row],
    at: usize,
    element: u32,
}

impl<'a> ColumnArray<'a> {
    /// Column `at` (counted from the first after the row's head) of `rows`.
    pub(crate) fn new(rows: &'a [&'a Row], at: usize, column: &Column) -> Self {
        Self { rows, at: FIRST_COLUMN + at, element: column.wire.oid() }
    }
}

impl ToSql for ColumnArray<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_i32(1); // dimensions
        out.put_i32(1); // may have nulls
        out.put_u32(self.element);
        out.put_i32(i32::try_from(self.rows.len())?);
        out.put_i32(1); // lower bound
        for row in self.rows {
            put_value(out, row.try_get(self.at)?)?;
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// `rows` as one stream of COPY in binary format.
pub(crate) fn copy(rows: &[&Row], columns: usize) -> Result<Bytes, Box<dyn Error + Sync + Send>> {
    let bytes: usize = rows.iter().map(|row| row.raw_size_bytes()).sum();
    let mut out = BytesMut::with_capacity(bytes + rows.len() * (2 + 4 * columns) + 32);
    out.put_slice(b"PGCOPY\n\xff\r\n\0");
    out.put_i32(0); // flags
    out.put_i32(0); // no header extension
    let fields = i16::try_from(columns)?;
    for row in rows {
        out.put_i16(fields);
        for at in 0..columns {
            put_value(&mut out, row.try_get(FIRST_COLUMN + at)?)?;
        }
    }
    out.put_i16(-1);
    Ok(out.freeze())
}

fn put_value(out: &mut BytesMut, value: Option<Raw<'_>>) -> Result<(), Box<dyn Error + Sync + Send>> {
    match value {
        None => out.put_i32(-1),
        Some(Raw(bytes)) => {
            out.put_i32(i32::try_from(bytes.len())?);
            out.put_slice(bytes);
        }
    }
    Ok(())
}
