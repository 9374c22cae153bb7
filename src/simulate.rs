//! Does an installation take what Qontak sends, and does it show what it took?
//!
//! ```text
//! traffic   what happens, event by event; all of it follows from a seed
//!   ├─ chat, broadcast, storm   the scenarios, in a `world` that they share
//!   └─ message, room, body      how Qontak words it, by the templates in `body/`
//! load      sends it, as fast as it may; measures
//! verify    reads the API, and compares with what was acknowledged (`expected`)
//! ```
//!
//! It stands beside the service and shares no code with it but the form of a time: it has to be
//! able to say that the service is wrong.

mod body;
mod broadcast;
mod chat;
mod client;
mod expected;
mod load;
mod message;
mod report;
mod room;
mod storm;
mod template;
mod verify;
mod world;

use std::collections::VecDeque;

pub use self::client::Address;
pub use self::load::{Limit, Load};
pub use self::verify::{Api, verify};

use self::body::Body;
use self::broadcast::Broadcasts;
use self::chat::Chat;
use self::expected::Claim;
use self::room::Shape;
use self::storm::Storm;
use self::world::{Ids, Subject, World, mix};
use crate::model::Timestamp;

/// What kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Customers write, bots greet, agents answer and resolve.
    Chat,
    /// Broadcasts: each recipient's message is sent, delivered, read, or fails.
    Broadcast,
    /// Both, with duplicates, out of order, in old and strange shapes, some cut off.
    Storm,
    /// The messages and statuses of chat alone, without pictures: 1.7 KB each. To measure.
    Message,
}

/// A webhook to be sent.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Its body.
    pub body: Vec<u8>,
    /// What it says.
    claim: Claim,
    /// Whether it was cut off on purpose, and may be refused.
    is_cut: bool,
}

impl Webhook {
    fn new(body: Body<'_>, claim: Claim) -> Self {
        Self { body: body.into_bytes(), claim, is_cut: false }
    }
}

/// How many others come between a webhook and its repetition: more than may be on their way at
/// once, as when somebody tries again later.
const REPEATED_AFTER: usize = 300;

/// Traffic, without an end unless it is given one. The same seed, start and recipients give the same bytes.
#[derive(Debug)]
pub struct Traffic {
    world: World,
    kind: Kind,
    /// What is to come a second time, if everything is.
    again: Option<VecDeque<Webhook>>,
}

#[derive(Debug)]
enum Kind {
    Chat(Chat),
    Messages(Chat),
    Broadcasts(Broadcasts),
    Storm(Storm),
}

impl Traffic {
    /// The traffic of a scenario, whose broadcasts have so many recipients each.
    pub fn new(scenario: Scenario, seed: u64, start: Timestamp, recipients: u32) -> Self {
        let kind = match scenario {
            Scenario::Chat => Kind::Chat(Chat::default()),
            Scenario::Message => Kind::Messages(Chat::default()),
            Scenario::Broadcast => Kind::Broadcasts(Broadcasts::of(recipients)),
            Scenario::Storm => Kind::Storm(Storm::new(recipients)),
        };
        let start = start.0.timestamp_millis();
        // Two runs that differ in any of these meet on one installation, but not in one room.
        let seed = [scenario as u64, start.unsigned_abs(), recipients.into()]
            .into_iter()
            .fold(mix(seed), |seed, part| mix(seed ^ part));
        Self { world: World::new(seed, start), kind, again: None }
    }

    /// The same, but everything comes twice, the second time somewhat later.
    pub fn twice(self) -> Self {
        Self { again: Some(VecDeque::new()), ..self }
    }

    /// The same, until the last status of the last recipient of so many broadcasts. There are none
    /// to count but in [`Scenario::Broadcast`].
    pub const fn end_after(mut self, broadcasts: u32) -> Self {
        if let Kind::Broadcasts(kind) = &mut self.kind {
            kind.end_after(broadcasts);
        }
        self
    }

    /// The organisation to which all of it belongs.
    pub fn organization_id(&self) -> String {
        self.world.ids.of(Subject::Organization, 0).to_string()
    }

    const fn ids(&self) -> Ids {
        self.world.ids
    }
}

impl Iterator for Traffic {
    type Item = Webhook;

    fn next(&mut self) -> Option<Webhook> {
        if let Some(again) = &mut self.again
            && again.len() > REPEATED_AFTER
        {
            return again.pop_front();
        }
        let world = &mut self.world;
        world.tick();
        let webhook = match &mut self.kind {
            Kind::Chat(chat) => chat.next(world, |_| Shape::Current),
            Kind::Messages(chat) => chat.next_message(world, |_| Shape::Plain),
            Kind::Broadcasts(broadcasts) if broadcasts.are_over() => {
                return self.again.as_mut()?.pop_front();
            }
            Kind::Broadcasts(broadcasts) => broadcasts.next(world, |_| Shape::Current),
            Kind::Storm(storm) => storm.next(world),
        };
        if let Some(again) = &mut self.again {
            again.push_back(webhook.clone());
        }
        Some(webhook)
    }
}
