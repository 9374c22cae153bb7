//! Fuzz test of the parsers: every body becomes an event, and every message of NATS webhooks, within limits of
//! time and memory.
//!
//! proptest mutates bodies at random. libFuzzer would search for new code paths, but needs a
//! nightly compiler; a corpus that covers most paths and mutations that know JSON replace it.
//! `cargo test` tries the same bodies each time, so that a failure is caused by a change of the
//! code; `make fuzz` tries new ones for a given time.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bodies;
mod messages;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use chrono::DateTime;
use peak_alloc::PeakAlloc;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use qontak_receiver::event::{BodyHash, Event, Outcome, Webhook};
use qontak_receiver::ingest::normalize::{Normalized, normalize};
use qontak_receiver::model::Timestamp;
use serde_json::{Map, Value, json};

use bodies::{MAX_BODY_BYTES, corpus, large_bodies, mutated_body, received};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Limit of the peak heap while parsing, per byte of the body, which is not included: the index of
/// the objects that are read, and the event. Each thread parses one body at a time.
const PEAK_PER_BYTE: usize = 4;
/// Limit of the heap held by an event, per byte of its body, because the queue is bounded by the
/// size of bodies.
const HELD_PER_BYTE: usize = 2;
/// Constant allowance of both limits.
const OVERHEAD_BYTES: usize = 32 << 10;
/// Time limit of parsing. It must catch quadratic time, and allow for a busy machine and an
/// unoptimised build.
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// Number of mutated bodies that `cargo test` tries.
const CASES: u32 = 5000;

#[test]
fn corpus_bodies_are_parsed_within_time_and_memory_limits() {
    let _exclusive = exclusive();
    for body in corpus().into_iter().chain(large_bodies()) {
        assert!(body.bytes.len() <= MAX_BODY_BYTES, "{}", body.name);
        if let Err(failure) = check(&body.bytes) {
            panic!("{}: {failure}", body.name);
        }
    }
}

#[test]
fn mutated_bodies_are_parsed_within_time_and_memory_limits() {
    let advice = "To add it to the corpus:\ncp {file} tests/fuzz/corpus/<name>.json";
    run("bodies", CASES, mutated_body, check, advice);
}

#[test]
fn mutated_messages_of_nats_are_decoded_within_time_and_memory_limits() {
    // Each has several bodies.
    run("messages", CASES / 4, messages::message, messages::check, "It is in {file}");
}

/// Checks values of a strategy: always the same ones, or new ones for `FUZZ_SECONDS`.
fn run<S: Strategy<Value = Bytes>>(
    what: &str,
    cases: u32,
    strategy: impl FnOnce() -> S,
    check: impl Fn(&Bytes) -> Result<(), TestCaseError>,
    advice: &str,
) {
    // First of all: the strategy reads the corpus, which another test would measure.
    let _exclusive = exclusive();
    let values = strategy();
    #[expect(clippy::disallowed_methods, reason = "not a setting of the service")]
    let seconds = std::env::var("FUZZ_SECONDS").ok().map(|seconds| seconds.parse::<u64>().unwrap());
    let length = Duration::from_secs(seconds.unwrap_or_default());
    let tried = Cell::new(0);
    let began = Instant::now();
    loop {
        let runner = match seconds {
            Some(_) => TestRunner::new(config(cases)),
            None => {
                let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
                TestRunner::new_with_rng(config(cases), random)
            }
        };
        let failure = run_cases(&values, &check, advice, runner, &tried);
        if failure.is_err() || began.elapsed() >= length {
            println!("{} {what} in {} s", tried.get(), began.elapsed().as_secs());
            return failure.unwrap_or_else(|failure| panic!("{failure}"));
        }
    }
}

/// Memory is measured for the whole process, so only one test may run at a time.
fn exclusive() -> MutexGuard<'static, ()> {
    static EXCLUSIVE: Mutex<()> = Mutex::new(());
    EXCLUSIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn config(cases: u32) -> Config {
    // Each shrinking step of a slow body is slow as well.
    let max_shrink_time = 60_000;
    Config { cases, failure_persistence: None, max_shrink_time, ..Config::default() }
}

