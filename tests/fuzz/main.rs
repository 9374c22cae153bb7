//! Bytes → event: no body does harm, whatever is in it.
//!
//! Bodies are edited at random by proptest. libFuzzer would look for new paths by itself, but
//! needs a nightly compiler; here a corpus that takes most paths and edits that know JSON stand
//! in for that. `cargo test` tries the same few bodies each time, so that what fails is due to
//! what was changed; `make fuzz` goes on with new ones for as long as it is told.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bodies;

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
use qontak_receiver::model::Timestamp;
use qontak_receiver::receive::normalize::{Normalized, normalize};
use serde_json::{Map, Value, json};

use bodies::{MAX_BODY_BYTES, edited, kept, large, received};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// How much heap reading may take for each byte of a body. Objects are the dearest: serde_json's
/// take 632 bytes however small they are, which makes 100 for each byte of `[{"":0},{"":0},…]`;
/// anything else stays below 40. Only one body is read at a time by each thread.
const PEAK: usize = 128;
/// How much heap an event may hold for each byte of its body, for the queue is bounded by bodies.
/// JSON that is kept is spelt out: `1e15` becomes `1000000000000000.0`.
const HELD: usize = 4;
/// What any body may take and hold besides.
const OVERHEAD_BYTES: usize = 32 << 10;
/// Generous: it is about what grows with the square of a body, on a busy machine, unoptimised.
const LONGEST: Duration = Duration::from_secs(5);
/// How many edited bodies `cargo test` tries.
const CASES: u32 = 5000;

#[test]
fn corpus_bodies_are_parsed_within_time_and_memory_limits() {
    let _alone = alone();
    for body in kept().into_iter().chain(large()) {
        assert!(body.bytes.len() <= MAX_BODY_BYTES, "{}", body.name);
        if let Err(harm) = check(&body.bytes) {
            panic!("{}: {harm}", body.name);
        }
    }
}

#[test]
fn mutated_bodies_are_parsed_within_time_and_memory_limits() {
    let _alone = alone();
    #[expect(clippy::disallowed_methods, reason = "not a setting of the service")]
    let seconds = std::env::var("FUZZ_SECONDS").ok().map(|seconds| seconds.parse::<u64>().unwrap());
    let length = Duration::from_secs(seconds.unwrap_or_default());
    let bodies = edited();
    let tried = Cell::new(0);
    let began = Instant::now();
    loop {
        let runner = match seconds {
            Some(_) => TestRunner::new(config()),
            None => {
                let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
                TestRunner::new_with_rng(config(), random)
            }
        };
        let harm = try_some(&bodies, runner, &tried);
        if harm.is_err() || began.elapsed() >= length {
            println!("{} bodies in {} s", tried.get(), began.elapsed().as_secs());
            return harm.unwrap_or_else(|harm| panic!("{harm}"));
        }
    }
}

/// Memory is counted for the whole process, so one test runs at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn config() -> Config {
    // What takes long takes as long again at each step of making it smaller.
    let max_shrink_time = 60_000;
    Config { cases: CASES, failure_persistence: None, max_shrink_time, ..Config::default() }
}

/// Tries as many bodies as a runner is told to; tells of one that does harm, and of how to keep it.
fn try_some(
    bodies: &impl Strategy<Value = Bytes>,
    mut runner: TestRunner,
    tried: &Cell<usize>,
) -> Result<(), String> {
    let check = |body| {
        tried.update(|tried| tried + 1);
        check(&body)
    };
    runner.run(bodies, check).map_err(|error| {
        let TestError::Fail(harm, body) = error else {
            return error.to_string();
        };
        let name = format!("{:.12}", BodyHash::of(&body).to_hex());
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&file, &body).unwrap();
        let (shown, file) = (body.escape_ascii(), file.display());
        format!(
            "{harm}\n\nby the body\n\n{shown}\n\nTo have it tried from now on:\n\
             cp {file} tests/fuzz/corpus/<what it is>.json"
        )
    })
}

