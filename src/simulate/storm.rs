//! Scenario `storm`: chats and broadcasts in all formats, out of order, duplicated, truncated, and
//! mixed with events that change no room, message or broadcast.

use super::body::Body;
use super::broadcast::Broadcasts;
use super::chat::Chat;
use super::expected::Claim;
use super::room::Shape;
use super::webhook::Webhook;
use super::world::{Subject, World};

/// Number of events to choose the next one from; limits how far out of order an event can be.
const WINDOW: usize = 64;

/// State of the scenario.
#[derive(Debug)]
pub struct Storm {
    chat: Chat,
    broadcasts: Broadcasts,
    waiting: Vec<Webhook>,
}

impl Storm {
    /// Starts the scenario; each broadcast has this many recipients.
    pub fn new(recipients: u32) -> Self {
        Self { chat: Chat::default(), broadcasts: Broadcasts::new(recipients), waiting: Vec::new() }
    }

    /// A random one of the waiting events.
    pub fn next(&mut self, world: &mut World) -> Webhook {
        while self.waiting.len() < WINDOW {
            world.tick();
            let webhook = self.generate(world);
            self.waiting.push(webhook);
        }
        let one = world.below(self.waiting.len() as u32) as usize;
        let webhook = self.waiting.swap_remove(one);
        // Sent again later, possibly several times.
        if world.one_in(8) {
            self.waiting.push(webhook.clone());
        }
        if world.one_in(100) {
            let length = 1 + world.below(webhook.body.len() as u32 - 1);
            self.waiting.push(webhook.truncated(length as usize));
        }
        webhook
    }

    fn generate(&mut self, world: &mut World) -> Webhook {
        match world.below(100) {
            0..3 => other_event(world),
            3..60 => self.chat.next(world, any_shape),
            _ => self.broadcasts.next(world, any_shape),
        }
    }
}

fn any_shape(world: &mut World) -> Shape {
    match world.below(8) {
        0 => Shape::Legacy,
        1 => Shape::Invalid,
        _ => Shape::Current,
    }
}

/// An event about no room, message or broadcast.
fn other_event(world: &mut World) -> Webhook {
    let (kind, number) = (world.below(6), world.new_other());
    let mut body = Body::new(world);
    let (before, after) = match kind {
        // An unknown name, known names that change nothing, and the handshake.
        0 => (
            r#"{"data_event":"csat_survey_submitted","survey":{"score":5,"comment":"Cepat"},"id":""#,
            r#""}"#,
        ),
        1 => (
            r#"{"webhook_event":"available_user_status","is_online":true,"role":"agent","id":""#,
            r#""}"#,
        ),
        2 => (
            r#"{"webhook_event":"waba_interaction","status":"APPROVED","name":"promo_juni","id":""#,
            r#""}"#,
        ),
        3 => (r#"{"verify_info":""#, r#""}"#),
        // No name and no known shape; not an object.
        4 => (r#"{"catatan":"bukan dari Qontak","nomor":""#, r#""}"#),
        _ => (r#"[{"data_event":"receive_message_from_customer","id":""#, r#""}]"#),
    };
    body.put(before);
    body.id(Subject::Other, number);
    body.put(after);
    Webhook::new(body, Claim::default())
}