/// Runs the configured number of cases. The error contains the failing bytes and what to do with their file.
fn run_cases(
    values: &impl Strategy<Value = Bytes>,
    check: impl Fn(&Bytes) -> Result<(), TestCaseError>,
    advice: &str,
    mut runner: TestRunner,
    tried: &Cell<usize>,
) -> Result<(), String> {
    let check = |bytes| {
        tried.update(|tried| tried + 1);
        check(&bytes)
    };
    runner.run(values, check).map_err(|error| {
        let TestError::Fail(failure, body) = error else {
            return error.to_string();
        };
        let name = format!("{:.12}", BodyHash::of(&body).to_hex());
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&file, &body).unwrap();
        let shown = body.escape_ascii();
        let advice = advice.replace("{file}", &file.display().to_string());
        format!("{failure}\n\nfor the bytes\n\n{shown}\n\n{advice}")
    })
}

/// Checks the properties of any body.
fn check(body: &Bytes) -> Result<(), TestCaseError> {
    let received_at = Timestamp::parse("2025-06-13T00:00:00Z").unwrap();
    let webhook = received(body.clone(), received_at);
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let normalized = parse(webhook.clone())?;
    // The test runner may free memory meanwhile.
    let more = |bytes: usize| bytes.saturating_sub(before);
    let (peak, held) = (more(HEAP.peak_usage()), more(HEAP.current_usage()));
    let allowed = |per_byte: usize| per_byte * body.len() + OVERHEAD_BYTES;
    prop_assert!(peak <= allowed(PEAK_PER_BYTE), "peak of {peak} bytes of heap for {}", body.len());
    prop_assert!(held <= allowed(HELD_PER_BYTE), "{held} bytes of heap held for {}", body.len());

    check_acceptance(&normalized, body)?;
    let again = parse(webhook)?;
    prop_assert_eq!(described(&normalized), described(&again));
    if let Normalized::Event(event) = normalized {
        check_event(&event, body)?;
    }
    Ok(())
}

/// Normalizes a body within [`TIME_LIMIT`].
fn parse(webhook: Webhook) -> Result<Normalized, TestCaseError> {
    let (sender, ended) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        // Dropped when the thread ends, even by a panic.
        let _sender = sender;
        normalize(webhook)
    });
    if ended.recv_timeout(TIME_LIMIT) == Err(RecvTimeoutError::Timeout) {
        return Err(TestCaseError::fail(format!("takes longer than {TIME_LIMIT:?}")));
    }
    thread.join().map_err(|_| TestCaseError::fail("panics"))
}

/// Checks that the parser accepts what serde_json accepts, with the same errors.
fn check_acceptance(normalized: &Normalized, body: &Bytes) -> Result<(), TestCaseError> {
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let expected = match str::from_utf8(text).map(serde_json::from_str::<Value>) {
        Err(_) => Some("invalid UTF-8 ".to_owned()),
        Ok(Err(error)) => Some(error.to_string()),
        Ok(Ok(_)) => None,
    };
    let (outcome, reasons) = match normalized {
        Normalized::Handshake(_) => (Outcome::Recorded, ""),
        Normalized::Event(event) => {
            (event.outcome, event.reasons.first().map_or("", String::as_str))
        }
    };
    let is_rejected = outcome == Outcome::Malformed || reasons.starts_with("unparsable: ");
    prop_assert_eq!(is_rejected, expected.is_some(), "{} {:?}", reasons, expected);
    // Of a body that is no JSON either, serde_json may report another error first.
    if let Some(error) = expected.filter(|_| outcome != Outcome::Malformed) {
        prop_assert!(reasons.ends_with(&error), "{reasons} {error}");
    }
    Ok(())
}

