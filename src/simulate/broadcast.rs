//! Broadcasts: each recipient's log comes from sent to read, or fails, or stays where it is; and
//! each time its twin, the message in the recipient's room, does so too.

use std::sync::LazyLock;

use super::Webhook;
use super::body::Body;
use super::expected::{Claim, LogClaim, Status, Statuses};
use super::message::{Author, Message};
use super::room::{Room, Shape};
use super::template::Template;
use super::world::{Subject, World};

static LOG: LazyLock<Template> =
    LazyLock::new(|| Template::parse(include_str!("body/broadcast-log.json")));
static LEGACY_LOG: LazyLock<Template> =
    LazyLock::new(|| Template::parse(include_str!("body/legacy-broadcast-log.json")));
static REFUSED: LazyLock<Template> =
    LazyLock::new(|| Template::parse(include_str!("body/response-refused.json")));
static ACCEPTED: LazyLock<Template> =
    LazyLock::new(|| Template::parse(include_str!("body/response-accepted.json")));
static STATUS: LazyLock<Template> =
    LazyLock::new(|| Template::parse(include_str!("body/response-status.json")));

const MARKETING: &str = r#","conversation":{"id":"8292cdd7b235a54d0bfedafad63160d2","origin":{"type":"marketing"}},"pricing":{"billable":true,"category":"marketing","pricing_model":"PMP"}"#;
const WITHHELD: &str = r#","errors":[{"code":131049,"title":"This message was not delivered to maintain healthy ecosystem engagement.","message":"This message was not delivered to maintain healthy ecosystem engagement.","error_data":{"details":"In order to maintain a healthy ecosystem engagement, the message failed to be delivered."}}]"#;

/// How many recipients are between sent and read at a time.
const MOST_OPEN: usize = 1024;

/// Broadcasts to so many recipients each, one after the other.
#[derive(Debug)]
pub struct Broadcasts {
    recipients: u32,
    /// How many are still to begin; endless if `None`.
    to_come: Option<u32>,
    current: u32,
    to_begin: u32,
    open: Vec<Recipient>,
}

impl Broadcasts {
    /// None has begun yet.
    pub const fn of(recipients: u32) -> Self {
        Self { recipients, to_come: None, current: 0, to_begin: 0, open: Vec::new() }
    }

    /// No more than so many.
    pub const fn end_after(&mut self, broadcasts: u32) {
        self.to_come = Some(broadcasts);
    }

    /// Whether the last recipient has its last status.
    pub const fn are_over(&self) -> bool {
        matches!(self.to_come, Some(0)) && self.to_begin == 0 && self.open.is_empty()
    }

    /// The next event of any recipient; a new one follows the habits that `shape` tells. There is
    /// one, as they are not over.
    pub fn next(&mut self, world: &mut World, shape: fn(&mut World) -> Shape) -> Webhook {
        // A recipient has some 4 events, so at this rate more begin than end.
        if self.open.is_empty() || self.open.len() < MOST_OPEN && world.one_in(3) {
            self.begin(world, shape);
        }
        let one = world.below(self.open.len() as u32) as usize;
        let webhook = self.open[one].next(world);
        if self.open[one].is_over {
            self.open.swap_remove(one);
        }
        webhook
    }

    /// Begins with one recipient more, if there is one.
    fn begin(&mut self, world: &mut World, shape: fn(&mut World) -> Shape) {
        if self.to_begin == 0 {
            match &mut self.to_come {
                Some(0) => return,
                Some(to_come) => *to_come -= 1,
                None => {}
            }
            self.to_begin = self.recipients;
            self.current = world.new_broadcast();
        }
        self.to_begin -= 1;
        let shape = shape(world);
        self.open.push(Recipient::begin(world, self.current, shape));
    }
}

/// What becomes of a recipient's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// WhatsApp does not accept it.
    Refused,
    /// Meta holds it, to see how others like it.
    Pending,
    /// WhatsApp accepts it, and then withholds it.
    Withheld,
    /// It comes as far as this.
    Comes(Status),
}

#[derive(Debug)]
struct Recipient {
    log: u32,
    broadcast: u32,
    room: Room,
    twin: Message,
    fate: Fate,
    created_at: i64,
    /// Its statuses so far, each with its time at WhatsApp in seconds since 1970.
    history: Vec<(Status, i64)>,
    is_twin_next: bool,
    is_over: bool,
}

