//! Where the values come from, and how an error says so.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::DEFAULTS;

const PREFIX: &str = "TENANT_SYNC_";
const FILE: &str = "tenant-sync.toml";

/// Why a configuration is refused. No variant carries a value.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file that was named cannot be read.
    #[error("configuration file {path}: {reason}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A key that does not exist, or a value that its field does not take.
    #[error("configuration key {key} (from {source_name}): {reason}")]
    Value {
        /// `section.key`
        key: String,
        /// The file, or the environment variable.
        source_name: String,
        /// What is expected there.
        reason: String,
    },
    /// A value that is refused for what it means.
    #[error("configuration key {key}: {reason}")]
    Invalid {
        /// `section.key`
        key: String,
        /// Why.
        reason: String,
    },
    /// `database.url` is the one key without a default.
    #[error(
        "configuration key database.url is missing: set TENANT_SYNC_DATABASE__URL (or …__URL_FILE), or `url` under \
         [database] in {FILE}"
    )]
    MissingDatabaseUrl,
}

impl ConfigError {
    pub(super) fn from_figment(error: figment::Error) -> Self {
        let source_name = error.metadata.as_ref().map_or_else(|| "defaults".into(), describe);
        let mut path = error.path.clone();
        let reason = match &error.kind {
            figment::error::Kind::Message(message) => message.clone(),
            figment::error::Kind::InvalidType(_, expected)
            | figment::error::Kind::InvalidValue(_, expected) => {
                format!("expected {expected}")
            }
            figment::error::Kind::UnknownField(field, known) => {
                if path.last() != Some(field) {
                    path.push(field.clone());
                }
                format!("there is no such key; known here: {}", known.join(", "))
            }
            figment::error::Kind::MissingField(field) => {
                path.push(field.to_string());
                "is missing".into()
            }
            _ => "is not readable as what the field takes".into(),
        };
        let key = path.join(".");
        Self::Value { key, source_name, reason }
    }
}

fn describe(metadata: &Metadata) -> String {
    match &metadata.source {
        Some(figment::Source::File(path)) => path.display().to_string(),
        _ => metadata.name.to_string(),
    }
}

pub(super) fn utf8_pair((key, value): (OsString, OsString)) -> Option<(String, String)> {
    Some((key.into_string().ok()?, value.into_string().ok()?))
}

pub(super) fn figment(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Figment, ConfigError> {
    let mut figment = Figment::new().merge(NamedToml { name: "defaults", text: DEFAULTS });
    let path = file.unwrap_or_else(|| Path::new(FILE));
    if file.is_some() || path.exists() {
        let text = std::fs::read_to_string(path)
            .map_err(|e| ConfigError::File { path: path.to_owned(), reason: e.to_string() })?;
        // A syntax error of the toml crate quotes the line, which may hold a secret: only its place is told.
        if let Err(error) = text.parse::<toml::Table>() {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            let reason =
                format!("line {line} is not valid TOML ({})", error.message().lines().next().unwrap_or(""));
            return Err(ConfigError::File { path: path.to_owned(), reason });
        }
        figment = figment.merge(Toml::file_exact(path));
    }
    for variable in read(environment)? {
        figment = figment.merge(variable);
    }
    Ok(figment)
}

struct NamedToml {
    name: &'static str,
    text: &'static str,
}

impl Provider for NamedToml {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Toml::string(self.text).data()
    }
}

/// `TENANT_SYNC_<SECTION>__<KEY>`, always as text: what it means is the field's business. Names without
/// `__` are somebody else's (Kubernetes injects `TENANT_SYNC_CONSOLE_PORT=tcp://…` for a Service).
struct Variable {
    name: String,
    section: String,
    key: String,
    value: String,
}

fn read(variables: impl IntoIterator<Item = (String, String)>) -> Result<Vec<Variable>, ConfigError> {
    let mut ours = Vec::new();
    for (name, mut value) in variables {
        let Some((section, key)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once("__")) else {
            continue;
        };
        let (section, mut key) = (section.to_lowercase(), key.to_lowercase());
        if let Some(stem) = key.strip_suffix("_file").filter(|_| key != "ca_file") {
            value = std::fs::read_to_string(&value)
                .map_err(|e| ConfigError::File {
                    path: value.into(),
                    reason: format!("named by {name}: {e}"),
                })?
                .trim_end()
                .to_owned();
            key = stem.to_owned();
        }
        ours.push(Variable { name, section, key, value });
    }
    Ok(ours)
}

impl Provider for Variable {
    /// The variable itself, so that whoever asks for a value's source knows where to look.
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let keys = Dict::from([(self.key.clone(), Value::from(self.value.clone()))]);
        Ok(Map::from([(Profile::Default, Dict::from([(self.section.clone(), Value::from(keys))]))]))
    }
}
