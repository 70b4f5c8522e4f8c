//! What must hold between mappings: all of them share the target's schema.

use std::collections::HashMap;

use super::ddl;
use super::error::{MappingError, MappingErrors};
use super::model::Mapping;

/// Checks that no two mappings share a name, a target's table or the name of anything else in a target.
///
/// # Errors
/// Every clash, at the later mapping.
pub fn check_set(mappings: &[Mapping]) -> Result<(), MappingErrors> {
    let found = clashes(mappings);
    if found.is_empty() { Ok(()) } else { Err(MappingErrors::new(found)) }
}

pub(super) fn clashes(mappings: &[Mapping]) -> Vec<MappingError> {
    let mut found = Vec::new();
    let mut names: HashMap<&str, &Mapping> = HashMap::new();
    let mut relations: HashMap<String, (String, &Mapping)> = HashMap::new();
    for mapping in mappings {
        let refuse = |line, reason| MappingError { file: mapping.file.clone(), line, reason };
        if let Some(other) = names.insert(&mapping.name, mapping) {
            let reason = format!("the name {:?} is taken by {}; choose another", mapping.name, other.file);
            found.push(refuse(Some(1), reason));
        }
        for (name, line, what) in relations_of(mapping) {
            let Some((other_what, other)) = relations.insert(name.clone(), (what.clone(), mapping)) else {
                continue;
            };
            let reason = if what == other_what && what == TABLE {
                format!("the target table {name:?} is written by {} already; choose another", other.file)
            } else {
                format!(
                    "{what} would be called {name:?}, as {other_what} of {} is; rename the table or a column",
                    other.file
                )
            };
            found.push(refuse(Some(line), reason));
        }
    }
    found
}

const TABLE: &str = "the table";

/// Names in the target's schema that the mapping takes: Postgres keeps tables and indexes in one space.
fn relations_of(mapping: &Mapping) -> Vec<(String, u32, String)> {
    let target = &mapping.target;
    let mut names = vec![
        (target.table.clone(), target.line, TABLE.to_owned()),
        (ddl::key_name(mapping), target.line, "the primary key".to_owned()),
    ];
    for index in &mapping.indexes {
        let what = format!("the index on {}", index.columns.join(", "));
        names.push((ddl::index_name(mapping, &index.columns), index.line, what));
    }
    names
}
