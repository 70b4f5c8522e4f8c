//! The configuration in effect, with the source of each value, to be shown to people.

use std::path::Path;

use figment::value::{Tag, Value};
use figment::{Figment, Metadata};

use super::source::{self, ConfigError};

/// Shown in place of a secret.
pub const REDACTED: &str = "***";

/// Keys that hold secrets. A key that is missing here is shown.
pub(super) const SECRET_KEYS: &[&str] =
    &["database.url", "rabbitmq.url", "requests.proxy", "secrets.keys", "console.admin_keys"];

/// One key in effect.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Setting {
    /// `section.key`
    pub key: String,
    /// As it is written there; secrets without what is secret.
    pub value: String,
    /// `defaults`, the file, or the environment variable.
    pub source: String,
}

/// The configuration that [`super::Config::load`] would read, key by key. It should have been loaded before: this
/// does not check it.
///
/// # Errors
/// A source cannot be read.
pub fn explain(file: Option<&Path>) -> Result<Vec<Setting>, ConfigError> {
    let environment = std::env::vars_os().filter_map(source::utf8_pair);
    from_figment(&source::figment(file, environment)?)
}

pub(super) fn from_figment(figment: &Figment) -> Result<Vec<Setting>, ConfigError> {
    let all: Value = figment.extract().map_err(ConfigError::from_figment)?;
    let mut settings = Vec::new();
    for (section, keys) in all.as_dict().into_iter().flatten() {
        for (key, value) in keys.as_dict().into_iter().flatten() {
            let key = format!("{section}.{key}");
            let value_text =
                if SECRET_KEYS.contains(&key.as_str()) { redacted(&key, value) } else { text(value) };
            settings.push(Setting { value: value_text, source: source_of(figment, value.tag()), key });
        }
    }
    Ok(settings)
}

fn source_of(figment: &Figment, tag: Tag) -> String {
    let named = |metadata: &Metadata| match &metadata.source {
        Some(figment::Source::File(path)) => path.display().to_string(),
        _ => metadata.name.to_string(),
    };
    figment.get_metadata(tag).map_or_else(|| "defaults".to_owned(), named)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(_, text) => text.clone(),
        Value::Char(_, c) => c.to_string(),
        Value::Bool(_, flag) => flag.to_string(),
        Value::Num(_, number) => number
            .to_i128()
            .map(|n| n.to_string())
            .or_else(|| number.to_f64().map(|n| n.to_string()))
            .unwrap_or_else(|| number.to_u128().map(|n| n.to_string()).unwrap_or_default()),
        Value::Empty(..) => String::new(),
        Value::Dict(..) => "{…}".to_owned(),
        Value::Array(_, values) => format!("[{}]", values.iter().map(text).collect::<Vec<_>>().join(", ")),
    }
}

/// Where a URL leads, without user's password; the ids of keys. What cannot be read is not shown at all.
fn redacted(key: &str, value: &Value) -> String {
    let shown = match key {
        "database.url" => text(value).parse::<tokio_postgres::Config>().ok().map(|config| postgres(&config)),
        "rabbitmq.url" => text(value).parse::<lapin::uri::AMQPUri>().ok().map(|uri| {
            let authority = &uri.authority;
            format!(
                "{}:{REDACTED}@{}:{}/{}",
                authority.userinfo.username, authority.host, authority.port, uri.vhost
            )
        }),
        _ => None,
    };
    shown.unwrap_or_else(|| REDACTED.to_owned())
}

fn postgres(config: &tokio_postgres::Config) -> String {
    let hosts = config.get_hosts().iter().map(|host| match host {
        tokio_postgres::config::Host::Tcp(name) => name.clone(),
        tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
    });
    let hosts = hosts.collect::<Vec<_>>().join(",");
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let user = config.get_user().unwrap_or_default();
    format!("{user}:{REDACTED}@{hosts}:{port}/{}", config.get_dbname().unwrap_or(user))
}
