//! Representations of a list: which one a request asks for.

use super::extract::Parameters;

/// The form in which a list is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A page in Qontak's envelope.
    Json,
    /// An export: each line is a row, as it is in the envelope.
    Ndjson,
    /// An export: a line with the names of the columns, then one for each row.
    Csv,
}

impl Form {
    /// Every form.
    pub const ALL: [Self; 3] = [Self::Json, Self::Ndjson, Self::Csv];

    /// Reads the parameter `format`, else the header `Accept`.
    pub fn read(parameters: &mut Parameters) -> Self {
        let name = parameters.one_of("format", &Self::ALL.map(Self::name));
        let named = name.and_then(|name| Self::ALL.into_iter().find(|form| form.name() == name));
        named.or_else(|| Self::accepted(parameters.accept())).unwrap_or(Self::Json)
    }

    /// What a header `Accept` likes best of what there is, of equals the first.
    fn accepted(accept: &str) -> Option<Self> {
        let mut best = None;
        for range in accept.split(',') {
            let (media_type, parameters) = range.split_once(';').unwrap_or((range, ""));
            let media_type = media_type.trim().to_ascii_lowercase();
            let quality = parameters.split(';').find_map(|text| text.trim().strip_prefix("q="));
            let quality: f32 = quality.map_or(Ok(1.0), str::parse).unwrap_or(0.0);
            let form = Self::ALL.into_iter().find(|form| form.media_type() == media_type);
            if let Some(form) = form
                && best.map_or(0.0, |(_, quality)| quality) < quality
            {
                best = Some((form, quality));
            }
        }
        best.map(|(form, _)| form)
    }

    /// Its name, as one asks for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
        }
    }
}
