//! Random numbers, clock and ids of the simulated traffic.
//!
//! The generator is implemented here instead of taken from a crate, because the same seed must give
//! the same bytes in later versions.

use uuid::{Builder, Uuid};

/// Kind of thing that an id identifies.
#[derive(Clone, Copy, Debug)]
pub enum Subject {
    Organization,
    Integration,
    Room,
    Message,
    Contact,
    Participant,
    Agent,
    Bot,
    File,
    Broadcast,
    Template,
    Log,
    Other,
}

/// Ids as a function of seed, kind and number, so that only numbers have to be stored.
#[derive(Clone, Copy, Debug)]
pub struct Ids(u64);

impl Ids {
    /// The ids of a seed.
    pub const fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// The id of the `number`th one of its kind.
    pub fn of(self, subject: Subject, number: u32) -> Uuid {
        let (high, low) = self.bits(subject, number);
        let bits = u128::from(high) << 64 | u128::from(low);
        Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }

    /// A constant attribute of this subject: a number below `n`.
    pub fn attribute(self, subject: Subject, number: u32, n: u32) -> u32 {
        below(self.bits(subject, number).1, n)
    }

    const fn bits(self, subject: Subject, number: u32) -> (u64, u64) {
        let place = (subject as u64) << 32 | number as u64;
        let high = mix(self.0 ^ mix(place));
        (high, mix(high ^ place))
    }
}

/// State that all scenarios share.
#[derive(Debug)]
pub struct World {
    /// All ids.
    pub ids: Ids,
    /// Qontak's clock, in milliseconds since 1970.
    pub now: i64,
    /// Factor by which time passes faster than usual.
    pub pace: i64,
    random: u64,
    rooms: u32,
    messages: u32,
    logs: u32,
    broadcasts: u32,
    others: u32,
}

impl World {
    /// An empty world at `start` (milliseconds since 1970).
    pub const fn new(seed: u64, start: i64) -> Self {
        Self {
            ids: Ids::new(seed),
            now: start,
            pace: 1,
            random: mix(!seed),
            rooms: 0,
            messages: 0,
            logs: 0,
            broadcasts: 0,
            others: 0,
        }
    }

    /// Advances the clock by 1 to 8 ms, times the pace, so that no two events have the same time.
    pub fn tick(&mut self) {
        self.now += (1 + i64::from(self.below(8))) * self.pace;
    }

    /// A random number below `n`.
    pub const fn below(&mut self, n: u32) -> u32 {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        below(mix(self.random), n)
    }

    /// True with probability 1/n.
    pub const fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    /// Number of a new room.
    pub const fn new_room(&mut self) -> u32 {
        next(&mut self.rooms)
    }

    /// Number of a new message.
    pub const fn new_message(&mut self) -> u32 {
        next(&mut self.messages)
    }

    /// Number of a new broadcast log.
    pub const fn new_log(&mut self) -> u32 {
        next(&mut self.logs)
    }

    /// Number of a new broadcast.
    pub const fn new_broadcast(&mut self) -> u32 {
        next(&mut self.broadcasts)
    }

    /// Number of a new event about none of these.
    pub const fn new_other(&mut self) -> u32 {
        next(&mut self.others)
    }
}

const fn next(count: &mut u32) -> u32 {
    *count += 1;
    *count - 1
}

const fn below(bits: u64, n: u32) -> u32 {
    // Multiply-shift instead of a modulo; the bias is at most n / 2^32.
    (((bits >> 32) * n as u64) >> 32) as u32
}

/// The finalizer of SplitMix64: every bit of the result depends on every bit of `x`.
pub const fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn attributes_take_every_value() {
        let ids = Ids::new(1);
        for n in [5, 96] {
            let values = (0..1000).map(|number| ids.attribute(Subject::Room, number, n));
            assert_eq!(values.collect::<BTreeSet<_>>(), (0..n).collect(), "{n}");
        }
    }
}
