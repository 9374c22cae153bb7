//! What all of the traffic has in common: its chance, its clock, and whom it has met.
//!
//! Everything follows from the seed, by arithmetic that is written down here rather than taken
//! from a crate: the same seed must give the same bytes in a later version as well.

use uuid::{Builder, Uuid};

/// What an id is of.
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
    Oddity,
}

/// The ids of everything there is, each a function of the seed, its kind and its number; so a
/// number is all that needs to be remembered of anything.
#[derive(Clone, Copy, Debug)]
pub struct Ids(u64);

impl Ids {
    /// The ids of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// The id of the `number`th one of its kind.
    pub fn of(self, subject: Subject, number: u32) -> Uuid {
        let (high, low) = self.bits(subject, number);
        let bits = u128::from(high) << 64 | u128::from(low);
        Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }

    /// A number below `n` that is always the same for this one.
    pub fn trait_of(self, subject: Subject, number: u32, n: u32) -> u32 {
        below(self.bits(subject, number).1, n)
    }

    const fn bits(self, subject: Subject, number: u32) -> (u64, u64) {
        let place = (subject as u64) << 32 | number as u64;
        let high = mix(self.0 ^ mix(place));
        (high, mix(high ^ place))
    }
}

/// Where the traffic stands.
#[derive(Debug)]
pub struct World {
    /// The ids of everything.
    pub ids: Ids,
    /// Qontak's clock, in milliseconds since 1970.
    pub now: i64,
    chance: u64,
    rooms: u32,
    messages: u32,
    logs: u32,
    broadcasts: u32,
    oddities: u32,
}

impl World {
    /// Everything begins, at `start` (milliseconds since 1970).
    pub const fn new(seed: u64, start: i64) -> Self {
        Self {
            ids: Ids::new(seed),
            now: start,
            chance: mix(!seed),
            rooms: 0,
            messages: 0,
            logs: 0,
            broadcasts: 0,
            oddities: 0,
        }
    }

    /// Some milliseconds pass. No two events have the same clock.
    pub fn tick(&mut self) {
        self.now += 1 + i64::from(self.below(8));
    }

    /// A number below `n`, by chance.
    pub const fn below(&mut self, n: u32) -> u32 {
        // SplitMix64.
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        below(mix(self.chance), n)
    }

    /// True once in `n` times, by chance.
    pub const fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    /// The number of a new room.
    pub const fn new_room(&mut self) -> u32 {
        next(&mut self.rooms)
    }

    /// The number of a new message.
    pub const fn new_message(&mut self) -> u32 {
        next(&mut self.messages)
    }

    /// The number of a new broadcast log.
    pub const fn new_log(&mut self) -> u32 {
        next(&mut self.logs)
    }

    /// The number of a new broadcast.
    pub const fn new_broadcast(&mut self) -> u32 {
        next(&mut self.broadcasts)
    }

    /// The number of a new body that is none of these.
    pub const fn new_oddity(&mut self) -> u32 {
        next(&mut self.oddities)
    }
}

const fn next(count: &mut u32) -> u32 {
    *count += 1;
    *count - 1
}

const fn below(bits: u64, n: u32) -> u32 {
    // The upper bits are as good as any; the bias is below n in four thousand million.
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
    fn every_trait_is_met() {
        let ids = Ids::new(1);
        for n in [5, 96] {
            let met = (0..1000).map(|number| ids.trait_of(Subject::Room, number, n));
            assert_eq!(met.collect::<BTreeSet<_>>(), (0..n).collect(), "{n}");
        }
    }
}
