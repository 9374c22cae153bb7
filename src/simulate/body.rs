//! Buffer of a body, and the values that bodies consist of.

use std::fmt::Arguments;
use std::io::Write;

use chrono::{DateTime, Datelike, Timelike};

use super::world::{Subject, World};

const GIVEN_NAMES: [&str; 12] = [
    "Siti", "Budi", "Dewi", "Agus", "Rina", "Joko", "Lina", "Hendra", "Maya", "Andi", "Putri",
    "Rizky",
];
const FAMILY_NAMES: [&str; 8] =
    ["Rahmawati", "Santoso", "Pratama", "Wulandari", "Susilo", "Gunawan", "Marlina", "Hidayat"];

/// Initial capacity in bytes, enough for most bodies.
const CAPACITY: usize = 4096;

/// Body under construction.
pub struct Body<'a> {
    /// The world that it describes.
    pub world: &'a World,
    bytes: Vec<u8>,
}

impl<'a> Body<'a> {
    /// An empty body.
    pub fn new(world: &'a World) -> Self {
        Self { world, bytes: Vec::with_capacity(CAPACITY) }
    }

    /// The finished body.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Appends text unchanged.
    pub fn put(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// Appends formatted text. Slower than the other methods.
    pub fn format(&mut self, text: Arguments<'_>) {
        self.bytes.write_fmt(text).expect("writing to a Vec cannot fail");
    }

    /// Appends an id.
    pub fn id(&mut self, subject: Subject, number: u32) {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        self.put(self.world.ids.of(subject, number).hyphenated().encode_lower(&mut text));
    }

    /// Appends an id in quotes.
    pub fn quoted_id(&mut self, subject: Subject, number: u32) {
        self.put("\"");
        self.id(subject, number);
        self.put("\"");
    }

    /// Appends the WhatsApp id of a message.
    pub fn wamid(&mut self, message: u32) {
        let mut text = [0; uuid::fmt::Simple::LENGTH];
        self.put("wamid.HBgNNjI4MTIwMDAwMDAwMBUC");
        self.put(self.world.ids.of(Subject::Message, message).simple().encode_upper(&mut text));
        self.put("AA==");
    }

    /// Appends a time, given in milliseconds since 1970, in Qontak's format.
    pub fn time(&mut self, millis: i64) {
        let time = DateTime::from_timestamp_millis(millis).unwrap_or_default().naive_utc();
        self.digits(time.year().unsigned_abs(), 4);
        for (separator, number) in [
            ("-", time.month()),
            ("-", time.day()),
            ("T", time.hour()),
            (":", time.minute()),
            (":", time.second()),
        ] {
            self.put(separator);
            self.digits(number, 2);
        }
        self.put(".");
        self.digits(time.nanosecond() / 1_000_000, 3);
        self.put("Z");
    }

    /// Appends a number with exactly `count` digits.
    pub fn digits(&mut self, mut number: u32, count: usize) {
        let at = self.bytes.len();
        self.bytes.resize(at + count, b'0');
        for digit in self.bytes[at..].iter_mut().rev() {
            *digit += (number % 10) as u8;
            number /= 10;
        }
    }

    /// Appends `true` or `false`.
    pub fn flag(&mut self, flag: bool) {
        self.put(if flag { "true" } else { "false" });
    }

    /// Appends a person's name.
    pub fn name(&mut self, subject: Subject, number: u32) {
        let one = self.world.ids.attribute(subject, number, 96) as usize;
        self.put(GIVEN_NAMES[one % 12]);
        self.put(" ");
        self.put(FAMILY_NAMES[one / 12]);
    }

    /// Fills a placeholder that any body may have. `contact` is the number of the contact's room.
    pub fn fill(&mut self, name: &'static str, contact: u32) {
        match name {
            "organization_id" => self.id(Subject::Organization, 0),
            "channel_integration_id" => self.id(Subject::Integration, 0),
            "contact_name" => self.name(Subject::Room, contact),
            "account_uniq_id" => {
                self.put("62812000");
                self.digits(contact, 7);
            }
            "now" => self.time(self.world.now),
            other => unreachable!("unknown placeholder {other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_format_of_qontak() {
        let world = World::new(1, 0);
        let mut body = Body::new(&world);
        body.time(1_749_694_503_007);
        assert_eq!(body.into_bytes(), b"2025-06-12T02:15:03.007Z");
    }
}