/// Checks the properties of an event.
fn check_event(event: &Event, body: &Bytes) -> Result<(), TestCaseError> {
    prop_assert_eq!(&event.webhook.body, body);

    let is_applied = event.outcome == Outcome::Applied;
    prop_assert_eq!(
        is_applied,
        !event.changes.is_empty(),
        "an event is applied if and only if it changes a table"
    );
    let is_parsed = matches!(event.outcome, Outcome::Applied | Outcome::Recorded);
    prop_assert!(event.kind.is_some() || !is_parsed);
    prop_assert!(is_parsed || !event.reasons.is_empty());
    let reasons = ["missing_subject_id: ", "unclassifiable: ", "not_an_object: ", "unparsable: "];
    let is_known_reason = |word: &&str| event.reasons[0].starts_with(*word);
    prop_assert_eq!(
        event.outcome == Outcome::Quarantined,
        !is_parsed && reasons.iter().any(is_known_reason)
    );
    prop_assert!(event.reasons.len() < 200, "{} reasons", event.reasons.len());
    for reason in &event.reasons {
        // Reasons quote nothing of the body, and have no line breaks, at which the journal splits.
        prop_assert!(
            reason.len() < 600 && reason.chars().all(|c| (' '..='~').contains(&c)),
            "{reason}"
        );
    }

    let texts = json!([event.name, event.organization_id, event.subject_id]);
    prop_assert!(!has_nul(&texts), "{texts}");
    let Value::Object(tables) = serde_json::to_value(&event.changes).unwrap() else {
        unreachable!("it is a struct");
    };
    for (table, rows) in tables {
        for row in rows.as_array().unwrap() {
            prop_assert!(!has_nul(row), "NUL in {table}: {row}");
            check_row(row.as_object().unwrap())?;
        }
    }
    Ok(())
}

/// Checks columns that Postgres could reject for their size or range.
fn check_row(row: &Map<String, Value>) -> Result<(), TestCaseError> {
    let statuses = row.get("statuses").and_then(Value::as_object);
    let statuses = statuses.into_iter().flatten().filter(|(name, _)| *name != "other");
    let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap();
    let plausible = at("2015-01-01T00:00:00Z")..=at("2025-06-14T00:00:00Z");
    let is_time = |name: &str| name.ends_with("_at") || name == "at" || name == "clock";
    let times = row.iter().filter(|(name, _)| is_time(name)).chain(statuses);
    // A message or room without a clock, and a room that is not resolved.
    let none = "1970-01-01T00:00:00.000Z";
    for (name, time) in times {
        if let Some(text) = time.as_str().filter(|text| *text != none) {
            prop_assert!(plausible.contains(&at(text)), "{name} is {text}");
        }
    }
    for (name, id) in row.iter().filter(|(name, _)| name.ends_with("_id") || *name == "mark") {
        // Three ids must fit into an index row, which has at most 2,704 bytes.
        prop_assert!(id.as_str().is_none_or(|id| id.len() <= 560), "{name} is too long");
    }
    Ok(())
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(elements) => elements.iter().any(has_nul),
        Value::Object(object) => {
            object.iter().any(|(key, value)| key.contains('\0') || has_nul(value))
        }
        _ => false,
    }
}

/// The whole result of parsing, as text.
fn described(normalized: &Normalized) -> BTreeMap<&str, String> {
    match normalized {
        Normalized::Handshake(handshake) => [("handshake", json!(handshake).to_string())].into(),
        Normalized::Event(event) => {
            let described = [
                ("kind", format!("{:?}", event.kind)),
                ("name", format!("{:?}", event.name)),
                ("organization_id", event.organization_id.clone()),
                ("subject_id", format!("{:?}", event.subject_id)),
                ("outcome", event.outcome.as_str().to_owned()),
                ("reasons", event.reasons.join("\n")),
                ("dedup_key", format!("{:?}", event.dedup_key)),
                ("changes", serde_json::to_string(&event.changes).unwrap()),
            ];
            described.into()
        }
    }
}
