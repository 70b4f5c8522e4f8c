//! Signatures of the Standard Webhooks specification: `v1` (HMAC-SHA256) and `v1a` (Ed25519).
//!
//! A secret is `whsec_` and base64 of 24 to 64 bytes, or `whsk_` and base64 of an Ed25519 key: its seed (32
//! bytes), or seed and public key (64). Receivers of the latter are given `whpk_`. What is signed is
//! `id.timestamp.body`, with each of a destination's secrets, so that one can be replaced without a gap.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use secrecy::{ExposeSecret, SecretString};

const SYMMETRIC: &str = "whsec_";
const ASYMMETRIC: &str = "whsk_";
const PUBLIC: &str = "whpk_";
const SYMMETRIC_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
const NEW_SECRET_BYTES: usize = 32;
const SEED_BYTES: usize = 32;
/// Version, comma, base64, and the space before the next one.
const SIGNATURE_CHARACTERS: usize = 96;

/// Why a secret cannot sign. Never repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Another prefix, or none.
    #[error("a secret begins with whsec_ (HMAC) or whsk_ (Ed25519)")]
    Prefix,
    /// What follows the prefix is no base64.
    #[error("what follows the prefix of the secret is not base64")]
    Base64,
    /// Too short to be safe, or too long for the specification.
    #[error("the secret has {0} bytes: whsec_ wants 24 to 64")]
    Length(usize),
    /// Not a key pair.
    #[error(
        "the secret is no Ed25519 key: whsk_ wants base64 of a seed of 32 bytes, with or without its public key"
    )]
    KeyPair,
    /// The system gave no random bytes.
    #[error("the system's random generator failed")]
    Random,
}

enum Key {
    Symmetric(hmac::Key),
    Asymmetric(Box<Ed25519KeyPair>),
}

/// The secrets of one destination, ready to sign.
#[derive(Default)]
pub struct Signer {
    keys: Vec<Key>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({} keys)", self.keys.len())
    }
}

impl Signer {
    /// Reads secrets, each as it is shown to a receiver.
    ///
    /// # Errors
    /// The first one that cannot sign.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a SecretString>) -> Result<Self, SecretError> {
        let keys =
            secrets.into_iter().map(|secret| read(secret.expose_secret())).collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }

    /// The value of the header `webhook-signature`; `None` without a secret. `id` must hold no full stop.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp_s: i64, body: &[u8]) -> Option<String> {
        if self.keys.is_empty() {
            return None;
        }
        let start = format!("{id}.{timestamp_s}.");
        let mut header = String::with_capacity(SIGNATURE_CHARACTERS * self.keys.len());
        for key in &self.keys {
            if !header.is_empty() {
                header.push(' ');
            }
            match key {
                Key::Symmetric(key) => {
                    // In two pieces: a body is not copied to be signed.
                    let mut signing = hmac::Context::with_key(key);
                    signing.update(start.as_bytes());
                    signing.update(body);
                    header.push_str("v1,");
                    STANDARD.encode_string(signing.sign(), &mut header);
                }
                Key::Asymmetric(pair) => {
                    header.push_str("v1a,");
                    STANDARD.encode_string(pair.sign(&[start.as_bytes(), body].concat()), &mut header);
                }
            }
        }
        Some(header)
    }
}

/// A new secret for HMAC, `whsec_…`.
///
/// # Errors
/// The system gives no random bytes.
pub fn new_secret() -> Result<SecretString, SecretError> {
    let mut bytes = [0; NEW_SECRET_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| SecretError::Random)?;
    Ok(SecretString::from(format!("{SYMMETRIC}{}", STANDARD.encode(bytes))))
}

/// Checks that a secret can sign.
///
/// # Errors
/// It cannot, and why.
pub fn check_secret(secret: &SecretString) -> Result<(), SecretError> {
    read(secret.expose_secret()).map(drop)
}

/// What receivers verify with: the public key of a `whsk_…` as `whpk_…`; `None` for a `whsec_…`, which they need
/// itself.
///
/// # Errors
/// It is no secret.
pub fn public_key(secret: &SecretString) -> Result<Option<String>, SecretError> {
    Ok(match read(secret.expose_secret())? {
        Key::Symmetric(_) => None,
        Key::Asymmetric(pair) => Some(format!("{PUBLIC}{}", STANDARD.encode(pair.public_key().as_ref()))),
    })
}

fn read(secret: &str) -> Result<Key, SecretError> {
    let secret = secret.trim();
    let decode = |text: &str| STANDARD.decode(text).map_err(|_| SecretError::Base64);
    if let Some(encoded) = secret.strip_prefix(SYMMETRIC) {
        let bytes = decode(encoded)?;
        if !SYMMETRIC_BYTES.contains(&bytes.len()) {
            return Err(SecretError::Length(bytes.len()));
        }
        return Ok(Key::Symmetric(hmac::Key::new(hmac::HMAC_SHA256, &bytes)));
    }
    let bytes = decode(secret.strip_prefix(ASYMMETRIC).ok_or(SecretError::Prefix)?)?;
    let pair = match bytes.split_at_checked(SEED_BYTES) {
        Some((seed, [])) => Ed25519KeyPair::from_seed_unchecked(seed),
        Some((seed, public)) => Ed25519KeyPair::from_seed_and_public_key(seed, public),
        None => return Err(SecretError::KeyPair),
    };
    pair.map(|pair| Key::Asymmetric(Box::new(pair))).map_err(|_| SecretError::KeyPair)
}

#[cfg(test)]
mod tests {
    use ring::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    /// The example of the specification's own libraries.
    #[test]
    fn the_symmetric_signature_is_the_one_that_receivers_expect() {
        let signer = Signer::new([&secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]).unwrap();
        let header = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b"{\"test\": 2432232314}");
        assert_eq!(header.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn each_secret_signs_and_the_public_key_verifies() {
        let seed = STANDARD.encode([7; 32]);
        let asymmetric = secret(&format!("whsk_{seed}"));
        let public = public_key(&asymmetric).unwrap().unwrap();
        let public = STANDARD.decode(public.strip_prefix("whpk_").unwrap()).unwrap();
        let whole = secret(&format!("whsk_{}", STANDARD.encode([&[7; 32][..], &public].concat())));
        let keys = [new_secret().unwrap(), asymmetric, whole];
        let header = Signer::new(&keys).unwrap().sign("m", 5, b"body").unwrap();
        let parts: Vec<&str> = header.split(' ').collect();
        assert_eq!(parts.len(), 3);
        assert!(parts[0].starts_with("v1,"));
        assert_eq!(parts[1], parts[2], "seed, and seed with public key");
        let signature = STANDARD.decode(parts[1].strip_prefix("v1a,").unwrap()).unwrap();
        UnparsedPublicKey::new(&ED25519, &public).verify(b"m.5.body", &signature).unwrap();
        assert_eq!(Signer::default().sign("m", 5, b"body"), None);
    }

    #[test]
    fn bad_secrets_are_refused_and_never_repeated() {
        for (text, expected) in [
            ("c2VjcmV0", SecretError::Prefix),
            ("whsec_c2VjcmV0!", SecretError::Base64),
            ("whsec_c2VjcmV0", SecretError::Length(6)),
            ("whsk_c2VjcmV0", SecretError::KeyPair),
        ] {
            let error = check_secret(&secret(text)).unwrap_err();
            assert_eq!(error, expected);
            assert!(!error.to_string().contains("c2Vj"), "{error}");
        }
        assert!(check_secret(&secret(&format!("whsk_{}", STANDARD.encode([7; 64])))).is_err(), "not a pair");
    }
}
