//! Where settings come from: the defaults, a file, the environment; later ones win.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, anyhow};
use config::{Environment, File, FileFormat};
use serde::de::value::{Error as ValueError, StringDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, SeqAccess, Visitor};

const DEFAULTS: &str = include_str!("../../config/default.toml");

/// Reads all sources. An error is one line that names the key.
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
        .map_err(|error| anyhow!("configuration: {}", without_value(&error.to_string())))
}

/// The settings that the environment holds: those with our prefix, the name under which every
/// program expects the database, and what the files of `…_FILE` contain.
fn settings_of(environment: BTreeMap<String, String>) -> anyhow::Result<BTreeMap<String, String>> {
    let mut settings = BTreeMap::new();
    for (name, value) in environment {
        let (name, value) = match name.strip_suffix("_FILE") {
            Some(plain) if plain == "DATABASE_URL" || plain.starts_with("RECEIVER__") => {
                let value = std::fs::read_to_string(&value)
                    .with_context(|| format!("{name}: cannot read the file it names"))?;
                (plain.to_owned(), value.trim().to_owned())
            }
            _ => (name, value),
        };
        if name == "DATABASE_URL" {
            settings.entry("RECEIVER__DATABASE__URL".to_owned()).or_insert(value);
        } else if name.starts_with("RECEIVER__") {
            settings.insert(name, value);
        }
    }
    Ok(settings)
}

/// A list of a file, or one text with commas of the environment.
pub fn list<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct ListOrText;

    impl<'de> Visitor<'de> for ListOrText {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list, or text with commas between the elements")
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

/// An error of the parser in one line. It may quote a value or a whole line of a file, and these
/// may be secrets.
fn without_value(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    // `TOML parse error at line 1, column 9 | 1 | tokens = [… | ^ expected …`
    if let Some((place, _)) = line.split_once(" | ") {
        return place.to_owned();
    }
    // `invalid type: string "…", expected …`
    for said in ["invalid type", "invalid value"] {
        if let (Some(start), Some(end)) = (line.find(said), line.rfind(", expected"))
            && start < end
        {
            return format!("{}{said}{}", &line[..start], &line[end..]);
        }
    }
    line
}
