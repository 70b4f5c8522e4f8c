//! What can be said of mappings without a database.

mod expressions;
mod files;
mod loading;
mod models;

use super::{Mapping, parse};

/// A good mapping, to be spoilt by replacing a part of it.
const GOOD: &str = r#"name = "people"
event = "person"
version = 3

[source]
table = "ProjectUser"

[target]
table = "people"
key = ["id"]

[[join]]
table = "ContactChannel"
alias = "email"
on = { projectUserId = "projectUserId" }
where = "email.\"type\" = 'EMAIL'"

[[touch]]
table = "ContactChannel"
on = { projectUserId = "projectUserId" }

[[index]]
columns = ["name"]

[[column]]
name = "id"
type = "uuid"
expr = 's."projectUserId"'

[[column]]
name = "name"
type = "text"
nullable = false
expr = "coalesce(s.\"displayName\", email.\"value\", '')"
"#;

fn mapping(text: &str) -> Mapping {
    parse("m.toml", text).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The good mapping with `from` replaced, which must be there.
fn spoilt(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replacen(from, to, 1)
}

fn errors(text: &str) -> String {
    parse("m.toml", text).expect_err(text).to_string()
}
