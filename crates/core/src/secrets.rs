//! Connection strings and signing secrets at rest: AES-256-GCM with key ids.
//!
//! The first configured key encrypts, every key decrypts: a key is replaced by putting a new one in
//! front. What is sealed is bound to its owner, so that a row copied to another tenancy does not open.

use std::collections::HashSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

const KEY_BYTES: usize = 32;
const ID_BYTES_MAX: usize = 64;

/// Why a secret could not be sealed or opened. No variant carries a key or a plaintext.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SecretsError {
    /// An entry of `secrets.keys` is not `id:base64`.
    #[error("secrets.keys: entry {position} is not of the form id:base64-32-bytes")]
    Form {
        /// Counted from 1.
        position: usize,
    },
    /// A key id that cannot be stored.
    #[error("secrets.keys: the id of entry {position} must be 1 to {ID_BYTES_MAX} letters, digits, - or _")]
    Id {
        /// Counted from 1.
        position: usize,
    },
    /// The part after the colon is not base64.
    #[error("secrets.keys: key {id:?} (entry {position}) is not valid base64")]
    Base64 {
        /// Counted from 1.
        position: usize,
        /// The key's id.
        id: String,
    },
    /// The key has another length than 32 bytes.
    #[error("secrets.keys: key {id:?} (entry {position}) has {bytes} bytes, but AES-256 needs {KEY_BYTES}")]
    Length {
        /// Counted from 1.
        position: usize,
        /// The key's id.
        id: String,
        /// Its length.
        bytes: usize,
    },
    /// Two entries have the same id, so that what they sealed could not be told apart.
    #[error("secrets.keys: the id {id:?} is given twice (entry {position})")]
    Duplicate {
        /// Counted from 1.
        position: usize,
        /// The key's id.
        id: String,
    },
    /// Nothing is configured to encrypt with.
    #[error("secrets.keys is empty: make a key with `tenant-sync keys new` and put it there")]
    NoKey,
    /// The key that sealed this is not configured any more.
    #[error("secrets.keys has no key {id:?}, which this secret was encrypted with")]
    UnknownKey {
        /// The id stored beside the ciphertext.
        id: String,
    },
    /// The ciphertext was changed, belongs to another target, or another key has this id now.
    #[error("a secret does not open with key {id:?}: it was changed, moved, or the key is another one")]
    DoesNotOpen {
        /// The key's id.
        id: String,
    },
    /// The system gave no random bytes.
    #[error("the system's random generator failed")]
    Random,
}

/// What is stored: the key's id, and the nonce followed by ciphertext and tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Id of the key that opens it.
    pub key_id: String,
    /// Nonce (12 bytes), ciphertext, tag (16 bytes).
    pub bytes: Vec<u8>,
}

/// The configured keys.
pub struct Keyring {
    keys: Vec<(String, LessSafeKey)>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(id, _)| id)).finish()
    }
}

impl Keyring {
    /// Reads `secrets.keys`. An empty list is a keyring that can neither encrypt nor decrypt.
    ///
    /// # Errors
    /// The first entry that is no key, by position and id.
    pub fn from_config(entries: &[SecretString]) -> Result<Self, SecretsError> {
        let mut keys = Vec::with_capacity(entries.len());
        let mut seen = HashSet::new();
        for (index, entry) in entries.iter().enumerate() {
            let (id, key) = parse_entry(index + 1, entry.expose_secret().trim())?;
            if !seen.insert(id.clone()) {
                return Err(SecretsError::Duplicate { position: index + 1, id });
            }
            keys.push((id, key));
        }
        Ok(Self { keys })
    }

