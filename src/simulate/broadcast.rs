//! Scenario `broadcast`: each recipient's log goes from sent to read, fails, or stops at a status.
//! The message in the recipient's room gets the same statuses.

use std::sync::LazyLock;

use super::body::Body;
use super::expected::{Claim, LogClaim, Status, Statuses};
use super::message::{Author, Message};
use super::room::{Room, Shape};
use super::template::Template;
use super::webhook::Webhook;
use super::world::{Subject, World};

static LOG: LazyLock<Template> =
    LazyLock::new(|| Template::parse(include_str!("body/broadcast-log.json")));
static LEGACY_LOG: LazyLock<Template> =
    LazyLock::new(|| Template::parse(include_str!("body/legacy-broadcast-log.json")));
static REJECTED: LazyLock<Template> =
    LazyLock::new(|| Template::parse(include_str!("body/response-refused.json")));
static ACCEPTED: LazyLock<Template> =
    LazyLock::new(|| Template::parse(include_str!("body/response-accepted.json")));
static STATUS: LazyLock<Template> =
    LazyLock::new(|| Template::parse(include_str!("body/response-status.json")));

const MARKETING: &str = r#","conversation":{"id":"8292cdd7b235a54d0bfedafad63160d2","origin":{"type":"marketing"}},"pricing":{"billable":true,"category":"marketing","pricing_model":"PMP"}"#;
const WITHHELD: &str = r#","errors":[{"code":131049,"title":"This message was not delivered to maintain healthy ecosystem engagement.","message":"This message was not delivered to maintain healthy ecosystem engagement.","error_data":{"details":"In order to maintain a healthy ecosystem engagement, the message failed to be delivered."}}]"#;

/// Maximum number of recipients that have not reached their last status.
const MAX_OPEN: usize = 1024;

/// Broadcasts, one after the other.
#[derive(Debug)]
pub struct Broadcasts {
    recipients: u32,
    /// Number of broadcasts still to start; endless if `None`.
    broadcasts_left: Option<u32>,
    current: u32,
    recipients_left: u32,
    open: Vec<Recipient>,
}

impl Broadcasts {
    /// Broadcasts with this many recipients each.
    pub const fn new(recipients: u32) -> Self {
        Self { recipients, broadcasts_left: None, current: 0, recipients_left: 0, open: Vec::new() }
    }

    /// Limits the number of broadcasts.
    pub const fn end_after(&mut self, broadcasts: u32) {
        self.broadcasts_left = Some(broadcasts);
    }

    /// Whether the last recipient has its last status.
    pub const fn is_done(&self) -> bool {
        matches!(self.broadcasts_left, Some(0)) && self.recipients_left == 0 && self.open.is_empty()
    }

    /// The next event of a random recipient. `shape` chooses the format of new ones. Must not be
    /// called when the broadcasts are done.
    pub fn next(&mut self, world: &mut World, shape: fn(&mut World) -> Shape) -> Webhook {
        // A recipient has about 4 events, so at this rate more start than end.
        if self.open.is_empty() || self.open.len() < MAX_OPEN && world.one_in(3) {
            self.start_recipient(world, shape);
        }
        let one = world.below(self.open.len() as u32) as usize;
        let webhook = self.open[one].next(world);
        if self.open[one].is_done {
            self.open.swap_remove(one);
        }
        webhook
    }

    /// Adds the next recipient, if there is one.
    fn start_recipient(&mut self, world: &mut World, shape: fn(&mut World) -> Shape) {
        if self.recipients_left == 0 {
            match &mut self.broadcasts_left {
                Some(0) => return,
                Some(broadcasts_left) => *broadcasts_left -= 1,
                None => {}
            }
            self.recipients_left = self.recipients;
            self.current = world.new_broadcast();
        }
        self.recipients_left -= 1;
        let shape = shape(world);
        self.open.push(Recipient::start(world, self.current, shape));
    }
}

/// Final state of a recipient's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Not accepted by WhatsApp.
    Rejected,
    /// Held by Meta for quality assessment (pacing).
    Pending,
    /// Accepted by WhatsApp, then not delivered.
    Withheld,
    /// Reaches this status.
    Reaches(Status),
}

#[derive(Debug)]
struct Recipient {
    log: u32,
    broadcast: u32,
    room: Room,
    message: Message,
    fate: Fate,
    created_at: i64,
    /// Statuses so far, each with WhatsApp's time in seconds since 1970.
    history: Vec<(Status, i64)>,
    is_message_next: bool,
    is_done: bool,
}

