//! Mapping files of an operator, for tests that need more than the shipped ones.

use std::path::PathBuf;

use crate::compare::Compared;
use crate::stack::Stack;

/// A mapping of users to the table `people`: the label under which a user is known, and more columns if wanted.
#[derive(Debug, Clone)]
pub struct People {
    version: u32,
    columns: Vec<(String, String, String)>,
    required: Vec<String>,
    indexes: Vec<(String, &'static str)>,
    key: String,
}

impl People {
    /// Version 1, with the columns `person` (the key) and `label`.
    #[must_use]
    pub fn new() -> Self {
        let people = Self {
            version: 1,
            columns: Vec::new(),
            required: Vec::new(),
            indexes: Vec::new(),
            key: "person".to_owned(),
        };
        people.with("person", "uuid", r#"s."projectUserId""#).with("label", "text", r#"s."displayName""#)
    }

    /// One more column: its name, its type and its expression, in which the source's row is `s`.
    #[must_use]
    pub fn with(mut self, name: &str, kind: &str, expression: &str) -> Self {
        self.columns.push((name.to_owned(), kind.to_owned(), expression.to_owned()));
        self
    }

    /// The last column may not be null.
    ///
    /// # Panics
    /// Never: there is always one.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required.push(self.columns.last().expect("a column").0.clone());
        self
    }

    /// An index on a column.
    #[must_use]
    pub fn index(mut self, column: &str) -> Self {
        self.indexes.push((column.to_owned(), "btree"));
        self
    }

    /// An index that takes values of any length.
    #[must_use]
    pub fn hash(mut self, column: &str) -> Self {
        self.indexes.push((column.to_owned(), "hash"));
        self
    }

    /// Another key than `person`.
    #[must_use]
    pub fn key(mut self, column: &str) -> Self {
        column.clone_into(&mut self.key);
        self
    }

    /// Another version than 1.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Writes the file into a folder of the stack, for `mappings.dir`.
    ///
    /// # Panics
    /// The folder cannot be written.
    #[must_use]
    pub fn write(&self, stack: &Stack) -> PathBuf {
        let folder = stack.scratch().path().join("mappings");
        std::fs::create_dir_all(&folder).expect("our own folder");
        std::fs::write(folder.join("people.toml"), self.text()).expect("our own folder");
        folder
    }

    fn text(&self) -> String {
        let mut text = format!(
            "name = \"people\"\nevent = \"person\"\nversion = {}\n\n[source]\ntable = \"ProjectUser\"\n\
             tenant = \"tenancyId\"\n\n[target]\ntable = \"people\"\nkey = [\"{}\"]\n",
            self.version, self.key
        );
        for (name, kind, expression) in &self.columns {
            text +=
                &format!("\n[[column]]\nname = \"{name}\"\ntype = \"{kind}\"\nexpr = '''{expression}'''\n");
            if self.required.contains(name) {
                text += "nullable = false\n";
            }
        }
        for (column, method) in &self.indexes {
            text += &format!("\n[[index]]\ncolumns = [\"{column}\"]\nmethod = \"{method}\"\n");
        }
        text
    }

    /// What the table must hold.
    #[must_use]
    pub fn compared(&self) -> Compared {
        let list = |part: &dyn Fn(&(String, String, String)) -> String| {
            self.columns.iter().map(part).collect::<Vec<_>>().join(", ")
        };
        Compared {
            table: "people".to_owned(),
            inside: format!(
                r#"select {} from "ProjectUser" s where s."tenancyId" = '{{tenancy}}'"#,
                list(&|(_, _, expression)| expression.clone())
            ),
            outside: format!("select {} from people", list(&|(name, _, _)| name.clone())),
            columns: self.columns.len(),
        }
    }
}

impl Default for People {
    fn default() -> Self {
        Self::new()
    }
}
