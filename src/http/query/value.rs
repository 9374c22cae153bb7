//! Types of query parameters. Each has its schema in the OpenAPI document beside its parser.

use std::str::FromStr;

use chrono::{Days, NaiveDate, TimeZone};
use strum::VariantNames;
use utoipa::ToSchema;
use utoipa::openapi::schema::{
    ArrayBuilder, KnownFormat, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, Type,
};

use super::Parameter;
use crate::http::Error;
use crate::model::Timestamp;

/// Maximum number of values of a list.
const MAX_VALUES: usize = 100;

/// Maximum length of a text in characters. Longer than any id, name or enum value of Qontak.
const MAX_CHARACTERS: usize = 512;

/// Enums, one value per variant: `#[derive(EnumString, VariantNames)]`. Case and surrounding white
/// space are ignored.
impl<T: FromStr + VariantNames> Parameter for T {
    fn parse(values: &[&str]) -> Result<Self, String> {
        let given = values[0].trim();
        let known = T::VARIANTS.iter().find(|word| word.eq_ignore_ascii_case(given));
        let parsed = known.and_then(|word| word.parse().ok());
        parsed.ok_or_else(|| format!("must be one of {}", T::VARIANTS.join(", ")))
    }
}

/// Implements the traits that the OpenAPI document needs for a type with this schema.
#[macro_export]
macro_rules! parameter_schema {
    ($type:ty, [$($generics:tt)*], $schema:expr) => {
        impl<$($generics)*> utoipa::PartialSchema for $type {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::schema::Schema::from($schema).into()
            }
        }

        impl<$($generics)*> utoipa::ToSchema for $type {}
    };
}

/// Schema of a text, for [`parameter_schema!`](crate::parameter_schema).
pub fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// Schema of a text that is not empty. It does not say that NUL is rejected: generators copy a pattern
/// into their source, and tools do not accept a NUL there.
pub fn non_empty() -> ObjectBuilder {
    text().min_length(Some(1))
}

/// Text of 1 to [`MAX_CHARACTERS`] characters.
#[derive(Clone, Debug)]
pub struct Text(pub String);

parameter_schema!(Text, [], non_empty().max_length(Some(MAX_CHARACTERS)));

impl Parameter for Text {
    fn parse(values: &[&str]) -> Result<Self, String> {
        if values[0].chars().count() > MAX_CHARACTERS {
            return Err(format!("must be at most {MAX_CHARACTERS} characters"));
        }
        Ok(Self(values[0].to_owned()))
    }
}

/// Word of an open list, read as it is stored: without surrounding white space, in lower case.
#[derive(Clone, Debug)]
pub struct Word(pub String);

parameter_schema!(Word, [], non_empty().max_length(Some(MAX_CHARACTERS)));

impl Parameter for Word {
    fn parse(values: &[&str]) -> Result<Self, String> {
        let Text(text) = Text::parse(values)?;
        match text.trim().to_ascii_lowercase() {
            word if word.is_empty() => Err("must not be blank".to_owned()),
            word => Ok(Self(word)),
        }
    }
}

/// Text of any length.
#[derive(Clone, Debug)]
pub struct Token(pub String);

parameter_schema!(Token, [], non_empty());

impl Parameter for Token {
    fn parse(values: &[&str]) -> Result<Self, String> {
        Ok(Self(values[0].to_owned()))
    }
}

/// `true` or `false`.
#[derive(Clone, Copy, Debug)]
pub struct Flag(pub bool);

parameter_schema!(Flag, [], ObjectBuilder::new().schema_type(Type::Boolean));

impl Parameter for Flag {
    fn parse(values: &[&str]) -> Result<Self, String> {
        match values[0].trim().to_ascii_lowercase().parse() {
            Ok(flag) => Ok(Self(flag)),
            Err(_) => Err("must be one of true, false".to_owned()),
        }
    }
}

/// Integer from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug)]
pub struct Integer<const MIN: i64, const MAX: i64>(pub i64);

parameter_schema!(
    Integer<MIN, MAX>,
    [const MIN: i64, const MAX: i64],
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(MIN)).maximum(Some(MAX))
);

impl<const MIN: i64, const MAX: i64> Parameter for Integer<MIN, MAX> {
    fn parse(values: &[&str]) -> Result<Self, String> {
        let number = values[0].parse().ok().filter(|number| (MIN..=MAX).contains(number));
        number.map(Self).ok_or_else(|| format!("must be between {MIN} and {MAX}"))
    }
}

/// List: repeat `name=a`, `name[]=a` or `name[0]=a`, as in Qontak's API.
#[derive(Clone, Debug, ToSchema)]
#[schema(max_items = 100)]
pub struct Several<T>(pub Vec<T>);

impl<T: Parameter> Parameter for Several<T> {
    const IS_LIST: bool = true;

    fn parse(values: &[&str]) -> Result<Self, String> {
        check_values(values)?;
        values.iter().map(|value| T::parse(&[value])).collect::<Result<_, _>>().map(Self)
    }
}

/// Fails if there are too many values, or an empty one.
fn check_values(values: &[&str]) -> Result<(), String> {
    if values.len() > MAX_VALUES || values.contains(&"") {
        return Err(format!("must be up to {MAX_VALUES} values, none empty"));
    }
    Ok(())
}

