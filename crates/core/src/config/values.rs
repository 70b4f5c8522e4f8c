//! How a value is read: what the field's type says, whatever it looks like in the source.
//!
//! The environment knows only text and TOML users write `12345678` for a name now and then, so each
//! field reads every form that can mean its type. No error here repeats the value: it may be a secret.

use std::fmt;
use std::time::Duration;

use secrecy::SecretString;
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};

/// A scalar of a source, as text.
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyScalar;
        impl Visitor<'_> for AnyScalar {
            type Value = Scalar;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a single value")
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Scalar, E> {
                Ok(Scalar(v.to_owned()))
            }
            fn visit_bool<E: de::Error>(self, v: bool) -> Result<Scalar, E> {
                Ok(Scalar(v.to_string()))
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Scalar, E> {
                Ok(Scalar(v.to_string()))
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Scalar, E> {
                Ok(Scalar(v.to_string()))
            }
            fn visit_f64<E: de::Error>(self, v: f64) -> Result<Scalar, E> {
                Ok(Scalar(v.to_string()))
            }
        }
        deserializer.deserialize_any(AnyScalar)
    }
}

/// Text, also from digits or `true`.
pub(super) fn text<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    Ok(Scalar::deserialize(d)?.0)
}

/// Text that may be absent; empty text counts as absent.
pub(super) fn text_or_none<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    Ok(Some(Scalar::deserialize(d)?.0).filter(|t| !t.is_empty()))
}

/// A secret that may be absent.
pub(super) fn secret_or_none<'de, D: Deserializer<'de>>(d: D) -> Result<Option<SecretString>, D::Error> {
    Ok(text_or_none(d)?.map(SecretString::from))
}

/// A secret.
pub(super) fn secret<'de, D: Deserializer<'de>>(d: D) -> Result<SecretString, D::Error> {
    Ok(SecretString::from(text(d)?))
}

/// `true` or `false`.
pub(super) fn flag<'de, D: Deserializer<'de>>(d: D) -> Result<bool, D::Error> {
    parsed(d, "true or false", |t| match t {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    })
}

/// A whole number of at least 1.
pub(super) fn count<'de, D, N>(d: D) -> Result<N, D::Error>
where
    D: Deserializer<'de>,
    N: std::str::FromStr + From<u8> + PartialOrd,
{
    parsed(d, "a whole number of at least 1", |t| t.parse().ok().filter(|n| *n >= N::from(1)))
}

/// A duration such as `50ms` or `7d`.
pub(super) fn duration<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    parsed(d, "a duration such as \"50ms\", \"5s\" or \"7d\"", |t| humantime::parse_duration(t).ok())
}

/// A list of durations, at least one.
pub(super) fn durations<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Duration>, D::Error> {
    let entries: Result<Vec<_>, _> = list(d)?.iter().map(|e| humantime::parse_duration(e)).collect();
    entries.ok().filter(|all| !all.is_empty()).ok_or_else(|| {
        de::Error::custom("expected a list of durations such as [\"5s\", \"5m\"], at least one")
    })
}

/// A size such as `8MiB`.
pub(super) fn bytes<'de, D: Deserializer<'de>>(d: D) -> Result<usize, D::Error> {
    parsed(d, "a size such as \"8MiB\", \"64KiB\" or a number of bytes", parse_bytes)
}

/// Anything with `FromStr`, described by `expected` when it does not parse.
pub(super) fn parsed<'de, D, T>(
    d: D,
    expected: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
{
    let Scalar(text) = Scalar::deserialize(d)?;
    parse(text.trim()).ok_or_else(|| de::Error::custom(format!("expected {expected}")))
}

fn parse_bytes(text: &str) -> Option<usize> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: usize = text[..digits].parse().ok()?;
    let unit: usize = match text[digits..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.checked_mul(unit).filter(|n| *n > 0)
}

/// A list, also written as text with commas (the only form an environment variable has).
pub(super) fn list<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    struct AnyList;
    impl<'de> Visitor<'de> for AnyList {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list, or text with commas between the entries")
        }
        fn visit_str<E: de::Error>(self, v: &str) -> Result<Self::Value, E> {
            let inner = v.trim().trim_start_matches('[').trim_end_matches(']');
            let entries = inner.split(',').map(|e| e.trim().trim_matches('"').to_owned());
            Ok(entries.filter(|e| !e.is_empty()).collect())
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some(Scalar(entry)) = seq.next_element()? {
                entries.push(entry);
            }
            Ok(entries)
        }
    }
    d.deserialize_any(AnyList)
}

/// A list of secrets.
pub(super) fn secret_list<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<SecretString>, D::Error> {
    Ok(list(d)?.into_iter().map(SecretString::from).collect())
}
