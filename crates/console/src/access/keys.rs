//! The admin keys. They are compared in constant time and never shown.

use std::fmt;

use ring::{digest, hmac};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

/// Anything shorter can be guessed, and is warned of.
pub(super) const KEY_CHARACTERS: usize = 16;
const NAME_CHARACTERS_MAX: usize = 64;

/// Why the keys cannot be used. No variant carries a key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum KeysError {
    #[error(
        "console.admin_keys is empty: the console needs at least one entry name:key, for example \
         \"ann:$(openssl rand -hex 32)\""
    )]
    None,
    #[error("console.admin_keys: entry {position} is not of the form name:key")]
    Form { position: usize },
    #[error(
        "console.admin_keys: the name of entry {position} must be 1 to {NAME_CHARACTERS_MAX} letters, digits, dots, -, \
         _ or @"
    )]
    Name { position: usize },
    #[error(
        "console.admin_keys: the key {name:?} (entry {position}) must be one or more printable characters without \
         spaces; `openssl rand -hex 32` makes a good one"
    )]
    Key { position: usize, name: String },
    #[error("console.admin_keys: the name {name:?} is given twice (entry {position})")]
    Duplicate { position: usize, name: String },
}

/// A key by its name.
pub(super) struct AdminKey {
    pub(super) name: String,
    is_short: bool,
    /// Of the key alone, and of the whole entry, which people paste as well.
    digests: [digest::Digest; 2],
    /// Signs the sessions that were begun with it; they end with the key.
    pub(super) signing: hmac::Key,
}

/// Shows names only.
impl fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

#[derive(Debug)]
pub(super) struct Keys(Vec<AdminKey>);

impl Keys {
    pub(super) fn from_config(entries: &[SecretString]) -> Result<Self, KeysError> {
        let mut keys: Vec<AdminKey> = Vec::with_capacity(entries.len());
        for (at, entry) in entries.iter().enumerate() {
            let key = parse(at + 1, entry.expose_secret())?;
            if keys.iter().any(|other| other.name == key.name) {
                return Err(KeysError::Duplicate { position: at + 1, name: key.name });
            }
            keys.push(key);
        }
        if keys.is_empty() { Err(KeysError::None) } else { Ok(Self(keys)) }
    }

    /// Digests are compared, each with each, so that the time taken says nothing of a key.
    pub(super) fn find(&self, given: &str) -> Option<&AdminKey> {
        let given = digest::digest(&digest::SHA256, given.as_bytes());
        let mut found = None;
        for key in &self.0 {
            for known in &key.digests {
                if known.as_ref().ct_eq(given.as_ref()).into() {
                    found = Some(key);
                }
            }
        }
        found
    }

    /// The names of keys that can be guessed.
    pub(super) fn short(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|key| key.is_short).map(|key| key.name.as_str())
    }

    pub(super) fn named(&self, name: &str) -> Option<&AdminKey> {
        self.0.iter().find(|key| key.name == name)
    }
}

fn parse(position: usize, entry: &str) -> Result<AdminKey, KeysError> {
    let (name, key) = entry.split_once(':').ok_or(KeysError::Form { position })?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_@".contains(c);
    if name.is_empty() || name.len() > NAME_CHARACTERS_MAX || !name.chars().all(plain) {
        return Err(KeysError::Name { position });
    }
    if key.is_empty() || !key.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(KeysError::Key { position, name: name.to_owned() });
    }
    let sha256 = |text: &str| digest::digest(&digest::SHA256, text.as_bytes());
    let signing = sha256(&format!("tenant-sync console session\n{entry}"));
    Ok(AdminKey {
        name: name.to_owned(),
        is_short: key.len() < KEY_CHARACTERS,
        digests: [sha256(key), sha256(entry)],
        signing: hmac::Key::new(hmac::HMAC_SHA256, signing.as_ref()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(entries: &[&str]) -> Result<Keys, KeysError> {
        let entries: Vec<_> = entries.iter().map(|entry| SecretString::from(*entry)).collect();
        Keys::from_config(&entries)
    }

    #[test]
    fn a_key_is_found_by_itself_or_with_its_name() {
        let keys = keys(&["ann:0123456789abcdef", "bob:fedcba9876543210"]).expect("good");
        let name = |given: &str| keys.find(given).map(|key| key.name.as_str());
        assert_eq!(name("0123456789abcdef"), Some("ann"));
        assert_eq!(name("bob:fedcba9876543210"), Some("bob"));
        for wrong in ["", "ann", "0123456789abcde", "0123456789abcdef0", "ann:fedcba9876543210"] {
            assert_eq!(name(wrong), None, "{wrong}");
        }
        assert_eq!(format!("{keys:?}"), r#"Keys(["ann", "bob"])"#);
    }

    #[test]
    fn what_cannot_be_used_is_named_and_never_repeated() {
        assert_eq!(keys(&[]).unwrap_err(), KeysError::None);
        let good = "ann:0123456789abcdef";
        for (entry, expected) in [
            ("0123456789abcdef", "entry 2 is not of the form"),
            ("a b:0123456789abcdef", "the name of entry 2"),
            (":0123456789abcdef", "the name of entry 2"),
            ("bob:", "the key \"bob\" (entry 2)"),
            ("bob:0123456789 abcdef", "the key \"bob\" (entry 2)"),
            (good, "given twice"),
        ] {
            let error = keys(&[good, entry]).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("0123"), "{error}");
        }
    }
    #[test]
    fn a_short_key_is_taken_and_known_as_short() {
        let keys = keys(&["ann:0123456789abcdef", "bob:0123456789abcde", "eve:x"]).expect("good");
        assert_eq!(keys.short().collect::<Vec<_>>(), ["bob", "eve"]);
        assert_eq!(keys.find("x").map(|key| key.name.as_str()), Some("eve"));
    }
}