impl Recipient {
    fn start(world: &mut World, broadcast: u32, shape: Shape) -> Self {
        let fate = match world.below(100) {
            0..4 => Fate::Rejected,
            4..7 => Fate::Pending,
            7..10 => Fate::Withheld,
            10..20 => Fate::Reaches(Status::Sent),
            20..50 => Fate::Reaches(Status::Delivered),
            _ => Fate::Reaches(Status::Read),
        };
        let room = Room::open(world, shape, "campaign");
        let mut message = Message::write(world, Author::Bot);
        message.broadcast = Some(broadcast);
        Self {
            log: world.new_log(),
            broadcast,
            room,
            message,
            fate,
            created_at: world.now,
            history: Vec::new(),
            is_message_next: false,
            is_done: false,
        }
    }

    fn next(&mut self, world: &World) -> Webhook {
        if self.is_message_next {
            self.is_message_next = false;
            self.is_done = self.has_reached_end();
            return self.message.event(world, &self.room);
        }
        let status = match (self.fate, self.message.status) {
            (Fate::Rejected, _) => Status::Failed,
            (Fate::Pending, _) => Status::Pending,
            (_, Status::Created) => Status::Sent,
            (Fate::Withheld, _) => Status::Failed,
            (Fate::Reaches(_), Status::Sent) => Status::Delivered,
            (Fate::Reaches(_), _) => Status::Read,
        };
        self.history.push((status, world.now / 1000));
        self.message.status = status;
        // A message that was not sent is in no room.
        self.is_message_next = !matches!(self.fate, Fate::Rejected | Fate::Pending);
        self.is_done = !self.is_message_next;
        self.event(world)
    }

    fn has_reached_end(&self) -> bool {
        match self.fate {
            Fate::Reaches(last) => self.message.status == last,
            _ => self.message.status == Status::Failed,
        }
    }

    /// The event of the log.
    fn event(&self, world: &World) -> Webhook {
        let mut body = Body::new(world);
        let template = if self.room.shape == Shape::Legacy { &LEGACY_LOG } else { &LOG };
        template.write(&mut body, |name, body| self.fill(name, body));
        let statuses = self
            .history
            .iter()
            .fold(Statuses::default(), |all, (one, _)| all.union(Statuses::of(*one)));
        let error_code = match self.fate {
            _ if self.message.status != Status::Failed => None,
            Fate::Rejected => Some(131_026),
            _ => Some(131_049),
        };
        let claim = LogClaim { number: self.log, broadcast: self.broadcast, statuses, error_code };
        Webhook::new(body, Claim { log: Some(claim), ..Claim::default() })
    }

    fn fill(&self, name: &'static str, body: &mut Body<'_>) {
        match name {
            "log_id" => body.id(Subject::Log, self.log),
            "broadcast_id" => body.id(Subject::Broadcast, self.broadcast),
            "template_id" => body.id(Subject::Template, 0),
            "status" => body.put(self.message.status.as_str()),
            "whatsapp_message_id" if self.fate == Fate::Rejected => body.put("n/a"),
            "whatsapp_message_id" => body.wamid(self.message.number),
            "error_message" => body.put(match (self.fate, self.message.status) {
                (Fate::Rejected, _) => "Message Undeliverable.",
                (_, Status::Failed) => {
                    "This message was not delivered to maintain healthy ecosystem engagement."
                }
                _ => "n/a",
            }),
            "response" if self.fate == Fate::Rejected => REJECTED.write(body, |_, _| ()),
            "response" => ACCEPTED.write(body, |name, body| self.fill(name, body)),
            "message_status" if self.fate == Fate::Pending => {
                body.put("held_for_quality_assessment");
            }
            "message_status" => body.put("accepted"),
            "history" => self.history.iter().for_each(|step| self.fill_status(*step, body)),
            "created_at" => body.time(self.created_at),
            "is_pacing" => body.flag(self.fate == Fate::Pending),
            _ => body.fill(name, self.room.number),
        }
    }

    /// Appends one element of `messages_response`, which lists all statuses.
    fn fill_status(&self, (status, at): (Status, i64), body: &mut Body<'_>) {
        // WhatsApp reports no status while it holds a message.
        if status == Status::Pending {
            return;
        }
        STATUS.write(body, |name, body| match name {
            "history_status" => body.put(status.as_str()),
            // A string in live bodies, a number in Qontak's documentation.
            "timestamp" if self.log.is_multiple_of(4) => body.format(format_args!("{at}")),
            "timestamp" => body.format(format_args!("\"{at}\"")),
            "details" => body.put(match status {
                Status::Delivered => MARKETING,
                Status::Failed => WITHHELD,
                _ => "",
            }),
            _ => self.fill(name, body),
        });
    }
}
