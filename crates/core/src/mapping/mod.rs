//! Mappings: what of a source table goes where, and the SQL that follows from it.
