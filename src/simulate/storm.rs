//! Everything at once, and nothing as it should be: conversations and broadcasts in the shapes
//! of every year, out of order, twice, cut off, and among them what nobody can make sense of.

use super::Webhook;
use super::body::Body;
use super::broadcast::Broadcasts;
use super::chat::Chat;
use super::expected::Claim;
use super::room::Shape;
use super::world::{Subject, World};

/// How many events wait for their turn: one may come that much too early, or later.
const WINDOW: usize = 64;

/// A storm of webhooks.
#[derive(Debug)]
pub struct Storm {
    chat: Chat,
    broadcasts: Broadcasts,
    waiting: Vec<Webhook>,
}

impl Storm {
    /// A storm whose broadcasts have so many recipients.
    pub fn new(recipients: u32) -> Self {
        Self { chat: Chat::default(), broadcasts: Broadcasts::of(recipients), waiting: Vec::new() }
    }

    /// Any of those that wait.
    pub fn next(&mut self, world: &mut World) -> Webhook {
        while self.waiting.len() < WINDOW {
            world.tick();
            let webhook = self.arrive(world);
            self.waiting.push(webhook);
        }
        let one = world.below(self.waiting.len() as u32) as usize;
        let webhook = self.waiting.swap_remove(one);
        // Again, sooner or later, and then perhaps again.
        if world.one_in(8) {
            self.waiting.push(webhook.clone());
        }
        if world.one_in(100) {
            self.waiting.push(cut(&webhook, world));
        }
        webhook
    }

    fn arrive(&mut self, world: &mut World) -> Webhook {
        match world.below(100) {
            0..3 => odd(world),
            3..60 => self.chat.next(world, any_shape),
            _ => self.broadcasts.next(world, any_shape),
        }
    }
}

fn any_shape(world: &mut World) -> Shape {
    match world.below(8) {
        0 => Shape::Legacy,
        1 => Shape::Strange,
        _ => Shape::Current,
    }
}

/// The same, cut off on the way.
fn cut(whole: &Webhook, world: &mut World) -> Webhook {
    let mut body = whole.body.clone();
    body.truncate(1 + world.below(body.len() as u32 - 1) as usize);
    Webhook { body, claim: Claim::default(), is_cut: true }
}

/// What says nothing of any room, message or broadcast.
fn odd(world: &mut World) -> Webhook {
    let (kind, number) = (world.below(6), world.new_oddity());
    let mut body = Body::new(world);
    let (before, after) = match kind {
        // Names that no version knows, known ones that change nothing, and the handshake.
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
        // Neither a name nor a shape; and what is no object.
        4 => (r#"{"catatan":"bukan dari Qontak","nomor":""#, r#""}"#),
        _ => (r#"[{"data_event":"receive_message_from_customer","id":""#, r#""}]"#),
    };
    body.put(before);
    body.id(Subject::Oddity, number);
    body.put(after);
    Webhook::new(body, Claim::default())
}