    /// Seals `plaintext` with the first key. It opens only with the same `aad`.
    ///
    /// # Errors
    /// No key is configured, or the system gives no random bytes.
    pub fn encrypt(&self, plaintext: &[u8], aad: &[u8]) -> Result<Sealed, SecretsError> {
        let (id, key) = self.keys.first().ok_or(SecretsError::NoKey)?;
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| SecretsError::Random)?;
        let mut bytes = Vec::with_capacity(NONCE_LEN + plaintext.len() + AES_256_GCM.tag_len());
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(plaintext);
        let tag = key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(aad),
                &mut bytes[NONCE_LEN..],
            )
            .map_err(|_| SecretsError::Random)?;
        bytes.extend_from_slice(tag.as_ref());
        Ok(Sealed { key_id: id.clone(), bytes })
    }

    /// Opens what [`Keyring::encrypt`] sealed with the same `aad`.
    ///
    /// # Errors
    /// The key is not configured, or the bytes are not what was sealed with it for this `aad`.
    pub fn decrypt(&self, key_id: &str, bytes: &[u8], aad: &[u8]) -> Result<SecretString, SecretsError> {
        let does_not_open = || SecretsError::DoesNotOpen { id: key_id.to_owned() };
        let (_, key) = self
            .keys
            .iter()
            .find(|(id, _)| id == key_id)
            .ok_or_else(|| SecretsError::UnknownKey { id: key_id.to_owned() })?;
        let (nonce, ciphertext) = bytes.split_at_checked(NONCE_LEN).ok_or_else(does_not_open)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| does_not_open())?;
        let mut buffer = ciphertext.to_vec();
        let plaintext = key.open_in_place(nonce, Aad::from(aad), &mut buffer).map_err(|_| does_not_open())?;
        let text = std::str::from_utf8(plaintext).map_err(|_| does_not_open())?;
        Ok(SecretString::from(text))
    }
}

/// What a connection string is bound to: it opens for this target of this tenancy only.
#[must_use]
pub fn target_binding(tenancy_id: Uuid, target_id: &str) -> Vec<u8> {
    let mut aad = b"tenant-sync/ExternalDatabase/1/".to_vec();
    aad.extend_from_slice(tenancy_id.as_bytes());
    aad.extend_from_slice(target_id.as_bytes());
    aad
}

/// What a trigger's signing secrets are bound to.
#[must_use]
pub fn trigger_binding(trigger_id: Uuid) -> Vec<u8> {
    let mut aad = b"tenant-sync/HttpTrigger/1/".to_vec();
    aad.extend_from_slice(trigger_id.as_bytes());
    aad
}

/// A new random entry `id:base64-32-bytes` for `secrets.keys`.
///
/// # Errors
/// The id cannot be used, or the system gives no random bytes.
pub fn generate_key(id: &str) -> Result<SecretString, SecretsError> {
    if !is_id(id) {
        return Err(SecretsError::Id { position: 1 });
    }
    let mut key = [0; KEY_BYTES];
    SystemRandom::new().fill(&mut key).map_err(|_| SecretsError::Random)?;
    Ok(SecretString::from(format!("{id}:{}", STANDARD.encode(key))))
}

fn parse_entry(position: usize, entry: &str) -> Result<(String, LessSafeKey), SecretsError> {
    let (id, encoded) = entry.split_once(':').ok_or(SecretsError::Form { position })?;
    // Only a good id is repeated in an error: anything else may be a key pasted without its id.
    if !is_id(id) {
        return Err(SecretsError::Id { position });
    }
    let id = id.to_owned();
    let Ok(key) = STANDARD.decode(encoded) else {
        return Err(SecretsError::Base64 { position, id });
    };
    match UnboundKey::new(&AES_256_GCM, &key) {
        Ok(unbound) => Ok((id, LessSafeKey::new(unbound))),
        Err(_) => Err(SecretsError::Length { position, id, bytes: key.len() }),
    }
}

