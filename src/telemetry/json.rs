//! Log lines as JSON objects: timestamp, level and the fields of the event, in their order.
//!
//! The formatter of tracing-subscriber takes twice the time, and the line of a request is the most
//! expensive part of its HTTP.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Formats an event as one line. Spans are left out: the service has none.
pub struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // The line of a request has some 350 bytes.
        let mut line = String::with_capacity(512);
        line.push_str(r#"{"timestamp":""#);
        SystemTime.format_time(&mut Writer::new(&mut line))?;
        line.push_str(r#"","level":""#);
        line.push_str(event.metadata().level().as_str());
        line.push('"');
        event.record(&mut Fields(&mut line));
        line.push_str("}\n");
        writer.write_str(&line)
    }
}

/// Appends fields. Writing to a `String` cannot fail, so results are ignored.
struct Fields<'a>(&'a mut String);

impl Fields<'_> {
    fn write_name(&mut self, field: &Field) {
        self.0.push_str(",\"");
        self.0.push_str(field.name());
        self.0.push_str("\":");
    }

    /// Writes a value whose text is JSON.
    fn write_plain(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        self.write_name(field);
        _ = self.0.write_fmt(value);
    }

    fn write_text(&mut self, field: &Field, text: fmt::Arguments<'_>) {
        self.write_name(field);
        self.0.push('"');
        _ = Escaped(self.0).write_fmt(text);
        self.0.push('"');
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.write_text(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.write_text(field, format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write_plain(field, format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write_plain(field, format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write_plain(field, format_args!("{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        match value.is_finite() {
            true => self.write_plain(field, format_args!("{value:?}")),
            false => self.write_plain(field, format_args!("null")),
        }
    }
}

/// Escapes text for a JSON string.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, mut text: &str) -> fmt::Result {
        let is_special = |byte: u8| matches!(byte, b'"' | b'\\' | ..0x20);
        while let Some(at) = text.bytes().position(is_special) {
            self.0.push_str(&text[..at]);
            match text.as_bytes()[at] {
                byte @ (b'"' | b'\\') => self.0.extend(['\\', char::from(byte)]),
                byte => write!(self.0, r"\u{byte:04x}")?,
            }
            text = &text[at + 1..];
        }
        self.0.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::Value;
    use tracing::{error, info, subscriber};

    use super::*;

    /// Lines in memory.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        /// The lines, without their timestamps.
        fn take(&self) -> Vec<Value> {
            let bytes = std::mem::take(&mut *self.0.lock().unwrap());
            let lines = std::str::from_utf8(&bytes).unwrap().lines();
            let parsed = lines.map(|line| {
                let mut line: Value = serde_json::from_str(line).unwrap();
                let timestamp = line.as_object_mut().unwrap().remove("timestamp").unwrap();
                let timestamp = timestamp.as_str().unwrap();
                assert!(timestamp.len() == 27 && timestamp.ends_with('Z'), "{timestamp}");
                line
            });
            parsed.collect()
        }
    }

    #[test]
    fn lines_are_those_of_tracing_subscriber() {
        let log = || {
            info!(text = "a \"quoted\"\n\\ \u{1}\u{7f} é", none = None::<&str>, "request");
            error!(http.status = 200_u16, negative = -1_i64, yes = true, ms = 1.25, whole = 2.0);
            info!(nan = f64::NAN, big = 1e300, shown = %io::Error::other("\"x\""), list = ?["y"]);
            info!("{} of {}", 1, "\u{1f600}");
        };
        let (ours, theirs) = (Lines::default(), Lines::default());
        let lines = ours.clone();
        let builder = tracing_subscriber::fmt().with_target(false);
        let subscriber = builder.event_format(JsonLine).with_writer(move || lines.clone());
        subscriber::with_default(subscriber.finish(), log);
        let lines = theirs.clone();
        let builder = tracing_subscriber::fmt().with_target(false).json().flatten_event(true);
        subscriber::with_default(builder.with_writer(move || lines.clone()).finish(), log);
        let ours = ours.take();
        assert_eq!(ours.len(), 4);
        assert_eq!(ours, theirs.take());
    }
}
