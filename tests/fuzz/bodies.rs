//! Unusual bodies: a corpus, large bodies and random mutations.
//!
//! Shared by the fuzz test of the parser and the integration tests.

use std::collections::BTreeSet;
use std::iter::once;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use axum::body::Bytes;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use qontak_receiver::event::{Kind, Webhook};
use qontak_receiver::model::{EventId, Timestamp};
use serde_json::{Value, json};
use strum::VariantNames;

/// Default of `http.max_body_bytes`.
pub const MAX_BODY_BYTES: usize = 1 << 20;

/// Webhook received at an endpoint with an organisation.
pub fn received(body: impl Into<Bytes>, received_at: Timestamp) -> Webhook {
    Webhook {
        id: EventId::next(received_at),
        endpoint: "qontak".into(),
        organization_id: Some("organization-of-the-endpoint".into()),
        received_at,
        body: body.into(),
        request_id: String::new(),
        is_damaged: false,
    }
}

/// Body with the name to show when a test fails.
#[derive(Clone, Debug)]
pub struct Body {
    pub name: String,
    pub bytes: Bytes,
}

/// Bodies of the fixtures and of `tests/fuzz/corpus`: what Qontak sends, and edge cases.
pub fn corpus() -> Vec<Body> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut bodies = Vec::new();
    for folder in ["fixtures", "fuzz/corpus"] {
        for file in tests.join(folder).read_dir().unwrap() {
            let path = file.unwrap().path();
            let name = format!("{folder}/{}", path.file_name().unwrap().to_string_lossy());
            bodies.push(Body { name, bytes: std::fs::read(path).unwrap().into() });
        }
    }
    bodies.sort_by(|one, other| one.name.cmp(&other.name));
    bodies
}

