//! Query strings: one struct per route declares how parameters are parsed, validated and documented.
//!
//! [`query!`](crate::query) declares the struct; [`value`] has the types of its fields. An
//! extractor reads it through [`Parameters`] and calls [`Parameters::finish`], which rejects
//! unknown and invalid parameters, so no handler can forget to. Qontak's own routes ignore unknown
//! parameters instead, see [`IgnoredParameters`].

pub mod value;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use axum::extract::OriginalUri;
use axum::http::header::ACCEPT;
use axum::http::request::Parts;

use super::Error;
use crate::event::BodyHash;

/// Query parameters of a route.
pub trait Query: Sized {
    /// Reads the parameters. Invalid values are recorded in `parameters` and read as absent.
    fn read(parameters: &mut Parameters) -> Self;
}

/// No query parameters.
impl Query for () {
    fn read(_: &mut Parameters) {}
}

/// The parameters of both.
impl<A: Query, B: Query> Query for (A, B) {
    fn read(parameters: &mut Parameters) -> Self {
        let first = A::read(parameters);
        let second = B::read(parameters);
        (first, second)
    }
}

/// Type of a query parameter.
pub trait Parameter: Sized {
    /// Whether the name may be given several times, also as `name[]` or `name[0]`.
    const IS_LIST: bool = false;

    /// Parses the values given under the name, which are at least one. Fails with the expected
    /// value, such as `must be between 1 and 500`.
    fn parse(values: &[&str]) -> Result<Self, String>;
}

