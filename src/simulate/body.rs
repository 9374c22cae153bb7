//! A body being written: bytes, and the few things that bodies are made of.

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

/// Room for a body of real size: growing would copy it.
const CAPACITY: usize = 4096;

/// A body being written.
pub struct Body<'a> {
    /// The world that it tells of.
    pub world: &'a World,
    bytes: Vec<u8>,
}

impl<'a> Body<'a> {
    /// An empty body.
    pub fn new(world: &'a World) -> Self {
        Self { world, bytes: Vec::with_capacity(CAPACITY) }
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Appends text as it is.
    pub fn put(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// Appends what `format_args!` makes. It is slow, so not for what every body has.
    pub fn format(&mut self, text: Arguments<'_>) {
        self.bytes.write_fmt(text).expect("memory takes everything");
    }

    /// Appends an id.
    pub fn id(&mut self, subject: Subject, number: u32) {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        self.put(self.world.ids.of(subject, number).hyphenated().encode_lower(&mut text));
    }

    /// Appends an id as JSON.
    pub fn quoted_id(&mut self, subject: Subject, number: u32) {
        self.put("\"");
        self.id(subject, number);
        self.put("\"");
    }

    /// Appends WhatsApp's id of a message.
    pub fn wamid(&mut self, message: u32) {
        let mut text = [0; uuid::fmt::Simple::LENGTH];
        self.put("wamid.HBgNNjI4MTIwMDAwMDAwMBUC");
        self.put(self.world.ids.of(Subject::Message, message).simple().encode_upper(&mut text));
        self.put("AA==");
    }

    /// Appends a time, of milliseconds since 1970, as Qontak shows it.
    pub fn time(&mut self, millis: i64) {
        let time = DateTime::from_timestamp_millis(millis).unwrap_or_default().naive_utc();
        self.digits(time.year().unsigned_abs(), 4);
        for (before, number) in [
            ("-", time.month()),
            ("-", time.day()),
            ("T", time.hour()),
            (":", time.minute()),
            (":", time.second()),
        ] {
            self.put(before);
            self.digits(number, 2);
        }
        self.put(".");
        self.digits(time.nanosecond() / 1_000_000, 3);
        self.put("Z");
    }

    /// Appends a number with this many digits.
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

    /// Appends the name of a person.
    pub fn name(&mut self, subject: Subject, number: u32) {
        let one = self.world.ids.trait_of(subject, number, 96) as usize;
        self.put(GIVEN_NAMES[one % 12]);
        self.put(" ");
        self.put(FAMILY_NAMES[one / 12]);
    }

    /// Fills a gap that any body may have; `contact` is the number of the contact's room.
    pub fn fill(&mut self, gap: &'static str, contact: u32) {
        match gap {
            "organization_id" => self.id(Subject::Organization, 0),
            "channel_integration_id" => self.id(Subject::Integration, 0),
            "contact_name" => self.name(Subject::Room, contact),
            "account_uniq_id" => {
                self.put("62812000");
                self.digits(contact, 7);
            }
            "now" => self.time(self.world.now),
            other => unreachable!("no template has a gap {other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_qontak_writes_it() {
        let world = World::new(1, 0);
        let mut body = Body::new(&world);
        body.time(1_749_694_503_007);
        assert_eq!(body.into_bytes(), b"2025-06-12T02:15:03.007Z");
    }
}
