//! Content negotiation of lists: JSON, NDJSON or CSV.

use super::extract::Parameters;

/// Representation of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A page in Qontak's envelope.
    Json,
    /// An export: one JSON object per line, as in the envelope.
    Ndjson,
    /// An export: a header line, then one line per row.
    Csv,
}

impl Form {
    /// All representations.
    pub const ALL: [Self; 3] = [Self::Json, Self::Ndjson, Self::Csv];

    /// Reads the parameter `format`, or else the header `Accept`.
    pub fn read(parameters: &mut Parameters) -> Self {
        let name = parameters.one_of("format", &Self::ALL.map(Self::name));
        let named = name.and_then(|name| Self::ALL.into_iter().find(|form| form.name() == name));
        named.or_else(|| Self::accepted(parameters.accept())).unwrap_or(Self::Json)
    }

    /// The supported media type with the highest quality in `Accept`; the first of equals.
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

    /// Value of the parameter `format`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }

    /// Media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
        }
    }
}