/// Declares a struct of optional query parameters, which implements [`Query`] and documents itself
/// in the OpenAPI document. Field names are parameter names; `name | former` is also accepted under
/// its former name, which is not documented. Fields are private to the module.
#[macro_export]
macro_rules! query {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident {
            $($(#[$field_meta:meta])* $field:ident $(| $former:ident)?: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(utoipa::IntoParams)]
        #[into_params(parameter_in = Query)]
        $visibility struct $name {
            $($(#[$field_meta])* #[param(inline)] $field: Option<$type>,)*
        }

        impl $crate::http::query::Query for $name {
            fn read(parameters: &mut $crate::http::query::Parameters) -> Self {
                Self { $($field: $crate::query!(@read parameters $field $($former)?),)* }
            }
        }
    };
    (@read $parameters:ident $name:ident) => {
        $parameters.parameter(stringify!($name))
    };
    (@read $parameters:ident $name:ident $former:ident) => {
        $parameters.renamed(stringify!($name), stringify!($former))
    };
}

/// Extension of a request that makes [`Parameters`] ignore unknown and empty parameters. It receives
/// the names of the unknown ones.
#[derive(Clone, Debug, Default)]
pub struct IgnoredParameters(Arc<OnceLock<Vec<String>>>);

impl IgnoredParameters {
    /// Names that were ignored, each at most 64 characters long.
    pub fn names(&self) -> &[String] {
        self.0.get().map_or(&[], Vec::as_slice)
    }
}

/// Parameters that say which page of a list, and in which form: they are no filters.
const PAGE_PARAMETERS: [&str; 7] =
    ["limit", "cursor", "from_id", "format", "is_counted", "bom", "delimiter"];

/// The query string of a request, read parameter by parameter.
pub struct Parameters {
    path: String,
    accept: String,
    /// Values by name.
    given: BTreeMap<String, Vec<String>>,
    /// Names read so far, in the order of reading.
    known: Vec<&'static str>,
    /// Those of the known names that may be given several times.
    lists: Vec<&'static str>,
    /// Error messages.
    problems: Vec<String>,
    /// Set if unknown parameters are not errors.
    ignored: Option<IgnoredParameters>,
}

impl Parameters {
    /// Splits the query string. Fails if it is not URL-encoded text.
    pub fn new(parts: &Parts) -> Result<Self, Error> {
        let path = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |uri| &uri.0).path();
        let accept = parts.headers.get(ACCEPT).and_then(|value| value.to_str().ok());
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|_| Error::Unprocessable(vec!["the query string cannot be decoded".into()]))?;
        let mut parameters = Self {
            path: path.to_owned(),
            accept: accept.unwrap_or_default().to_owned(),
            given: BTreeMap::new(),
            known: Vec::new(),
            lists: Vec::new(),
            problems: Vec::new(),
            ignored: parts.extensions.get().cloned(),
        };
        for (name, value) in pairs.0 {
            if parameters.ignored.is_some() && value.is_empty() {
                continue;
            }
            if value.contains('\0') || name.contains('\0') {
                parameters.reject(&name.replace('\0', ""), "must not contain NUL");
            } else {
                parameters.given.entry(name).or_default().push(value);
            }
        }
        Ok(parameters)
    }

    /// Reads one parameter; `name` may be a raw identifier such as `r#type`. An invalid value is
    /// recorded and read as absent.
    pub fn parameter<T: Parameter>(&mut self, name: &'static str) -> Option<T> {
        let name = name.trim_start_matches("r#");
        self.known.push(name);
        let values: Vec<&str> = if T::IS_LIST {
            self.lists.push(name);
            let given = self.given.iter().filter(|(given, _)| list_name(given) == name);
            given.flat_map(|(_, values)| values).map(String::as_str).collect()
        } else {
            self.given.get(name).into_iter().flatten().map(String::as_str).collect()
        };
        let parsed = match values.as_slice() {
            [] => return None,
            [_, _, ..] if !T::IS_LIST => Err("must be given once".to_owned()),
            [""] if !T::IS_LIST => Err("must not be empty".to_owned()),
            values => T::parse(values),
        };
        parsed.map_err(|expected| self.reject(name, &expected)).ok()
    }

    /// Reads one parameter that may be given under its former name instead.
    pub fn renamed<T: Parameter>(&mut self, name: &'static str, former: &'static str) -> Option<T> {
        let value = self.parameter(name);
        if !self.given.contains_key(former) {
            return value;
        }
        if self.given.contains_key(name) {
            self.reject(
                former,
                &format!("is the former name of {name}; must not be given with it"),
            );
        }
        self.parameter(former)
    }

    /// Records that a parameter is invalid, with the expected value.
    pub fn reject(&mut self, name: &str, expected: &str) {
        self.problems.push(format!("{name}: {expected}"));
    }

    /// The path of the request.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The header `Accept`; empty if there is none.
    pub fn accept(&self) -> &str {
        &self.accept
    }

    /// The URL of this list up to the value of its cursor.
    pub fn url_before_cursor(&self) -> String {
        let mut pairs = form_urlencoded::Serializer::new(format!("{}?", self.path));
        pairs.extend_pairs(self.pairs().filter(|(name, _)| !["cursor", "from_id"].contains(name)));
        pairs.append_pair("cursor", "").finish()
    }

    /// Hash of path and filters. A cursor is valid only for requests with the same hash: those of a
    /// list and of its export.
    pub fn fingerprint(&self) -> String {
        let mut text = self.path.replacen("/exports/", "/", 1);
        for (name, value) in self.pairs() {
            if !PAGE_PARAMETERS.contains(&name) {
                text.push_str(&format!("\0{name}\0{value}"));
            }
        }
        BodyHash::of(text.as_bytes()).to_hex()[..12].to_owned()
    }

    /// Fails with everything that is invalid, and with everything that is unknown unless that is
    /// ignored.
    pub fn finish(mut self) -> Result<(), Error> {
        let is_known = |name: &&String| {
            self.known.contains(&name.as_str()) || self.lists.contains(&list_name(name))
        };
        let unknown = self.given.keys().filter(|name| !is_known(name));
        let unknown: Vec<String> = unknown.map(|name| name.chars().take(64).collect()).collect();
        let unknown = match &self.ignored {
            Some(ignored) => {
                _ = ignored.0.set(unknown);
                Vec::new()
            }
            None => unknown,
        };
        let known = match self.known.as_slice() {
            [] => "this route has none".to_owned(),
            names => format!("known are {}", names.join(", ")),
        };
        for name in unknown {
            self.problems.push(format!("{name}: unknown parameter; {known}"));
        }
        if self.problems.is_empty() { Ok(()) } else { Err(Error::Unprocessable(self.problems)) }
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.given.iter().flat_map(|(name, values)| {
            values.iter().map(move |value| (name.as_str(), value.as_str()))
        })
    }
}

/// The name of a list parameter without the brackets that clients may append.
fn list_name(name: &str) -> &str {
    match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
        Some((list, index)) if index.bytes().all(|byte| byte.is_ascii_digit()) => list,
        _ => name,
    }
}
