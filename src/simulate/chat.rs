//! Conversations: a customer writes, a bot greets, an agent takes over, answers, and resolves.

use super::Webhook;
use super::expected::Status;
use super::message::{Author, Message};
use super::room::{Room, Shape};
use super::world::World;

/// How many conversations go on at a time. The rooms of a busy team: few enough that their
/// events meet in one batch, too many for each batch to hold the same.
const MOST_OPEN: usize = 256;

/// Conversations that go on.
#[derive(Debug, Default)]
pub struct Chat(Vec<Conversation>);

impl Chat {
    /// The next event of any of them; a new one opens with the shape that `shape` tells.
    pub fn next(&mut self, world: &mut World, shape: fn(&mut World) -> Shape) -> Webhook {
        self.step(world, shape).1
    }

    /// The next event of a message; those of rooms are left out.
    pub fn next_message(&mut self, world: &mut World, shape: fn(&mut World) -> Shape) -> Webhook {
        loop {
            if let (true, webhook) = self.step(world, shape) {
                return webhook;
            }
        }
    }

    /// The next event, and whether it is one of a message.
    fn step(&mut self, world: &mut World, shape: fn(&mut World) -> Shape) -> (bool, Webhook) {
        // A conversation has some 20 events, so at this rate more begin than end.
        if self.0.is_empty() || self.0.len() < MOST_OPEN && world.one_in(16) {
            let shape = shape(world);
            self.0.push(Conversation::begin(world, shape));
        }
        let one = world.below(self.0.len() as u32) as usize;
        let is_of_message = self.0[one].next.is_of_message();
        let webhook = self.0[one].next(world);
        if self.0[one].next == Step::Over {
            self.0.swap_remove(one);
        }
        (is_of_message, webhook)
    }
}

/// What happens next in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    CustomerWrites,
    RoomOpens,
    BotGreets,
    AgentTakesOver,
    AgentAnswers,
    StatusChanges,
    AgentResolves,
    Over,
}

impl Step {
    const fn is_of_message(self) -> bool {
        !matches!(self, Self::RoomOpens | Self::AgentTakesOver | Self::AgentResolves)
    }
}

#[derive(Debug)]
struct Conversation {
    room: Room,
    last: Message,
    next: Step,
    /// How often the agent is yet to answer.
    answers: u32,
}

impl Conversation {
    fn begin(world: &mut World, shape: Shape) -> Self {
        let room = Room::open(world, shape, "unassigned");
        let last = Message::write(world, Author::Customer);
        Self { room, last, next: Step::CustomerWrites, answers: 1 + world.below(5) }
    }

    fn next(&mut self, world: &mut World) -> Webhook {
        let room = &mut self.room;
        match self.next {
            Step::CustomerWrites => {
                self.next = if room.unread_count == 0 && room.status == "unassigned" {
                    Step::RoomOpens
                } else {
                    self.last = Message::write(world, Author::Customer);
                    Step::AgentAnswers
                };
                room.unread_count += 1;
                room.session_at = self.last.created_at;
                room.last_message_at = self.last.created_at;
                self.last.event(world, room)
            }
            Step::RoomOpens => {
                self.next = Step::BotGreets;
                room.event(world, "room_created", &self.last)
            }
            Step::BotGreets => self.answer(world, Author::Bot),
            Step::AgentTakesOver => {
                self.next = Step::AgentAnswers;
                room.status = "assigned";
                room.updated_at = world.now;
                room.event(world, "agent_assigned_to_room", &self.last)
            }
            Step::AgentAnswers => {
                self.answers -= 1;
                room.unread_count = 0;
                self.answer(world, Author::Agent)
            }
            Step::StatusChanges => self.change_status(world),
            Step::AgentResolves | Step::Over => {
                self.next = Step::Over;
                room.status = "resolved";
                room.updated_at = world.now;
                room.event(world, "room_resolved", &self.last)
            }
        }
    }

    fn answer(&mut self, world: &mut World, author: Author) -> Webhook {
        self.last = Message::write(world, author);
        self.room.last_message_at = self.last.created_at;
        self.next = Step::StatusChanges;
        self.last.event(world, &self.room)
    }

    /// The last message comes a step further, and perhaps no further than that.
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
                _ if self.answers == 0 => Step::AgentResolves,
                _ => Step::CustomerWrites,
            };
        }
        self.last.event(world, &self.room)
    }
}
