//! The webhooks of a scenario, in order. The same arguments give the same bytes.

use std::collections::VecDeque;

use chrono::DateTime;

use super::broadcast::Broadcasts;
use super::chat::Chat;
use super::room::Shape;
use super::storm::Storm;
use super::webhook::Webhook;
use super::world::{Ids, Subject, World, mix};
use crate::model::Timestamp;

/// Kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// Customers write, bots greet, agents reply and resolve
    Chat,
    /// Broadcasts: the message of each recipient is sent, delivered, read, or fails
    Broadcast,
    /// Chat and broadcast with duplicates, out of order, in old and invalid shapes, some truncated
    Storm,
    /// Only the messages and statuses of `chat`, without images: 1.7 KB each, for measurements
    Message,
}

/// Number of webhooks between a webhook and its repetition. More than are usually in flight, so that
/// the first delivery has been answered, as in a later retry.
const REPEAT_DISTANCE: usize = 300;

/// Endless traffic, unless [`Traffic::end_after`] limits it.
#[derive(Debug)]
pub struct Traffic {
    world: World,
    source: Source,
    /// Webhooks to send a second time; `None` if nothing is repeated.
    repeats: Option<VecDeque<Webhook>>,
}

#[derive(Debug)]
enum Source {
    Chat(Chat),
    Messages(Chat),
    Broadcasts(Broadcasts),
    Storm(Storm),
}

impl Traffic {
    /// Traffic of a scenario; each of its broadcasts has this many recipients.
    pub fn new(scenario: Scenario, seed: u64, start: Timestamp, recipients: u32) -> Self {
        let start = start.0.timestamp_millis();
        // Runs that differ in any of these share no ids, so they can use the same installation.
        let seed = [scenario as u64, start.unsigned_abs(), recipients.into()]
            .into_iter()
            .fold(mix(seed), |seed, part| mix(seed ^ part));
        Self::in_world(World::new(seed, start), scenario, recipients)
    }

    /// Traffic that goes on in a world.
    pub(super) fn in_world(world: World, scenario: Scenario, recipients: u32) -> Self {
        let source = match scenario {
            Scenario::Chat => Source::Chat(Chat::default()),
            Scenario::Message => Source::Messages(Chat::default()),
            Scenario::Broadcast => Source::Broadcasts(Broadcasts::new(recipients)),
            Scenario::Storm => Source::Storm(Storm::new(recipients)),
        };
        Self { world, source, repeats: None }
    }

    /// The world after the traffic so far.
    pub(super) fn into_world(self) -> World {
        self.world
    }

    /// Makes time pass faster by this factor: the same events, further apart.
    pub const fn at_pace(mut self, pace: i64) -> Self {
        self.world.pace = pace;
        self
    }

    /// Sends everything twice.
    pub fn twice(self) -> Self {
        Self { repeats: Some(VecDeque::new()), ..self }
    }

    /// Ends after the last status of the last recipient of this many broadcasts. Has an effect only
    /// in [`Scenario::Broadcast`].
    pub const fn end_after(mut self, broadcasts: u32) -> Self {
        if let Source::Broadcasts(source) = &mut self.source {
            source.end_after(broadcasts);
        }
        self
    }

    /// Qontak's clock: the time of the last event.
    pub fn time(&self) -> Timestamp {
        let at = DateTime::from_timestamp_millis(self.world.now);
        Timestamp(at.expect("it began at a time and passes slowly"))
    }

    /// Organisation of all events.
    pub fn organization_id(&self) -> String {
        self.world.ids.of(Subject::Organization, 0).to_string()
    }

    /// Ids of everything in this traffic.
    pub(super) const fn ids(&self) -> Ids {
        self.world.ids
    }
}

impl Iterator for Traffic {
    type Item = Webhook;

    fn next(&mut self) -> Option<Webhook> {
        if let Some(repeats) = &mut self.repeats
            && repeats.len() > REPEAT_DISTANCE
        {
            return repeats.pop_front();
        }
        let world = &mut self.world;
        world.tick();
        let webhook = match &mut self.source {
            Source::Chat(chat) => chat.next(world, |_| Shape::Current),
            Source::Messages(chat) => chat.next_message(world, |_| Shape::Plain),
            Source::Broadcasts(broadcasts) if broadcasts.is_done() => {
                return self.repeats.as_mut()?.pop_front();
            }
            Source::Broadcasts(broadcasts) => broadcasts.next(world, |_| Shape::Current),
            Source::Storm(storm) => storm.next(world),
        };
        if let Some(repeats) = &mut self.repeats {
            repeats.push_back(webhook.clone());
        }
        Some(webhook)
    }
}
