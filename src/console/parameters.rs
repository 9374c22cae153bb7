//! Parameters of pages and forms.

/// Decoded parameters, in order.
#[derive(Clone, Debug, Default)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Decodes a query or form. Empty values, which forms send for fields that are not filled in, are
    /// left out.
    pub fn parse(text: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(text).into_owned();
        Self(pairs.filter(|(_, value)| !value.is_empty()).collect())
    }

    /// The value of a parameter; empty without one.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(one, _)| one == name).map_or("", |(_, value)| value)
    }

    /// All values of a parameter.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let pairs = self.0.iter().filter(|(one, _)| one == name);
        pairs.map(|(_, value)| value.as_str()).collect()
    }

    /// All of them.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Those with the given names.
    pub fn only<'a>(&'a self, names: &[&str]) -> Vec<(&'a str, &'a str)> {
        let pairs = self.0.iter().filter(|(name, _)| names.contains(&name.as_str()));
        pairs.map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}

/// A link with these parameters; those without a value are left out.
pub fn link(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(parameters.iter().filter(|(_, value)| !value.is_empty()));
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}
