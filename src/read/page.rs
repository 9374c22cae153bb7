//! Pages of a list, both ways, by key.
//!
//! A cursor says after which row a page begins, so pages are stable while rows arrive, and page
//! 10,000 costs what page 1 costs.

use axum::Json;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Envelope;
use crate::http::extract::Parameters;
use crate::model::Timestamp;

const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 500;

/// Which page of a list is asked for. `P` is a row's place in the order of the list.
pub struct Page<P> {
    /// Where it begins: after this row.
    pub from: Option<P>,
    /// Whether it lies before that row, not after it.
    pub backward: bool,
    limit: i64,
    fingerprint: String,
}

/// What an answer with a page says of it.
#[derive(Serialize)]
pub struct Meta {
    pagination: Pagination,
}

#[derive(Serialize)]
struct Pagination {
    cursor: Cursors,
    limit: i64,
}

/// Cursors of the pages around; null where there is none.
#[derive(Serialize)]
struct Cursors {
    next: Option<String>,
    prev: Option<String>,
}

/// A time in a cursor: exact, which the form that the API shows is not.
#[derive(Clone, Copy, Debug)]
pub struct Micros(pub Timestamp);

impl Serialize for Micros {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0.0.timestamp_micros())
    }
}

impl<'de> Deserialize<'de> for Micros {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // To the year 9999: chrono and Postgres agree on all of these.
        let micros = i64::deserialize(deserializer)?;
        let time = (0..253_402_300_800_000_000).contains(&micros).then_some(micros);
        time.and_then(Timestamp::from_micros)
            .map(Self)
            .ok_or_else(|| D::Error::custom("no such time"))
    }
}

#[derive(Serialize, Deserialize)]
struct Cursor<P> {
    /// Which list with which filters it belongs to.
    #[serde(rename = "q")]
    fingerprint: String,
    #[serde(rename = "b")]
    backward: bool,
    #[serde(rename = "p")]
    place: P,
}

impl<P: Serialize + DeserializeOwned> Page<P> {
    /// Reads the parameters `limit` and `cursor`; `route` tells one list from another.
    pub fn read(parameters: &mut Parameters, route: &str) -> Self {
        let fingerprint = parameters.fingerprint(route);
        let limit = parameters.integer("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
        let cursor: Option<Cursor<P>> = parameters.text("cursor").and_then(|text| {
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
            // No id has a NUL, and Postgres takes none.
            let bytes = bytes.filter(|bytes| !bytes.windows(6).any(|six| six == br"\u0000"));
            let cursor = bytes.and_then(|bytes| serde_json::from_slice::<Cursor<P>>(&bytes).ok());
            cursor.filter(|cursor| cursor.fingerprint == fingerprint).or_else(|| {
                parameters
                    .refuse("cursor", "must be one that this list gave, with the same filters")
            })
        });
        let backward = cursor.as_ref().is_some_and(|cursor| cursor.backward);
        Self { from: cursor.map(|cursor| cursor.place), backward, limit, fingerprint }
    }

    /// How many rows to fetch: one more than the page holds, to know whether it is the last.
    pub const fn rows(&self) -> i64 {
        self.limit + 1
    }

    /// Makes the answer of the rows fetched, which come in the order of walking.
    pub fn answer<R: Serialize>(
        self,
        mut rows: Vec<R>,
        place: impl Fn(&R) -> P,
    ) -> Json<impl Serialize> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        if self.backward {
            rows.reverse();
        }
        let cursor = |backward, place| {
            let cursor = Cursor { fingerprint: self.fingerprint.clone(), backward, place };
            let json = serde_json::to_vec(&cursor).expect("places are numbers and texts");
            BASE64_URL_SAFE_NO_PAD.encode(json)
        };
        // Where we came from there are rows; ahead there are if one more was found.
        let (has_next, has_prev) =
            if self.backward { (true, has_more) } else { (has_more, self.from.is_some()) };
        let next = rows.last().filter(|_| has_next).map(|row| cursor(false, place(row)));
        let prev = rows.first().filter(|_| has_prev).map(|row| cursor(true, place(row)));
        let pagination = Pagination { cursor: Cursors { next, prev }, limit: self.limit };
        Json(Envelope { status: "success", data: rows, meta: Some(Meta { pagination }) })
    }
}