/// Bodies near [`MAX_BODY_BYTES`], each dominated by one kind of element.
pub fn large_bodies() -> Vec<Body> {
    let max = MAX_BODY_BYTES;
    let message = |fields: &str| {
        format!(r#"{{"data_event":"status_message","id":"large","room_id":"large",{fields}}}"#)
    };
    let room = |fields: &str| {
        format!(r#"{{"data_event":"room_created","id":"large","channel":"wa",{fields}}}"#)
    };
    // As many copies as fit, minus the size of the surrounding JSON.
    let fill = |part: &str| part.repeat((max - 200) / part.len());
    let elements = |element: &str| {
        let elements = fill(&format!("{element},"));
        format!("[{}]", elements.trim_end_matches(','))
    };
    let numbered = |count: u32, element: &dyn Fn(u32) -> String| {
        (0..count).map(element).collect::<Vec<_>>().join(",")
    };
    let keys = |key: &str| numbered(80_000, &|i| format!(r#""{key}{i:x}":0"#));
    let nested = "[".repeat(30) + "1e15" + &"]".repeat(30);
    let words = numbered(100_000, &|i| format!(r#""{i:x}""#));
    let bodies = [
        ("brackets", "[".repeat(max)),
        ("closed brackets", "[".repeat(max / 2) + &"]".repeat(max / 2)),
        ("objects in objects", r#"{"a":"#.repeat(max / 5)),
        ("closed objects in objects", r#"{"a":"#.repeat(max / 7) + "1" + &"}".repeat(max / 7)),
        ("brackets in a string", message(&format!(r#""text":"{}""#, fill("[")))),
        ("blanks", " ".repeat(max)),
        ("a long text", message(&format!(r#""text":"{}""#, fill("é")))),
        ("a long text of escapes", message(&format!(r#""text":"{}""#, fill(r"\u00e9")))),
        ("a long text of NULs", message(&format!(r#""text":"{}""#, fill(r"\u0000")))),
        ("a long id", message(&format!(r#""sender_id":"{}""#, fill("7")))),
        ("a long name", format!(r#"{{"data_event":"{}"}}"#, fill("n"))),
        ("a long number", message(&format!(r#""review_star":{}"#, fill("1")))),
        ("a long fraction", message(&format!(r#""review_star":0.{}"#, fill("1")))),
        ("a long time", message(&format!(r#""created_at":"{}""#, fill("1")))),
        ("a long key", message(&format!(r#""{}":1"#, fill("k")))),
        ("a long status", message(&format!(r#""status":"{}""#, fill("s")))),
        ("80,000 keys", message(&keys("k"))),
        ("80,000 keys with NUL", message(keys(r"\u0000")[..max - 200].rsplit_once(',').unwrap().0)),
        ("80,000 keys in an object", message(&format!(r#""file":{{{}}}"#, keys("k")))),
        ("80,000 escaped keys", message(keys(r"\u006b")[..max - 200].rsplit_once(',').unwrap().0)),
        ("80,000 keys in a room", message(&format!(r#""room":{{{}}}"#, keys("k")))),
        ("the shortest key many times", message(fill(r#""":0,"#).trim_end_matches(','))),
        ("a key many times", message(fill(r#""text":0,"#).trim_end_matches(','))),
        ("100,000 tags", room(&format!(r#""tags":[{words}]"#))),
        ("100,000 agents", room(&format!(r#""agent_ids":[{words}]"#))),
        ("the same tag", room(&format!(r#""tags":{}"#, elements(r#""a""#)))),
        ("empty tags", room(&format!(r#""tags":{}"#, elements(r#""""#)))),
        ("tags of the wrong type", room(&format!(r#""tags":{}"#, elements("{}")))),
        ("agents with exponents", room(&format!(r#""agent_ids":{}"#, elements("1e15")))),
        ("small objects in an array", elements(r#"{"":0}"#)),
        ("arrays in arrays", message(&format!(r#""reply":{}"#, elements(&nested)))),
        ("rooms in rooms", format!("{}0{}", r#"{"room":"#.repeat(126), "}".repeat(126))),
        ("many buttons", message(&format!(r#""buttons":{}"#, elements("[]")))),
        ("many numbers", message(&format!(r#""reply":{}"#, elements("0")))),
        ("many unusual numbers", message(&format!(r#""reply":{}"#, elements("1e0015")))),
        ("many NULs", message(&format!(r#""reply":{}"#, elements(r#""\u0000""#)))),
        ("many short numbers", message(&format!(r#""reply":{}"#, elements("1e15")))),
        ("many small objects", message(&format!(r#""reply":{}"#, elements(r#"{"":0}"#)))),
        ("many small texts", message(&format!(r#""reply":{}"#, elements(r#""""#)))),
        (
            "many errors",
            format!(
                r#"{{"data_event":"broadcast_log_status","id":"large","messages_response":{{"errors":{}}}}}"#,
                elements(r#"{"code":1}"#)
            ),
        ),
    ];
    bodies
        .map(|(name, body)| Body { name: name.to_owned(), bytes: body.into() })
        .into_iter()
        .collect()
}

/// A corpus body after a few mutations.
pub fn mutated_body() -> impl Strategy<Value = Bytes> {
    let corpus = Arc::new(corpus());
    let bodies = corpus.clone();
    (any::<Index>(), prop::collection::vec(mutation(&corpus), 0..6)).prop_map(
        move |(body, mutations)| {
            let mut bytes = body.get(&bodies).bytes.to_vec();
            for mutation in mutations {
                mutation.apply(&mut bytes, &bodies);
            }
            bytes.truncate(MAX_BODY_BYTES);
            bytes.into()
        },
    )
}

/// Mutation of a body.
#[derive(Clone, Debug)]
enum Mutation {
    /// Flips one bit.
    Flip { at: Index, bit: u8 },
    /// Replaces, inserts or deletes bytes.
    Replace { at: Index, len: usize, with: Vec<u8> },
    /// Repeats bytes.
    Repeat { at: Index, len: usize, times: usize },
    /// Continues with the rest of another body.
    Splice { at: Index, body: Index, from: Index },
    /// Replaces a value anywhere in the JSON.
    Value { position: Index, json: String },
    /// Adds a field to an object anywhere in the JSON, possibly with a duplicate name.
    Field { position: Index, key: String, json: String },
}

fn mutation(corpus: &[Body]) -> impl Strategy<Value = Mutation> + use<> {
    let at = any::<Index>;
    let snippets: [&[u8]; 12] = [
        b"\0",
        b"\xff",
        b"\xc3",
        b"\xef\xbb\xbf",
        b"\"",
        b"\\",
        b"{",
        b"]",
        b",",
        br"\u0000",
        br"\ud83d",
        b"e999",
    ];
    let with = prop_oneof![
        Just(Vec::new()),
        select(snippets.map(<[u8]>::to_vec).to_vec()),
        prop::collection::vec(any::<u8>(), 1..8),
    ];
    prop_oneof![
        1 => (at(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip { at, bit }),
        1 => (at(), 0..12_usize, with).prop_map(|(at, len, with)| Mutation::Replace { at, len, with }),
        1 => (at(), 1..200_usize, 1..50_usize)
            .prop_map(|(at, len, times)| Mutation::Repeat { at, len, times }),
        1 => (at(), at(), at()).prop_map(|(at, body, from)| Mutation::Splice { at, body, from }),
        6 => (at(), value()).prop_map(|(position, json)| Mutation::Value { position, json }),
        4 => (at(), key(corpus), value())
            .prop_map(|(position, key, json)| Mutation::Field { position, key, json }),
    ]
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>, corpus: &[Body]) {
        // A position may also be the end.
        let slice = |bytes: &[u8], at: &Index, len: usize| {
            let start = at.index(bytes.len() + 1);
            start..(start + len).min(bytes.len())
        };
        match self {
            Self::Flip { at, bit } => {
                if !bytes.is_empty() {
                    *at.get_mut(bytes) ^= 1 << bit;
                }
            }
            Self::Replace { at, len, with } => {
                bytes.splice(slice(bytes, at, *len), with.iter().copied());
            }
            Self::Repeat { at, len, times } => {
                let slice = slice(bytes, at, *len);
                let copies = bytes[slice.clone()].repeat(*times);
                bytes.splice(slice.end..slice.end, copies);
            }
            Self::Splice { at, body, from } => {
                let other = &body.get(corpus).bytes;
                bytes.truncate(at.index(bytes.len() + 1));
                bytes.extend_from_slice(&other[from.index(other.len() + 1)..]);
            }
            Self::Value { position, json } => {
                replace_in_json(
                    bytes,
                    position,
                    |value| *value = json!(PLACEHOLDER),
                    &json!(PLACEHOLDER).to_string(),
                    json,
                );
            }
            Self::Field { position, key, json } => {
                let insert = |value: &mut Value| {
                    if let Value::Object(object) = value {
                        object.insert(PLACEHOLDER.into(), Value::Null);
                    }
                };
                let placeholder = format!("{}:null", json!(PLACEHOLDER));
                replace_in_json(bytes, position, insert, &placeholder, &format!("{key}:{json}"));
            }
        }
    }
}

/// Placeholder for text that no [`Value`] can hold, such as `1e400`. It sorts after every other
/// key, so that of two fields with one name the inserted one is last.
const PLACEHOLDER: &str = "~\u{10ffff}";

/// If the bytes are JSON, inserts the placeholder at a position and replaces it with text.
fn replace_in_json(
    bytes: &mut Vec<u8>,
    position: &Index,
    mutation: impl FnOnce(&mut Value),
    placeholder: &str,
    with: &str,
) {
    let Ok(mut body) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    let pointers = pointers(&body, String::new());
    let pointer: &String = position.get(&pointers);
    mutation(body.pointer_mut(pointer).expect("the pointer is from this body"));
    *bytes = body.to_string().replacen(placeholder, with, 1).into_bytes();
}

/// JSON pointers of a value and of everything in it.
fn pointers(value: &Value, pointer: String) -> Vec<String> {
    let within: Vec<String> = match value {
        Value::Array(elements) => (0_usize..)
            .zip(elements)
            .flat_map(|(i, element)| pointers(element, format!("{pointer}/{i}")))
            .collect(),
        Value::Object(object) => object
            .iter()
            .flat_map(|(key, value)| {
                let key = key.replace('~', "~0").replace('/', "~1");
                pointers(value, format!("{pointer}/{key}"))
            })
            .collect(),
        _ => Vec::new(),
    };
    once(pointer).chain(within).collect()
}

/// Key as JSON: one of Qontak's, or an edge case.
fn key(corpus: &[Body]) -> impl Strategy<Value = String> + use<> {
    fn collect_keys(value: &Value, keys: &mut BTreeSet<String>) {
        match value {
            Value::Array(elements) => {
                elements.iter().for_each(|element| collect_keys(element, keys))
            }
            Value::Object(object) => {
                for (key, value) in object {
                    keys.insert(json!(key).to_string());
                    collect_keys(value, keys);
                }
            }
            _ => {}
        }
    }
    let mut keys = BTreeSet::new();
    for body in corpus {
        if let Ok(body) = serde_json::from_slice(&body.bytes) {
            collect_keys(&body, &mut keys);
        }
    }
    let edge_cases = [r#""""#, r#""\u0000""#, r#""id\u0000""#, r#""\ud800""#, r#""data""#, r#"7"#];
    prop_oneof![
        8 => select(keys.into_iter().collect::<Vec<_>>()),
        1 => select(edge_cases.map(str::to_owned).to_vec()),
    ]
}

/// Value as JSON, or as almost valid JSON.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => select(&*SMALL_VALUES).prop_map(|text| text.to_owned()),
        2 => select(&*NAMES).prop_map(|name| json!(name).to_string()),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        // Any second or millisecond in and near the accepted range of times.
        2 => (1_400_000_000_000..1_800_000_000_000_i64, any::<bool>()).prop_map(
            |(millis, is_text)| {
                let time = if is_text { millis } else { millis / 1000 };
                if is_text { format!("\"{time}\"") } else { time.to_string() }
            }
        ),
        1 => any::<f64>().prop_map(|number| format!("{number:e}")),
        1 => any::<String>().prop_map(|text| json!(text).to_string()),
        // Lengths around the limits of ids, index rows and pages.
        1 => (select(vec!["x", "é", "1", r"\u0000", r"\u001f", r"\n"]), length())
            .prop_map(|(text, times)| format!("\"{}\"", text.repeat(times))),
        1 => (select(&*SMALL_VALUES), length())
            .prop_map(|(element, times)| format!("[{}null]", format!("{element},").repeat(times))),
        1 => (select(vec![("[", "]"), (r#"{"a":"#, "}"), (r#"[{"":"#, "}]")]), 1..200_usize)
            .prop_map(|((open, close), times)| open.repeat(times) + "0" + &close.repeat(times)),
    ]
}

fn length() -> impl Strategy<Value = usize> {
    select(vec![2, 127, 128, 511, 512, 513, 2_700, 10_000])
}

/// Words that determine how a body is parsed.
static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let words = [
        "created",
        "pending",
        "sent",
        "delivered",
        "read",
        "failed",
        "played",
        "deleted",
        "customer",
        "agent",
        "bot",
        "resolved",
        "assigned",
        "room",
        "add_agent",
        "Models::Contact",
        "Models::CustomerServiceRoom",
        "message_interaction",
        "waba_interaction",
        "held_for_quality_assessment",
        "(#131026)",
        "true",
        "n/a",
    ];
    Kind::VARIANTS.iter().copied().chain(words).collect()
});

static SMALL_VALUES: LazyLock<Vec<&str>> = LazyLock::new(|| {
    // All are JSON, except for the last line.
    let text = r#"
        null true false 0 -0 -1 1.5 -0.0 1e3 1E-400 1e308 5e-324
        9223372036854775807 9223372036854775808 -9223372036854775809 18446744073709551616
        1e400 -1e400 123456789012345678901234567890123456789012345678901234567890
        "" "\u0020" "n/a" "N/A" "\u0000" "a\u0000b" "\u001f" "\u0001" "\ufeff" "\uffff" "\n" "\\"
        "\ud83d\ude00" "\ud83d" "\udc00\ud800" "\u202e" "'" "%s" "$1" "\\u0000" "~"
        [] {} [[]] [null] [""] [{}] {"":""} {"\u0000":"\u0000"} {"id":1,"id":2}
        {"id":"x","id\u0000":"y"} {"id":"\u0000"} {"url":null} {"id":"r","room_id":"q"}
        [{"code":"9223372036854775808"}] {"statuses":[{"timestamp":"9999999999"}]}
        {"statuses":[{"timestamp":-1}]} {"statuses":[[]]} {"statuses":{}}
        "0001-01-01T00:00:00Z" "9999-12-31T23:59:59Z" "+262142-12-31T23:59:59Z"
        "-262143-01-01T00:00:00Z" "294277-01-01T00:00:00Z" "2016-12-31T23:59:60Z"
        "2025-06-12T23:59:60.999999999Z" "2025-06-12T02:15:03.999999999Z"
        "2025-06-12T02:15:03+23:59" "2025-06-12T02:15:03-23:59" "2025-06-12t02:15:03z"
        "2015-01-01T00:00:00Z" "2014-12-31T23:59:59.999999999Z" "2025-02-30T00:00:00Z"
        1420070400 1420070399 253402300800 -62135596800 8210266876799999 -8334601228800000
        99999999999 100000000000 999999999999999999 "1749694503000" "1749694503.5" "+1749694503"
        nul 01 .5 "\x" "#;
    text.split_whitespace().collect()
});
