//! Scenario `chat`: a customer writes, a bot greets, an agent takes over, replies and resolves.

use super::expected::Status;
use super::message::{Author, Message};
use super::room::{Room, Shape};
use super::room_event::room_event;
use super::webhook::Webhook;
use super::world::World;

/// Maximum number of open conversations, as in a busy team: few enough that a batch has several
/// events of one room, too many for each batch to have the same rooms.
const MAX_OPEN: usize = 256;

/// Open conversations.
#[derive(Debug, Default)]
pub struct Chat(Vec<Conversation>);

impl Chat {
    /// The next event of a random conversation. `shape` chooses the format of new ones.
    pub fn next(&mut self, world: &mut World, shape: fn(&mut World) -> Shape) -> Webhook {
        self.step(world, shape).1
    }

    /// The next message event; room events are skipped.
    pub fn next_message(&mut self, world: &mut World, shape: fn(&mut World) -> Shape) -> Webhook {
        loop {
            if let (true, webhook) = self.step(world, shape) {
                return webhook;
            }
        }
    }

    /// The next event, and whether it is a message event.
    fn step(&mut self, world: &mut World, shape: fn(&mut World) -> Shape) -> (bool, Webhook) {
        // A conversation has about 20 events, so at this rate more begin than end.
        if self.0.is_empty() || self.0.len() < MAX_OPEN && world.one_in(16) {
            let shape = shape(world);
            self.0.push(Conversation::begin(world, shape));
        }
        let one = world.below(self.0.len() as u32) as usize;
        let is_message_event = self.0[one].next.is_message_event();
        let webhook = self.0[one].next(world);
        if self.0[one].next == Step::Done {
            self.0.swap_remove(one);
        }
        (is_message_event, webhook)
    }
}

/// Next step of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    CustomerWrites,
    RoomOpens,
    BotGreets,
    AgentTakesOver,
    AgentReplies,
    StatusChanges,
    AgentResolves,
    Done,
}

impl Step {
    const fn is_message_event(self) -> bool {
        !matches!(self, Self::RoomOpens | Self::AgentTakesOver | Self::AgentResolves)
    }
}

#[derive(Debug)]
struct Conversation {
    room: Room,
    last: Message,
    next: Step,
    /// Number of replies the agent has still to send.
    replies_left: u32,
}

impl Conversation {
    fn begin(world: &mut World, shape: Shape) -> Self {
        let room = Room::open(world, shape, "unassigned");
        let last = Message::write(world, Author::Customer);
        Self { room, last, next: Step::CustomerWrites, replies_left: 1 + world.below(5) }
    }

    fn next(&mut self, world: &mut World) -> Webhook {
        let room = &mut self.room;
        match self.next {
            Step::CustomerWrites => {
                self.next = if room.unread_count == 0 && room.status == "unassigned" {
                    Step::RoomOpens
                } else {
                    self.last = Message::write(world, Author::Customer);
                    Step::AgentReplies
                };
                room.unread_count += 1;
                room.session_at = self.last.created_at;
                room.last_message_at = self.last.created_at;
                self.last.event(world, room)
            }
            Step::RoomOpens => {
                self.next = Step::BotGreets;
                room_event(world, room, "room_created", &self.last)
            }
            Step::BotGreets => self.reply(world, Author::Bot),
            Step::AgentTakesOver => {
                self.next = Step::AgentReplies;
                room.status = "assigned";
                room.updated_at = world.now;
                room_event(world, room, "agent_assigned_to_room", &self.last)
            }
            Step::AgentReplies => {
                self.replies_left -= 1;
                room.unread_count = 0;
                self.reply(world, Author::Agent)
            }
            Step::StatusChanges => self.change_status(world),
            Step::AgentResolves | Step::Done => {
                self.next = Step::Done;
                room.status = "resolved";
                room.updated_at = world.now;
                room_event(world, room, "room_resolved", &self.last)
            }
        }
    }

    fn reply(&mut self, world: &mut World, author: Author) -> Webhook {
        self.last = Message::write(world, author);
        self.room.last_message_at = self.last.created_at;
        self.next = Step::StatusChanges;
        self.last.event(world, &self.room)
    }

    /// Advances the status of the last message, which may be its final one.
    fn change_status(&mut self, world: &mut World) -> Webhook {
        let (status, is_last) = match self.last.status {
            Status::Created if world.one_in(25) => (Status::Failed, true),
            Status::Created => (Status::Sent, world.one_in(8)),
            Status::Sent => (Status::Delivered, world.one_in(4)),
            _ => (Status::Read, true),
        };
        self.last.status = status;
        if is_last {
            self.next = match self.last.author {
                Author::Bot => Step::AgentTakesOver,
                _ if self.replies_left == 0 => Step::AgentResolves,
                _ => Step::CustomerWrites,
            };
        }
        self.last.event(world, &self.room)
    }
}