/// One or several values, of which any may match: `name=a,b` or `name=a&name=b`. Values contain no
/// comma.
#[derive(Clone, Debug, ToSchema)]
#[schema(max_items = 100)]
pub struct AnyOf<T>(pub Vec<T>);

impl<T: Parameter> Parameter for AnyOf<T> {
    const IS_LIST: bool = true;

    fn parse(values: &[&str]) -> Result<Self, String> {
        check_values(values)?;
        let parts = values.iter().flat_map(|value| value.split(',')).map(str::trim);
        let mut parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
        if parts.is_empty() {
            // Blanks alone are left to the type of the value.
            parts.extend(values.iter().map(|value| if value.contains(',') { "" } else { *value }));
        }
        check_values(&parts)?;
        parts.iter().map(|part| T::parse(&[part])).collect::<Result<_, _>>().map(Self)
    }
}

impl AnyOf<Text> {
    /// The texts as given.
    pub fn texts(self) -> Vec<String> {
        self.0.into_iter().map(|Text(text)| text).collect()
    }
}

impl<T: Into<&'static str>> AnyOf<T> {
    /// The names of enum values.
    pub fn names(self) -> Vec<String> {
        self.0.into_iter().map(|value| value.into().to_owned()).collect()
    }
}

impl AnyOf<Word> {
    /// The words.
    pub fn words(self) -> Vec<String> {
        self.0.into_iter().map(|Word(word)| word).collect()
    }
}

/// Texts that may contain commas, of which any may match: a value with commas stands for its parts
/// and for itself.
#[derive(Clone, Debug)]
pub struct Labels(pub Vec<String>);

parameter_schema!(Labels, [], ArrayBuilder::new().items(Text::schema()).max_items(Some(100)));

impl Parameter for Labels {
    const IS_LIST: bool = true;

    fn parse(values: &[&str]) -> Result<Self, String> {
        let mut labels = AnyOf::<Text>::parse(values)?.texts();
        labels.extend(values.iter().map(|&label| label.to_owned()));
        labels.sort();
        labels.dedup();
        Ok(Self(labels))
    }
}

impl Labels {
    /// The texts without the space around them, in lower case as far as they are ASCII.
    pub fn lower_case(self) -> Vec<String> {
        self.0.into_iter().map(|label| label.trim().to_ascii_lowercase()).collect()
    }
}

/// A calendar day, or a point in time.
#[derive(Clone, Copy, Debug)]
pub enum DayOrTime {
    /// Such as `2025-06-12`.
    Day(NaiveDate),
    /// Such as `2025-06-12T09:15:03+07:00`.
    Time(Timestamp),
}

// Years 1980 to 8999: valid in Postgres and in every time zone.
parameter_schema!(DayOrTime, [], {
    let one = |format| {
        let format = Some(SchemaFormat::KnownFormat(format));
        Schema::from(text().format(format).pattern(Some("^(19[89]|[2-8])")))
    };
    OneOfBuilder::new().item(one(KnownFormat::Date)).item(one(KnownFormat::DateTime))
});

const EXPECTED_DAY_OR_TIME: &str = "must be a day (2025-06-12) or a time (2025-06-12T02:15:03Z)";

impl Parameter for DayOrTime {
    fn parse(values: &[&str]) -> Result<Self, String> {
        // The `+` of a UTC offset arrives as a space if the client did not escape it.
        let text = values[0].replace(' ', "+");
        let day = text.parse().map(Self::Day);
        let time = || text.parse().map(|time| Self::Time(Timestamp(time)));
        day.or_else(|_| time()).map_err(|_| EXPECTED_DAY_OR_TIME.to_owned())
    }
}

impl DayOrTime {
    /// The time itself; for a day, its start in `zone` plus `days_later` days. `None` if Postgres
    /// cannot store it.
    fn bound(self, days_later: u64, zone: &impl TimeZone) -> Option<Timestamp> {
        let time = match self {
            Self::Day(day) => {
                Timestamp::beginning(day.checked_add_days(Days::new(days_later))?, zone)?
            }
            Self::Time(time) => time,
        };
        time.is_storable().then_some(time)
    }
}

/// The half-open period of `start_date` and `end_date`: a start day counts from its beginning, an end
/// day to its end, in `zone`. Fails unless it ends after it starts.
pub fn period(
    start_date: Option<DayOrTime>,
    end_date: Option<DayOrTime>,
    zone: &impl TimeZone,
) -> Result<(Option<Timestamp>, Option<Timestamp>), Error> {
    let bound = |name, date: Option<DayOrTime>, days_later| {
        date.map(|date| {
            let bound = date.bound(days_later, zone);
            bound.ok_or_else(|| Error::parameter(name, EXPECTED_DAY_OR_TIME))
        })
        .transpose()
    };
    let since = bound("start_date", start_date, 0)?;
    let until = bound("end_date", end_date, 1)?;
    if since.zip(until).is_some_and(|(since, until)| until <= since) {
        return Err(Error::parameter("end_date", "must be after start_date"));
    }
    Ok((since, until))
}