impl Recipient {
    fn begin(world: &mut World, broadcast: u32, shape: Shape) -> Self {
        let fate = match world.below(100) {
            0..4 => Fate::Refused,
            4..7 => Fate::Pending,
            7..10 => Fate::Withheld,
            10..20 => Fate::Comes(Status::Sent),
            20..50 => Fate::Comes(Status::Delivered),
            _ => Fate::Comes(Status::Read),
        };
        let room = Room::open(world, shape, "campaign");
        let mut twin = Message::write(world, Author::Bot);
        twin.broadcast = Some(broadcast);
        Self {
            log: world.new_log(),
            broadcast,
            room,
            twin,
            fate,
            created_at: world.now,
            history: Vec::new(),
            is_twin_next: false,
            is_over: false,
        }
    }

    fn next(&mut self, world: &World) -> Webhook {
        if self.is_twin_next {
            self.is_twin_next = false;
            self.is_over = self.is_done();
            return self.twin.event(world, &self.room);
        }
        let status = match (self.fate, self.twin.status) {
            (Fate::Refused, _) => Status::Failed,
            (Fate::Pending, _) => Status::Pending,
            (_, Status::Created) => Status::Sent,
            (Fate::Withheld, _) => Status::Failed,
            (Fate::Comes(_), Status::Sent) => Status::Delivered,
            (Fate::Comes(_), _) => Status::Read,
        };
        self.history.push((status, world.now / 1000));
        self.twin.status = status;
        // What never left has no message in any room.
        self.is_twin_next = !matches!(self.fate, Fate::Refused | Fate::Pending);
        self.is_over = !self.is_twin_next;
        self.event(world)
    }

    fn is_done(&self) -> bool {
        match self.fate {
            Fate::Comes(last) => self.twin.status == last,
            _ => self.twin.status == Status::Failed,
        }
    }

    /// An event of the log.
    fn event(&self, world: &World) -> Webhook {
        let mut body = Body::new(world);
        let template = if self.room.shape == Shape::Legacy { &LEGACY_LOG } else { &LOG };
        template.write(&mut body, |gap, body| self.fill(gap, body));
        let statuses = self
            .history
            .iter()
            .fold(Statuses::default(), |all, (one, _)| all.and(Statuses::of(*one)));
        let error_code = match self.fate {
            _ if self.twin.status != Status::Failed => None,
            Fate::Refused => Some(131_026),
            _ => Some(131_049),
        };
        let claim = LogClaim { number: self.log, broadcast: self.broadcast, statuses, error_code };
        Webhook::new(body, Claim { log: Some(claim), ..Claim::default() })
    }

    fn fill(&self, gap: &'static str, body: &mut Body<'_>) {
        match gap {
            "log_id" => body.id(Subject::Log, self.log),
            "broadcast_id" => body.id(Subject::Broadcast, self.broadcast),
            "template_id" => body.id(Subject::Template, 0),
            "status" => body.put(self.twin.status.as_str()),
            "whatsapp_message_id" if self.fate == Fate::Refused => body.put("n/a"),
            "whatsapp_message_id" => body.wamid(self.twin.number),
            "error_message" => body.put(match (self.fate, self.twin.status) {
                (Fate::Refused, _) => "Message Undeliverable.",
                (_, Status::Failed) => {
                    "This message was not delivered to maintain healthy ecosystem engagement."
                }
                _ => "n/a",
            }),
            "response" if self.fate == Fate::Refused => REFUSED.write(body, |_, _| ()),
            "response" => ACCEPTED.write(body, |gap, body| self.fill(gap, body)),
            "message_status" if self.fate == Fate::Pending => {
                body.put("held_for_quality_assessment");
            }
            "message_status" => body.put("accepted"),
            "history" => self.history.iter().for_each(|step| self.fill_status(*step, body)),
            "created_at" => body.time(self.created_at),
            "is_pacing" => body.flag(self.fate == Fate::Pending),
            _ => body.fill(gap, self.room.number),
        }
    }

    /// A status of the past; `messages_response` holds all of them.
    fn fill_status(&self, (status, at): (Status, i64), body: &mut Body<'_>) {
        // Of one that is held nothing is known yet.
        if status == Status::Pending {
            return;
        }
        STATUS.write(body, |gap, body| match gap {
            "history_status" => body.put(status.as_str()),
            // Text in bodies seen live, a number in documents.
            "timestamp" if self.log.is_multiple_of(4) => body.format(format_args!("{at}")),
            "timestamp" => body.format(format_args!("\"{at}\"")),
            "details" => body.put(match status {
                Status::Delivered => MARKETING,
                Status::Failed => WITHHELD,
                _ => "",
            }),
            _ => self.fill(gap, body),
        });
    }
}