fn is_id(id: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(ids: &[&str]) -> (Keyring, Vec<SecretString>) {
        let entries: Vec<_> = ids.iter().map(|id| generate_key(id).unwrap()).collect();
        (Keyring::from_config(&entries).unwrap(), entries)
    }

    #[test]
    fn opens_what_it_sealed_for_the_same_owner_only() {
        let (keys, _) = ring(&["k1"]);
        let owner = target_binding(Uuid::from_u128(1), "main");
        let sealed = keys.encrypt(b"postgres://u:p@h/d", &owner).unwrap();
        assert_eq!(sealed.key_id, "k1");
        assert_eq!(keys.decrypt("k1", &sealed.bytes, &owner).unwrap().expose_secret(), "postgres://u:p@h/d");
        for other in [
            target_binding(Uuid::from_u128(2), "main"),
            target_binding(Uuid::from_u128(1), "other"),
            Vec::new(),
        ] {
            let error = keys.decrypt("k1", &sealed.bytes, &other).unwrap_err();
            assert_eq!(error, SecretsError::DoesNotOpen { id: "k1".into() });
        }
    }

    #[test]
    fn the_same_text_is_sealed_differently_each_time() {
        let (keys, _) = ring(&["k1"]);
        assert_ne!(keys.encrypt(b"x", b"").unwrap().bytes, keys.encrypt(b"x", b"").unwrap().bytes);
    }

    #[test]
    fn a_new_key_in_front_encrypts_and_the_old_still_opens() {
        let (old, mut entries) = ring(&["old"]);
        let sealed = old.encrypt(b"secret", b"a").unwrap();
        entries.insert(0, generate_key("new").unwrap());
        let both = Keyring::from_config(&entries).unwrap();
        assert_eq!(both.encrypt(b"x", b"a").unwrap().key_id, "new");
        assert_eq!(both.decrypt("old", &sealed.bytes, b"a").unwrap().expose_secret(), "secret");
        let only_new = Keyring::from_config(&entries[..1]).unwrap();
        let error = only_new.decrypt("old", &sealed.bytes, b"a").unwrap_err();
        assert_eq!(error, SecretsError::UnknownKey { id: "old".into() });
    }

    #[test]
    fn any_changed_or_missing_byte_is_noticed() {
        let (keys, _) = ring(&["k1"]);
        let sealed = keys.encrypt(b"secret", b"a").unwrap();
        for index in 0..sealed.bytes.len() {
            let mut changed = sealed.bytes.clone();
            changed[index] ^= 1;
            assert!(keys.decrypt("k1", &changed, b"a").is_err(), "byte {index}");
            assert!(keys.decrypt("k1", &sealed.bytes[..index], b"a").is_err(), "cut at {index}");
        }
    }

    #[test]
    fn bad_entries_are_named_by_position_and_never_repeated() {
        let good = generate_key("good").unwrap();
        let cases = [
            ("c2VjcmV0c2VjcmV0", "entry 2 is not of the form"),
            ("c2VjcmV0/c2Vjc==:abc", "the id of entry 2"),
            ("k:c2VjcmV0!", "key \"k\" (entry 2) is not valid base64"),
            ("k:c2VjcmV0", "key \"k\" (entry 2) has 6 bytes"),
        ];
        for (entry, expected) in cases {
            let error =
                Keyring::from_config(&[good.clone(), SecretString::from(entry)]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("c2Vj"), "{error}");
        }
        let twice = Keyring::from_config(&[good.clone(), good]).unwrap_err();
        assert_eq!(twice, SecretsError::Duplicate { position: 2, id: "good".into() });
    }

    #[test]
    fn without_a_key_nothing_is_sealed_and_debug_shows_ids_only() {
        let none = Keyring::from_config(&[]).unwrap();
        assert_eq!(none.encrypt(b"x", b"").unwrap_err(), SecretsError::NoKey);
        let (keys, entries) = ring(&["k1", "k2"]);
        assert_eq!(format!("{keys:?}"), "[\"k1\", \"k2\"]");
        assert_eq!(entries[0].expose_secret().len(), "k1:".len() + 44);
    }
}
