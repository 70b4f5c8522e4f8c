//! From SQLSTATE to class.

use super::ErrorClass;
use super::ErrorClass::{
    Conflict, DatabaseMissing, DiskFull, LockTimeout, PasswordRefused, PermissionDenied, ReadOnly,
    RowRefused, SchemaChanged, SessionStale, ShuttingDown, StatementTimeout, TooManyConnections, Unknown,
    Unreachable,
};

/// Single codes come first: they differ from the rest of their SQLSTATE class.
const CODES: &[(&str, ErrorClass)] = &[
    ("22P04", Unknown),            // bad_copy_file_format: what we sent was wrong, not the row
    ("25006", ReadOnly),           // read_only_sql_transaction
    ("25P03", StatementTimeout),   // idle_in_transaction_session_timeout
    ("25P04", StatementTimeout),   // transaction_timeout
    ("26000", SessionStale),       // invalid_sql_statement_name: behind a pooler
    ("34000", SessionStale),       // invalid_cursor_name
    ("3D000", DatabaseMissing),    // invalid_catalog_name
    ("3F000", SchemaChanged),      // invalid_schema_name
    ("40002", RowRefused),         // transaction_integrity_constraint_violation
    ("42501", PermissionDenied),   // insufficient_privilege
    ("42P05", SessionStale),       // duplicate_prepared_statement
    ("42P01", SchemaChanged),      // undefined_table
    ("42703", SchemaChanged),      // undefined_column
    ("42883", SchemaChanged),      // undefined_function
    ("42704", SchemaChanged),      // undefined_object
    ("42701", SchemaChanged),      // duplicate_column
    ("42710", SchemaChanged),      // duplicate_object
    ("42P06", SchemaChanged),      // duplicate_schema
    ("42P07", SchemaChanged),      // duplicate_table
    ("42804", SchemaChanged),      // datatype_mismatch: a column got another type
    ("42809", SchemaChanged),      // wrong_object_type: a view where a table was
    ("42P10", SchemaChanged),      // invalid_column_reference: the key of ON CONFLICT is gone
    ("428C9", SchemaChanged),      // generated_always: a column became a generated one
    ("44000", RowRefused),         // with_check_option_violation
    ("53100", DiskFull),           // disk_full
    ("53200", DiskFull),           // out_of_memory
    ("53300", TooManyConnections), // too_many_connections
    ("55006", LockTimeout),        // object_in_use
    ("55P03", LockTimeout),        // lock_not_available
    ("57014", StatementTimeout),   // query_canceled
    ("57P01", ShuttingDown),       // admin_shutdown
    ("57P02", ShuttingDown),       // crash_shutdown
    ("57P03", ShuttingDown),       // cannot_connect_now
    ("57P04", DatabaseMissing),    // database_dropped
    ("57P05", StatementTimeout),   // idle_session_timeout
];

const CLASSES: &[(&str, ErrorClass)] = &[
    ("08", Unreachable),     // connection exception; poolers use it for everything
    ("09", RowRefused),      // triggered action exception
    ("22", RowRefused),      // data exception: the value does not fit
    ("23", RowRefused),      // integrity constraint violation
    ("27", RowRefused),      // triggered data change violation
    ("28", PasswordRefused), // invalid authorization
    ("38", RowRefused),      // external routine exception: a trigger in another language
    ("39", RowRefused),      // external routine invocation exception
    ("40", Conflict),        // transaction rollback
    ("53", TooManyConnections),
    ("54", RowRefused), // program limit exceeded: the row does not fit into an index of the customer's
    ("P0", RowRefused), // PL/pgSQL: a trigger refused
];

/// What a SQLSTATE means. Anything that is not in the table is [`ErrorClass::Unknown`], which is tried
/// again with back-off and blames no row.
#[must_use]
pub fn class_of_sqlstate(code: &str) -> ErrorClass {
    let exact = CODES.iter().find(|(known, _)| *known == code);
    let class = || CLASSES.iter().find(|(prefix, _)| code.starts_with(prefix));
    exact.or_else(class).map_or(Unknown, |(_, class)| *class)
}
