//! What a checked mapping means in SQL, worked out once when the worker starts.

use tenant_sync_core::mapping::{Carry, CheckedMapping, Mapping};
use tokio_postgres::types::Type;

use crate::source::sql as source_sql;

/// One column on its way from the source to a target.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// As the DDL says it.
    pub(crate) type_text: String,
    /// As Postgres writes it.
    pub(crate) type_name: String,
    /// Type on the wire: the column's own if its binary form is portable, else text.
    pub(crate) wire: Type,
    pub(crate) array: Type,
}

/// A mapping with the statements that read its source. What depends on a target's schema is built there.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) mapping: Mapping,
    /// What the target holds, then its indexes: `<hash>:<hash>`.
    pub(crate) fingerprint: String,
    pub(crate) columns: Vec<Column>,
    /// Positions of the target's key columns among `columns`, in the key's order.
    pub(crate) key: Vec<usize>,
    /// Key columns as they travel, in the key's order.
    pub(crate) key_columns: Vec<Column>,
    pub(crate) statements: source_sql::Statements,
}

impl Plan {
    pub(crate) fn new(checked: &CheckedMapping) -> Self {
        let mapping = checked.mapping.clone();
        let columns: Vec<Column> = checked
            .columns
            .iter()
            .zip(&mapping.columns)
            .map(|(checked, column)| {
                let wire = match checked.carry {
                    Carry::Binary => Type::from_oid(checked.type_oid).unwrap_or(Type::TEXT),
                    Carry::Text => Type::TEXT,
                };
                // A type that no array is known of travels as text, whatever its binary form.
                let (wire, array) =
                    array_of(&wire).map_or((Type::TEXT, Type::TEXT_ARRAY), |array| (wire, array));
                Column {
                    name: column.name.clone(),
                    type_text: column.type_text.clone(),
                    type_name: checked.type_name.clone(),
                    wire,
                    array,
                }
            })
            .collect();
        let key: Vec<usize> = mapping
            .target
            .key
            .iter()
            .filter_map(|name| columns.iter().position(|column| column.name == *name))
            .collect();
        let key_columns = key.iter().filter_map(|at| columns.get(*at).cloned()).collect();
        let statements = source_sql::Statements::new(checked, &columns);
        let fingerprint = format!("{}:{}", mapping.fingerprint(), mapping.index_fingerprint());
        Self { fingerprint, mapping, columns, key, key_columns, statements }
    }

    /// Whether a table with this fingerprint and version holds what this mapping says, whatever its indexes are.
    pub(crate) fn same_content(&self, fingerprint: &str, version: Option<i32>) -> bool {
        let content = |print: &str| print.split(':').next().map(str::to_owned);
        version == Some(self.mapping.version) && content(fingerprint) == content(&self.fingerprint)
    }

    pub(crate) fn name(&self) -> &str {
        &self.mapping.name
    }
}

/// The array type of a type that crosses the wire in binary.
fn array_of(element: &Type) -> Option<Type> {
    let pairs = [
        (Type::BOOL, Type::BOOL_ARRAY),
        (Type::INT2, Type::INT2_ARRAY),
        (Type::INT4, Type::INT4_ARRAY),
        (Type::INT8, Type::INT8_ARRAY),
        (Type::FLOAT4, Type::FLOAT4_ARRAY),
        (Type::FLOAT8, Type::FLOAT8_ARRAY),
        (Type::NUMERIC, Type::NUMERIC_ARRAY),
        (Type::TEXT, Type::TEXT_ARRAY),
        (Type::VARCHAR, Type::VARCHAR_ARRAY),
        (Type::BPCHAR, Type::BPCHAR_ARRAY),
        (Type::UUID, Type::UUID_ARRAY),
        (Type::DATE, Type::DATE_ARRAY),
        (Type::TIME, Type::TIME_ARRAY),
        (Type::TIMETZ, Type::TIMETZ_ARRAY),
        (Type::TIMESTAMP, Type::TIMESTAMP_ARRAY),
        (Type::TIMESTAMPTZ, Type::TIMESTAMPTZ_ARRAY),
        (Type::INTERVAL, Type::INTERVAL_ARRAY),
        (Type::JSON, Type::JSON_ARRAY),
        (Type::JSONB, Type::JSONB_ARRAY),
        (Type::BYTEA, Type::BYTEA_ARRAY),
        (Type::INET, Type::INET_ARRAY),
        (Type::CIDR, Type::CIDR_ARRAY),
        (Type::MACADDR, Type::MACADDR_ARRAY),
        (Type::BIT, Type::BIT_ARRAY),
        (Type::VARBIT, Type::VARBIT_ARRAY),
    ];
    pairs.into_iter().find(|(of, _)| of == element).map(|(_, array)| array)
}
