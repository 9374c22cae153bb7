//! Representations of a list.

use strum::{IntoStaticStr, VariantArray};

/// Format of a list response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum Format {
    /// One page in Qontak's envelope.
    Json,
    /// Export: one row per line, as in the envelope.
    Ndjson,
    /// Export: a line with the column names, then one line per row.
    Csv,
}

impl Format {
    /// Formats of exports.
    pub const EXPORTS: &[Self] = &[Self::Ndjson, Self::Csv];

    /// The one of these formats that a header `Accept` prefers; of equal weights the first.
    pub fn accepted(accept: &str, formats: &[Self]) -> Option<Self> {
        let mut best = None;
        for range in accept.split(',') {
            let (media_type, parameters) = range.split_once(';').unwrap_or((range, ""));
            let media_type = media_type.trim().to_ascii_lowercase();
            let quality = parameters.split(';').find_map(|text| text.trim().strip_prefix("q="));
            let quality: f32 = quality.map_or(Ok(1.0), str::parse).unwrap_or(0.0);
            let format = formats.iter().find(|format| format.media_type() == media_type);
            if let Some(format) = format
                && best.map_or(0.0, |(_, quality)| quality) < quality
            {
                best = Some((*format, quality));
            }
        }
        best.map(|(format, _)| format)
    }

    /// Its value of the parameter `format`, which is also the file extension.
    pub fn as_str(self) -> &'static str {
        self.into()
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
