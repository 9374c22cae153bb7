//! Sources of settings: the defaults, a file, the environment. Later ones take precedence.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use config::{ConfigError, Environment, File, FileFormat};
use serde::Deserialize;
use serde::de::value::{Error as ValueError, StringDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, SeqAccess, Visitor};

const DEFAULTS: &str = include_str!("../../config/default.toml");

/// Reads all sources. An error is one line that names the setting.
pub fn read<T: DeserializeOwned>(
    file: Option<&Path>,
    environment: BTreeMap<String, String>,
) -> anyhow::Result<T> {
    let mut sources =
        config::Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
    if let Some(path) = file {
        sources = sources.add_source(File::from(path).format(FileFormat::Toml));
    }
    let environment = settings_of(environment)?;
    let source = Environment::with_prefix("RECEIVER")
        .prefix_separator("__")
        .separator("__")
        .source(Some(environment.into_iter().collect()));
    sources
        .add_source(source)
        .build()
        .and_then(config::Config::try_deserialize)
        .map_err(|error| anyhow!(line(error)))
}

/// Variables whose names are common elsewhere, with our names. Ours take precedence.
const ALIASES: [(&str, &str); 4] = [
    ("DATABASE_URL", "RECEIVER__DATABASE__URL"),
    ("MEKARI_API_BASE_URL", "RECEIVER__QONTAK__MEKARI__BASE_URL"),
    ("MEKARI_API_CLIENT_ID", "RECEIVER__QONTAK__MEKARI__CLIENT_ID"),
    ("MEKARI_API_CLIENT_SECRET", "RECEIVER__QONTAK__MEKARI__CLIENT_SECRET"),
];

/// Selects the settings of the environment: variables with the prefix, [`ALIASES`], and the contents
/// of the files named by `…_FILE`.
fn settings_of(environment: BTreeMap<String, String>) -> anyhow::Result<BTreeMap<String, String>> {
    refuse_mistakes(&environment)?;
    let mut settings = BTreeMap::new();
    for (name, value) in environment {
        let (name, value) = match name.strip_suffix("_FILE") {
            Some(plain) if is_setting(plain) => {
                let value = std::fs::read_to_string(&value)
                    .with_context(|| format!("{name}: cannot read the file"))?;
                (plain.to_owned(), value.trim().to_owned())
            }
            _ => (name, value),
        };
        if let Some(setting) = alias(&name) {
            // Compose files pass variables that are not set as empty text.
            if value.is_empty() {
                continue;
            }
            settings.entry(setting.to_owned()).or_insert(value);
        } else if name.starts_with("RECEIVER__") {
            settings.insert(name, value);
        }
    }
    Ok(settings)
}

/// Fails on names that are nearly those of settings, and on settings that are given twice.
fn refuse_mistakes(environment: &BTreeMap<String, String>) -> anyhow::Result<()> {
    for name in environment.keys() {
        if let Some(meant) = with_two_underscores(name) {
            bail!("{name}: no setting; write two underscores: {meant}");
        }
        if let Some(plain) = name.strip_suffix("_FILE")
            && is_setting(plain)
            && environment.get(plain).is_some_and(|value| !value.is_empty())
        {
            bail!("{plain}: is set, and {name} too; remove one of them");
        }
    }
    Ok(())
}

fn is_setting(name: &str) -> bool {
    alias(name).is_some() || name.starts_with("RECEIVER__")
}

/// What a variable such as `RECEIVER_HTTP_LISTEN` was meant to be. Other variables that begin with
/// `RECEIVER_` are not ours: Kubernetes makes some for a service of this name.
fn with_two_underscores(name: &str) -> Option<String> {
    const SECTIONS: [&str; 21] = [
        "HTTP",
        "API",
        "OPS",
        "DATABASE",
        "WRITER",
        "SPOOL",
        "STREAM",
        "SEARCH",
        "RETENTION",
        "MEDIA",
        "LOG",
        "REGISTER",
        "WATCH",
        "BACKFILL",
        "CATALOG",
        "ALARM",
        "AUDIT",
        "NOTIFY",
        "ENDPOINT",
        "KEY",
        "QONTAK",
    ];
    let rest = name.strip_prefix("RECEIVER_").filter(|rest| !rest.starts_with('_'))?;
    let (section, rest) = rest.split_once('_')?;
    let rest = rest.trim_start_matches('_');
    SECTIONS.contains(&section).then(|| format!("RECEIVER__{section}__{rest}"))
}

/// Variables of Mekari's clients that this service does not read.
pub fn unused(environment: &BTreeMap<String, String>) -> Vec<String> {
    let is_unused = |name: &&String| {
        let plain = name.strip_suffix("_FILE").unwrap_or(name);
        name.starts_with("MEKARI_") && alias(plain).is_none()
    };
    let names = environment.keys().filter(is_unused);
    names
        .map(|name| {
            format!(
                "{name}: not used; known are MEKARI_API_CLIENT_ID, MEKARI_API_CLIENT_SECRET and \
                 MEKARI_API_BASE_URL"
            )
        })
        .collect()
}

fn alias(name: &str) -> Option<&'static str> {
    ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, setting)| *setting)
}

/// Reads an address with its port.
pub fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|_| D::Error::custom("expected an address with a port, such as 0.0.0.0:8080"))
}

/// Reads an address with a port; `None` if empty.
pub fn optional_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    let text: StringDeserializer<D::Error> = text.into_deserializer();
    address(text).map(Some)
}

/// Reads a list: an array in a file, comma-separated text in the environment.
pub fn list<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct ListOrText;

    impl<'de> Visitor<'de> for ListOrText {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list, or text with comma-separated elements")
        }

        fn visit_str<E>(self, text: &str) -> Result<Vec<String>, E> {
            let elements = text.split([',', '\n']).map(str::trim);
            Ok(elements.filter(|element| !element.is_empty()).map(str::to_owned).collect())
        }

        fn visit_i64<E>(self, number: i64) -> Result<Vec<String>, E> {
            Ok(vec![number.to_string()])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<String>, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = seq.next_element()? {
                elements.push(element);
            }
            Ok(elements)
        }
    }

    let elements = deserializer.deserialize_any(ListOrText)?;
    let element = |text: String| T::deserialize(StringDeserializer::new(text));
    elements.into_iter().map(element).collect::<Result<_, ValueError>>().map_err(D::Error::custom)
}

/// Formats an error as one line that starts with the setting. The value is left out, since it may
/// be a secret.
fn line(error: ConfigError) -> String {
    match error {
        ConfigError::At { error, key: Some(key), .. } => {
            format!("{key}: {}", without_value(&error))
        }
        ConfigError::Type { expected, key: Some(key), .. } => format!("{key}: expected {expected}"),
        ConfigError::NotFound(key) => format!("{key}: not set"),
        error => format!("configuration: {}", without_value(&error)),
    }
}

fn without_value(error: &ConfigError) -> String {
    let text = error.to_string();
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    // `TOML parse error at line 1, column 9 | 1 | tokens = [… | ^ expected …`
    if let Some((position, _)) = line.split_once(" | ") {
        return position.to_owned();
    }
    // `invalid type: string "…", expected …`
    let quotes_value = ["invalid type", "invalid value", "unknown variant"];
    match line.rfind("expected ") {
        Some(start) if quotes_value.iter().any(|said| line.starts_with(said)) => {
            line[start..].to_owned()
        }
        _ => line,
    }
}
