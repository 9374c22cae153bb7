//! Value ranges of settings, checked when a setting is read.
//!
//! Used as `#[serde(with = "Integer::<1, 100>")]`. Fields keep their plain types, so code that uses a
//! setting does not unwrap it.

use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error};

/// Integer from `MIN` to `MAX`.
pub struct Integer<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> Integer<MIN, MAX> {
    /// Reads an integer of any type that holds `MAX`.
    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: TryFrom<u64>,
        D: Deserializer<'de>,
    {
        let number = u64::deserialize(deserializer).ok().filter(|it| (MIN..=MAX).contains(it));
        number
            .and_then(|it| T::try_from(it).ok())
            .ok_or_else(|| D::Error::custom(format!("expected an integer from {MIN} to {MAX}")))
    }
}

/// Duration with a unit, from `MIN` to `MAX` milliseconds.
pub struct Milliseconds<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> Milliseconds<MIN, MAX> {
    /// Reads a duration such as `5s`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let range = Duration::from_millis(MIN)..=Duration::from_millis(MAX);
        humantime_serde::deserialize(deserializer).ok().filter(|it| range.contains(it)).ok_or_else(
            || {
                let (min, max) = (show(MIN), show(MAX));
                D::Error::custom(format!("expected a duration from {min} to {max}, such as 10s"))
            },
        )
    }
}

/// Formats a duration in the largest unit that divides it.
fn show(milliseconds: u64) -> String {
    let units = [("day", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1)];
    let (unit, size) = units
        .into_iter()
        .find(|(_, size)| milliseconds.is_multiple_of(*size))
        .expect("1 divides it");
    let count = milliseconds / size;
    format!("{count}{unit}{}", if unit == "day" && count > 1 { "s" } else { "" })
}