/// What must hold of any body.
fn check(body: &Bytes) -> Result<(), TestCaseError> {
    let received_at = Timestamp::parse("2025-06-13T00:00:00Z").unwrap();
    let webhook = received(body.clone(), received_at);
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let normalized = read(webhook.clone())?;
    // The runner of the tests may free something of its own meanwhile.
    let more = |bytes: usize| bytes.saturating_sub(before);
    let (peak, held) = (more(HEAP.peak_usage()), more(HEAP.current_usage()));
    let allowed = |per_byte: usize| per_byte * body.len() + OVERHEAD_BYTES;
    prop_assert!(peak <= allowed(PEAK), "took {peak} bytes of heap for {}", body.len());
    prop_assert!(held <= allowed(HELD), "holds {held} bytes of heap for {}", body.len());

    let again = read(webhook)?;
    prop_assert_eq!(said(&normalized), said(&again));
    if let Normalized::Event(event) = normalized {
        check_event(&event, body)?;
    }
    Ok(())
}

/// Normalises, but waits no longer than [`LONGEST`] for it.
fn read(webhook: Webhook) -> Result<Normalized, TestCaseError> {
    let (reading, read) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        // Dropped when it is over, however it ends.
        let _reading = reading;
        normalize(webhook)
    });
    if read.recv_timeout(LONGEST) == Err(RecvTimeoutError::Timeout) {
        return Err(TestCaseError::fail(format!("takes more than {LONGEST:?}")));
    }
    thread.join().map_err(|_| TestCaseError::fail("panics"))
}

fn check_event(event: &Event, body: &Bytes) -> Result<(), TestCaseError> {
    prop_assert_eq!(&event.webhook.body, body);

    let is_applied = event.outcome == Outcome::Applied;
    prop_assert_eq!(is_applied, !event.changes.is_empty(), "applied is what changes a table");
    let is_read = matches!(event.outcome, Outcome::Applied | Outcome::Recorded);
    prop_assert!(event.kind.is_some() || !is_read);
    prop_assert!(is_read || !event.reasons.is_empty());
    let reasons = ["missing_subject_id: ", "unclassifiable: ", "not_an_object: ", "unparsable: "];
    let is_said = |word: &&str| event.reasons[0].starts_with(*word);
    prop_assert_eq!(event.outcome == Outcome::Quarantined, !is_read && reasons.iter().any(is_said));
    prop_assert!(event.reasons.len() < 200, "{} reasons", event.reasons.len());
    for reason in &event.reasons {
        // Ours, in plain words: nothing of the body is quoted, and the journal splits them by lines.
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

/// Columns of a row that Postgres might refuse for their size or range.
fn check_row(row: &Map<String, Value>) -> Result<(), TestCaseError> {
    let statuses = row.get("statuses").and_then(Value::as_object);
    let statuses = statuses.into_iter().flatten().filter(|(name, _)| *name != "other");
    let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap();
    let believed = at("2015-01-01T00:00:00Z")..=at("2025-06-14T00:00:00Z");
    let is_time = |name: &str| name.ends_with("_at") || name == "at" || name == "clock";
    let times = row.iter().filter(|(name, _)| is_time(name)).chain(statuses);
    for (name, time) in times {
        if let Some(text) = time.as_str() {
            prop_assert!(believed.contains(&at(text)), "{name} is {text}");
        }
    }
    for (name, id) in row.iter().filter(|(name, _)| name.ends_with("_id") || *name == "mark") {
        // Three of them must fit into a row of an index, which has 2,704 bytes.
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

/// Everything read.
fn said(normalized: &Normalized) -> BTreeMap<&str, String> {
    match normalized {
        Normalized::Handshake(handshake) => [("handshake", json!(handshake).to_string())].into(),
        Normalized::Event(event) => {
            let said = [
                ("kind", format!("{:?}", event.kind)),
                ("name", format!("{:?}", event.name)),
                ("organization_id", event.organization_id.clone()),
                ("subject_id", format!("{:?}", event.subject_id)),
                ("outcome", event.outcome.as_str().to_owned()),
                ("reasons", event.reasons.join("\n")),
                ("dedup_key", format!("{:?}", event.dedup_key)),
                ("changes", serde_json::to_string(&event.changes).unwrap()),
            ];
            said.into()
        }
    }
}
