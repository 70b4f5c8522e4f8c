//! Addresses of our own pages, with their parameters.

use std::fmt;

use super::shell::quoted;

/// A path with parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    path: String,
    parameters: Vec<(&'static str, String)>,
}

impl Address {
    pub(super) fn new(path: &str) -> Self {
        Self { path: path.to_owned(), parameters: Vec::new() }
    }

    /// With a parameter, if it has a value.
    pub(super) fn with(&self, name: &'static str, value: Option<&str>) -> Self {
        let mut address = self.clone();
        address.parameters.retain(|(known, _)| *known != name);
        address.parameters.extend(value.map(|value| (name, value.to_owned())));
        address
    }

    /// Those of these parameters that it has, for the hidden fields of a form.
    pub(super) fn kept(&self, names: &[&str]) -> Vec<(&'static str, String)> {
        self.parameters.iter().filter(|(name, _)| names.contains(name)).cloned().collect()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        for (at, (name, value)) in self.parameters.iter().enumerate() {
            write!(f, "{}{name}={}", if at == 0 { '?' } else { '&' }, quoted(value))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_follow_the_path_and_come_once() {
        let address = Address::new("/targets")
            .with("query", Some("a&b c"))
            .with("state", None)
            .with("sort", Some("lag"));
        assert_eq!(address.to_string(), "/targets?query=a%26b%20c&sort=lag");
        assert_eq!(address.with("sort", None).with("query", Some("x")).to_string(), "/targets?query=x");
    }
}
